"""The layers that settings come from, and where each value came from: environment > project > user > default."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon.errors import BadSetting
from recon.secret import SecretRef
from recon.settings.places import lines_of

KeyPath = tuple[str, ...]

#: Environment variables with a name of their own, and the setting each stands for.
NAMED: dict[str, KeyPath] = {"RECON_STATE_URL": ("state", "url"), "RECON_REPORTS": ("reports", "folder")}
PREFIX = "RECON__"
#: The tables whose keys are names given by the user: `[providers.shop]`.
NAMING = ("providers", "stores", "publishers", "jobs")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value and its origin: `recon.toml:12`, `env RECON_STATE_URL` or `default`."""

    value: Any
    origin: str


Leaves = dict[KeyPath, Leaf]


def is_reference(path: KeyPath, value: Any) -> bool:
    """Whether a table is a secret by reference; a table that carries a user's name (`[stores.main]`) never is."""
    if not isinstance(value, dict) or len(value) != 1 or len(path) < 2 or (path[0] in NAMING and len(path) < 3):
        return False
    form, target = next(iter(value.items()))
    return form in {"env", "file", "command"} and isinstance(target, str)


def read_file(path: Path, *, label: str, environ: Mapping[str, str]) -> Leaves:
    """The leaves of one recon.toml; BadSetting with line and column where it is no TOML."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: cannot be read as UTF-8 text: {error}"
        raise BadSetting(msg) from None
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        place = f":{where[1]}:{where[2]}" if where else f":{text.count(chr(10)) + 1}"
        what = re.sub(r" \(at .*\)$", "", str(error))
        msg = f"{label}{place}: not TOML: {what}"
        twice = "overwrite" in what or "declare" in what
        way = "a key or a table stands there for the second time" if twice else "texts stand in quotes, tables in [brackets]"
        raise BadSetting(msg, hint=f"{way}; an editor with TOML colours shows the place") from None
    lines = lines_of(text)
    leaves: Leaves = {}
    for key, value in _flat((), tree):
        line = next((lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in lines), 1)
        leaves[key] = Leaf(_referring(key, value, f"{label}:{line}", path.parent, environ), f"{label}:{line}")
    return leaves


def _flat(path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, Any]]:
    """The leaves below `path`; an empty table and a secret's reference are leaves."""
    if isinstance(value, dict) and value and not is_reference(path, value):
        for key, inner in value.items():
            yield from _flat((*path, key), inner)
    elif path:
        yield path, value


def _referring(path: KeyPath, value: Any, origin: str, folder: Path, environ: Mapping[str, str]) -> Any:
    """The value with secret references in it turned into `SecretRef`s, inside arrays too."""
    if is_reference(path, value):
        return SecretRef(value, where=f"{origin} {shown_key(path)}", folder=folder, environ=environ)
    if isinstance(value, list):
        return [_referring((*path, "[]"), inner, origin, folder, environ) for inner in value]
    if isinstance(value, dict):
        return {key: _referring((*path, key), inner, origin, folder, environ) for key, inner in value.items()}
    return value


def shown_key(path: KeyPath) -> str:
    """`[providers.shop] auth.bearer`: a key as recon.toml would hold it."""
    cut = 2 if path[0] in NAMING else 1
    table = f"[{'.'.join(path[:cut])}]"
    return f"{table} {'.'.join(path[cut:])}" if len(path) > cut else table


def read_dotenv(path: Path) -> dict[str, str]:
    """`KEY=VALUE` lines of a .env file; quotes around a value are dropped, `export` is allowed, `#` starts a comment line."""
    if not path.is_file():
        return {}
    found: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: cannot be read as UTF-8 text: {error.__class__.__name__}"
        raise BadSetting(msg) from None
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        key, equals, value = text.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key):
            # The line itself is not quoted: it may hold a secret.
            msg = f"{path.name}:{number}: not a KEY=VALUE line"
            raise BadSetting(msg)
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        found[key] = value
    return found


def read_environment(environ: Mapping[str, str], below: Leaves, folder: Path) -> Leaves:
    """What the environment sets: the named variables, and `RECON__TABLE__NAME__KEY` for any setting."""
    leaves: Leaves = {}
    for name, path in NAMED.items():
        if environ.get(name):
            # A database URL may carry a password, so it is kept as a reference and shown as one.
            ref = SecretRef({"env": name}, where=f"env {name}", folder=folder, environ=environ)
            leaves[path] = Leaf(ref if path == ("state", "url") else environ[name], f"env {name}")
    for name in sorted(environ):
        if name.startswith(PREFIX) and environ[name]:
            spelled = _spelled(name, below)
            origin = f"env {name}"
            value = _typed(environ[name])
            for key, leaf in _flat(spelled, value):
                leaves[key] = Leaf(_referring(key, leaf, origin, folder, environ), origin)
    return leaves


def _spelled(name: str, below: Leaves) -> KeyPath:
    """The path behind `RECON__JOBS__ORDERS__SCHEDULE`; each part finds a key that is there whatever its case and hyphens."""
    parts = name.removeprefix(PREFIX).split("__")
    if len(parts) < 2 or not all(parts):
        msg = f"env {name}: names no setting"
        raise BadSetting(msg, hint="write RECON__TABLE__KEY or RECON__TABLE__NAME__KEY, such as RECON__JOBS__ORDERS__SCHEDULE")
    path: KeyPath = ()
    for part in parts:
        known = {key[len(path)] for key in below if len(key) > len(path) and key[: len(path)] == path}
        same = [key for key in sorted(known) if key.lower().replace("-", "_") == part.lower()]
        path = (*path, same[0] if same else part.lower())
    return path


def _typed(text: str) -> Any:
    """A value of the environment: TOML where it is a boolean, number, array, table or quoted text, else the text as it stands.

    `0123` is no TOML number and stays a text; dates stay texts.
    """
    try:
        value = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    found = value.get("value")
    if (
        set(value) != {"value"}
        or not isinstance(found, bool | int | float | str | list | dict)
        or text.strip().lstrip("+-") in {"inf", "nan"}
    ):
        return text
    return found


def overlaid(*layers: Leaves) -> Leaves:
    """One set of leaves, later layers winning; a leaf replaces a table of its path, and a table a leaf."""
    merged: Leaves = {}
    for layer in layers:
        for path in layer:
            for other in [key for key in merged if key != path and (key[: len(path)] == path or path[: len(key)] == key)]:
                del merged[other]
        merged.update(layer)
    return merged
