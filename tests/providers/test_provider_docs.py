"""The class of docs/providers.md, run as it stands there, and what docs/providers-shipped.md declares."""

import hashlib
import hmac
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from providers.github import GitHub
from providers.hubspot import HubSpot
from recon.clock import SystemClock
from recon.fetch.page import LookupStatus
from recon.http_provider import HTTPProvider
from tests.providers.listing import whole
from tests.providers.sections import section
from tests.servers.scripted import Answer, Call, scripted

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "providers.md").read_text(encoding="utf-8")

SHIPPED: dict[str, type[HTTPProvider]] = {"github": GitHub, "hubspot": HubSpot}


def test_the_written_provider_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its requests carry the signature, its pages are read to the end, and its own words for a deletion are understood."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    module: dict[str, Any] = {"__name__": "recon_project.providers.depot"}
    exec(compile(code, "providers/depot.py", "exec"), module)
    signed = hmac.new(b"k3y", b"/api/v3/parcels", hashlib.sha256).hexdigest()

    def serve(call: Call) -> Answer:
        if call.path != "/api/v3/parcels":
            return Answer({"number": call.path.rsplit("/", 1)[1], "state": "lost"})
        assert call.headers["x-signature"] == signed
        first = "cursor" not in call.query
        return Answer({"result": {"parcels": [{"number": "p1" if first else "p2"}], "next": "c2" if first else None}})

    monkeypatch.setenv("DEPOT_KEY", "k3y")
    with scripted(serve) as server:
        provider: HTTPProvider = module["Depot"](
            section("providers.depot", {"base_url": f"{server.url}/api/v3/", "signing_key": {"env": "DEPOT_KEY"}})
        )
        records, _ = whole(provider, "parcels")
        (answer,) = provider.get_many("parcels", ["p9"], clock=SystemClock())
        provider.close()
    assert [record["number"] for record in records] == ["p1", "p2"]
    assert (provider.name, answer.status) == ("depot", LookupStatus.DELETED)


def test_what_the_page_on_shipped_providers_declares_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each table of the page makes its provider, with the resources that the page tells of."""
    monkeypatch.setenv("GITHUB_TOKEN", "github_pat_1")
    monkeypatch.setenv("HUBSPOT_TOKEN", "pat-1")
    page = (Path(__file__).resolve().parents[2] / "docs" / "providers-shipped.md").read_text(encoding="utf-8")
    tables = [tomllib.loads(block)["providers"] for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL)]
    made = [cls(section(f"providers.{name}", table[name])) for (name, cls), table in zip(SHIPPED.items(), tables, strict=True)]
    assert [list(provider.resources()) for provider in made] == [["issues", "members", "pulls", "repositories"], ["contacts", "deals"]]
