"""The register: the event types of a project as they were agreed on, in a file that is committed, and what may not change behind it.

A consumer reads a version as it was when it was written for. A field may be added; taking one out, or making it of another kind,
is a new version. The schemas of older versions stay in the file: what the job's steps make is held against them.
"""

from collections.abc import Iterable, Mapping
from datetime import date
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


def register_of(jobs: Mapping[str, Job], before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Every type of these jobs with its version and schema, by `domain type`; of its older versions the schema as `before` has it."""
    types: dict[str, Any] = {}
    agreed = before["types"] if before is not None else {}
    for domain, job in sorted(jobs.items()):
        for one in types_of(job):
            name = f"{domain} {one.name}"
            older = _older(job, agreed.get(name))
            types[name] = {"version": one.version, "data": schema_of(job, one), **({"older": older} if older else {})}
    return {"schema": SCHEMA, "types": types}


def _older(job: Job, agreed: Mapping[str, Any] | None) -> dict[str, Any]:
    """The older versions of a type: `data`, the schema that was agreed on, `up` where the job raises it, `sunset` where it is sent."""
    known = {number: entry["data"] for number, entry in agreed.get("older", {}).items() if "data" in entry} if agreed is not None else {}
    if agreed is not None and agreed["version"] < job.event_version:
        known[str(agreed["version"])] = agreed["data"]
    found: dict[str, dict[str, Any]] = {number: {"data": data} for number, data in known.items() if int(number) < job.event_version}
    for one in job.versions:
        found.setdefault(str(one.number), {})["up"] = True
    for one in job.chain.sent:
        found[str(one.number)]["sunset"] = one.sunset
    return found


def schema_in(register: Mapping[str, Any] | None, domain: str, name: str, version: int) -> Mapping[str, Any] | None:
    """The schema of an older version of a type, where the register has it."""
    entry = register["types"].get(f"{domain} {name}", {}) if register is not None else {}
    found: Mapping[str, Any] | None = entry.get("older", {}).get(str(version), {}).get("data")
    return found


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


def changes(before: Mapping[str, Any], now: Mapping[str, Any], *, today: date) -> list[str]:
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
        else:
            found += [f"{name}: {what}" for what in _no_way(agreed["version"], current)]
        found += [f"{name}: {what}" for what in _cut_short(agreed, current, today)]
    return found


def _no_way(agreed: int, current: Mapping[str, Any]) -> Iterable[str]:
    """Where the version was raised, and nothing raises what was stored in the one that was agreed on."""
    ways = current.get("older", {})
    missing = [number for number in range(agreed, current["version"]) if not ways.get(str(number), {}).get("up")]
    if missing:
        which = " and ".join(map(str, missing))
        yield f"version {agreed} became {current['version']}, and nothing raises version {which}: versions=(Version(number={missing[0]}, up=…),)"


def _cut_short(agreed: Mapping[str, Any], current: Mapping[str, Any], today: date) -> Iterable[str]:
    """Where an older version was promised until a day that is still to come, and ends before it."""
    for number, entry in agreed.get("older", {}).items():
        promised = entry.get("sunset")
        ends = current.get("older", {}).get(number, {}).get("sunset")
        if promised is not None and today <= date.fromisoformat(promised) and (ends is None or ends < promised):
            how = f"ends on {ends}" if ends is not None else "is sent no more"
            yield f"version {number} was promised until {promised} and {how}: keep its down= and sunset={promised!r} until then"


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
