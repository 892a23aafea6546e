"""Sections as recon.toml gives them, for tests: references to secrets are `SecretRef`s already."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recon.secret import SecretRef
from recon.section import Section


def section(path: str, table: Mapping[str, Any]) -> Section:
    """`[path]` of a `recon.toml` in the working folder."""
    where = Path("recon.toml")
    return Section(name=path.split(".")[1], file=where, path=path, table=_leaves(table, path), folder=Path.cwd())


def _leaves(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        if len(value) == 1 and next(iter(value)) in {"env", "file", "command"}:
            return SecretRef(dict(value), where=where, folder=Path.cwd())
        return {key: _leaves(inner, f"{where}.{key}") for key, inner in value.items()}
    return value
