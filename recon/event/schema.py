"""JSON Schema of an event's data, made from the job's fields; draft 2020-12."""

from collections.abc import Mapping
from typing import Any

from recon.event.types import EventType
from recon.job import Field, Job
from recon.kind import Boolean, Date, Decimal, Integer, Json, Kind, Money, Set, Text, Timestamp

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FINGERPRINT = {"type": "string", "pattern": "^[0-9a-f]*$", "description": "Of a side's compared values; empty where it lacked the item."}


def schema_of(job: Job, one: EventType) -> dict[str, Any]:
    """The schema of `data` in events of this type. More members than it names may come: adding one is no new version."""
    created, deleted = one.op == "created", one.op == "deleted"
    state = _state(job)
    return {
        "$schema": DIALECT,
        "$id": f"urn:recon:{one.name}:{one.version}",
        "title": f"{one.name} version {one.version}",
        "description": f"Correction of {job.domain}: {_words(one)}",
        "type": "object",
        "required": ["op", "key", "state", "before", "changed", "precondition", "observed"],
        "properties": {
            "op": {"const": one.op},
            "key": {"type": "string", "minLength": 1},
            "state": _null("Nothing: the source has not the item.") if deleted else {**state, "description": "What the source has."},
            "before": _null("Nothing: the target had not the item.") if created else {**state, "description": "What the target had."},
            "changed": {
                "type": "array",
                "items": {"enum": [f.name for f in job.compared]},
                **({"minItems": 1} if one.op == "updated" else {"maxItems": 0}),
                "description": "The compared fields that differ.",
            },
            "precondition": _object(
                {"fingerprint": FINGERPRINT}, "What the target held when it was looked at.", {} if created else _version(job, "target")
            ),
            "observed": _object(
                {"fingerprint": FINGERPRINT, "at": {"type": "string", "format": "date-time"}},
                "What the source held, and when it was asked.",
                {} if deleted else _version(job, "source"),
            ),
            "supersedes": {"type": "string", "format": "uuid", "description": "The event that this one replaces, which had no effect."},
        },
    }


def _words(one: EventType) -> str:
    return {
        "created": "the source has an item that the target lacks.",
        "updated": "both sides have the item, and it differs.",
        "deleted": "the target has an item that the source lacks.",
    }[one.op]


def _state(job: Job) -> dict[str, Any]:
    """An item's fields as events carry them; one that was not there at all in the provider's record is left out."""
    return {"type": "object", "properties": {f.name: _field(f) for f in job.fields}}


def _field(field: Field) -> dict[str, Any]:
    wire = dict(wire_of(field.of_kind))
    if "type" in wire:
        wire["type"] = [wire["type"], "null"]
    if field.personal:
        wire["x-personal"] = True
    return wire


def wire_of(kind: Kind) -> Mapping[str, Any]:
    """What a value of this kind looks like in an event, null aside; the table stands in `recon.kind`."""
    shape: dict[str, Any]
    match kind:
        case Text():
            shape = {"type": "string"}
        case Integer():
            shape = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
        case Decimal(scale=scale):
            fraction = f"\\.[0-9]{{{scale}}}" if scale else ""
            shape = {"type": "string", "pattern": f"^-?[0-9]+{fraction}$"}
        case Money(currency=currency):
            shape = {"type": "integer", "description": f"Minor units of {currency}."}
        case Timestamp():
            shape = {"type": "string", "format": "date-time"}
        case Date():
            shape = {"type": "string", "format": "date"}
        case Boolean():
            shape = {"type": "boolean"}
        case Set():
            shape = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
        case Json():
            shape = {}
    return shape


def _null(why: str) -> dict[str, Any]:
    return {"type": "null", "description": why}


def _version(job: Job, side: str) -> dict[str, Any]:
    """The side's own version of the item, where the job names the field; left out of an event where that side has no value there."""
    if job.versioned is None:
        return {}
    said = f"The {side}'s own version of the item: its field {job.versioned}."
    return {"version": {**wire_of(job.field(job.versioned).of_kind), "description": said}}


def _object(properties: Mapping[str, Any], description: str, optional: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": {**properties, **optional}, "description": description}
