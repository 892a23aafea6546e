"""A table of recon.toml without a file."""

from pathlib import Path
from typing import Any

from recon.secret import Secret, SecretRef
from recon.section import Section


def section(name: str = "test", /, *, folder: Path | None = None, **table: Any) -> Section:
    """The section `[name]` holding `table`, to construct a provider, store or publisher from: `MyProvider(section(base_url=url))`.

    Secrets may be given as `Secret("…")` or by reference, `{"env": "NAME"}`, as in the file.
    """
    place = folder or Path()
    leaves = {key: _leaf(value, f"{name}.{key}", place) for key, value in table.items()}
    return Section(name=name, file=place / "recon.toml", path=name, table=leaves, folder=place)


def _leaf(value: Any, where: str, folder: Path) -> Any:
    if isinstance(value, Secret) or not isinstance(value, dict):
        return value
    if len(value) == 1 and next(iter(value)) in {"env", "file", "command"} and isinstance(next(iter(value.values())), str):
        return SecretRef(value, where=where, folder=folder)
    return {key: _leaf(inner, f"{where}.{key}", folder) for key, inner in value.items()}
