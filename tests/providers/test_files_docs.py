"""docs/providers-files.md and docs/providers-sql.md are true: their tables load, and every key that the code takes is told."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from providers.files import Files
from providers.sql import Sql
from tests.providers.sections import section

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"files": Files, "sql": Sql}
CODE = {
    "files": ["providers/files.py", *(f"recon/dumps/{name}.py" for name in ("place", "web", "bucket", "sftp"))],
    "sql": ["providers/sql.py"],
}


def page(kind: str) -> str:
    return (ROOT / "docs" / f"providers-{kind}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_each_table_of_the_page_loads(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page tells people to write is taken as it stands."""
    monkeypatch.setenv("ERP_URL", "sqlite:///erp.db")
    blocks = re.findall(r"```toml\n(.*?)```", page(kind), re.DOTALL)
    for block in blocks:
        ((name, table),) = tomllib.loads(block)["providers"].items()
        provider = KINDS[kind](section(f"providers.{name}", table))
        assert provider.resources()
        provider.close()
    assert blocks


@pytest.mark.parametrize("kind", KINDS)
def test_each_key_is_told(kind: str) -> None:
    """Every key that the code takes from a table stands on the page."""
    taken = set()
    for file in CODE[kind]:
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args and isinstance(node.args[0], ast.Constant):
                named = getattr(node.func.value, "id", "")
                if named == "section" and node.func.attr not in {"bad", "sub", "mapping"}:
                    taken.add(node.args[0].value)
    text = page(kind)

    assert taken >= {"type", "key"}
    assert sorted(key for key in taken - {"type"} if f"`{key}`" not in text and f"\n{key} = " not in text) == []
