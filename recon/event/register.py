"""The register: the event types of a project as they were agreed on, in a file that is committed, and what may not change behind it.

A consumer reads a version as it was when it was written for. A field may be added; taking one out, or making it of another kind,
is a new version.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from recon.errors import BadSetting
from recon.event.schema import schema_of
from recon.event.types import types_of
from recon.files import write_atomically
from recon.job import Job

FILE = "events.json"
SCHEMA = "recon.events/1"


def register_of(jobs: Mapping[str, Job]) -> dict[str, Any]:
    """Every type of these jobs with its version and schema, by `domain type`."""
    types = {
        f"{domain} {one.name}": {"version": one.version, "data": schema_of(job, one)}
        for domain, job in sorted(jobs.items())
        for one in types_of(job)
    }
    return {"schema": SCHEMA, "types": types}


def written(file: Path) -> dict[str, Any] | None:
    """The register in a file; None where there is no file. Raises BadSetting for one that is none."""
    try:
        found = msgspec.json.decode(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        msg = f"{file.name}: cannot be read as JSON: {error}"
        raise BadSetting(msg, hint="restore it from version control, or write it anew: recon events lock") from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or not isinstance(found.get("types"), dict):
        msg = f"{file.name}: holds no register of event types ({SCHEMA})"
        raise BadSetting(msg, hint="restore it from version control, or write it anew: recon events lock")
    return found


def write(file: Path, register: Mapping[str, Any]) -> None:
    """Puts the register into its file. Raises LocalFault."""
    write_atomically(file, [msgspec.json.format(msgspec.json.encode(register, order="sorted"), indent=2) + b"\n"])


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What breaks a promise that the register made: one sentence each, naming type, field and the way out; empty where nothing does."""
    found: list[str] = []
    for name, agreed in before["types"].items():
        current = now["types"].get(name)
        if current is None:
            # A type that is emitted no more breaks nobody's reading; whoever waits for it is told by its publisher's owner.
            continue
        if current["version"] < agreed["version"]:
            found.append(
                f"{name}: version {current['version']} is older than the {agreed['version']} that was agreed on; versions only rise"
            )
        elif current["version"] == agreed["version"]:
            up = agreed["version"] + 1
            found += [f"{name}: {what}, so it is version {up}: event_version={up}" for what in _broken(agreed["data"], current["data"])]
    return found


def _broken(agreed: Mapping[str, Any], current: Mapping[str, Any]) -> Iterable[str]:
    before, now = _fields(agreed), _fields(current)
    for field, shape in before.items():
        if field not in now:
            yield f"field {field} is gone"
        elif (was := _type(shape)) != (is_ := _type(now[field])):
            yield f"field {field} was {was} and is {is_}"


def _fields(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The item's fields, wherever this type carries them."""
    for place in ("state", "before"):
        fields = data["properties"][place].get("properties")
        if fields is not None:
            return dict(fields)
    return {}


def _type(shape: Mapping[str, Any]) -> str:
    """What a reader has to know of a value, in words; descriptions aside."""
    kinds = shape.get("type", "any")
    name = next((one for one in kinds if one != "null"), "null") if isinstance(kinds, list) else str(kinds)
    form = shape.get("format") or shape.get("pattern")
    units = shape.get("description", "") if str(shape.get("description", "")).startswith("Minor units") else ""
    return " ".join(part for part in (name, f"({form})" if form else "", units.removesuffix(".").replace("Minor", "minor")) if part)
