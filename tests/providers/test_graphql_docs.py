"""docs/providers-graphql.md: its examples load as they stand, and every key of either provider is told there."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from providers.graphql import GraphQL
from providers.shopify import Shopify
from recon.section import Section
from tests.providers.sections import section

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "providers-graphql.md").read_text(encoding="utf-8")
EXAMPLES = {
    name: table for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) for name, table in tomllib.loads(text)["providers"].items()
}


def made(name: str) -> GraphQL | Shopify:
    """The provider that an example declares."""
    table = EXAMPLES[name]
    return (GraphQL if table.get("type") == "graphql" else Shopify)(section(f"providers.{name}", table))


def test_the_examples_load() -> None:
    """Each TOML block is a provider as it stands there, with all that it declares."""
    depot, shopify = made("depot"), made("shopify")
    parcels = depot.connection("parcels")
    assert parcels.one is not None
    assert parcels.ranges is not None
    assert [nested.name for nested in parcels.nested] == ["scans"]
    assert shopify.key_path("orders") == "legacyResourceId"
    assert "sku quantity" in shopify.connection("orders").query
    depot.close()
    shopify.close()


def test_every_key_is_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever key either provider takes of its tables, beyond those of every HTTP provider, stands in the page between backquotes."""
    taken: set[str] = set()
    take = Section.take

    def noted(self: Section, key: str, *default: Any) -> Any:
        taken.add(key)
        return take(self, key, *default)

    monkeypatch.setattr(Section, "take", noted)
    for name in EXAMPLES:
        made(name).close()
    general = (Path(__file__).resolve().parents[2] / "docs" / "providers.md").read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```", "", PAGE + general, flags=re.DOTALL)
    told = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", prose))))
    assert {"query_file", "least", "bulk_busy"} < taken
    # Names that a user gives, and a way to sign in that providers.md shows in its examples.
    assert taken - told - {*EXAMPLES, "parcels", "scans", "lineItems", "bearer"} == set()
