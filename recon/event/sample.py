"""Data made up from a schema of ours, to try a version's steps on before a real event needs them, and what of a schema data breaks."""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from recon.clock import parse_iso

TEXTS = {"date-time": "2026-01-02T03:04:05Z", "date": "2026-01-02", "uuid": "6f0c4d5e-8b7a-5c52-9f0e-2d1c0a9b7e34"}
PATTERNED = ("12", *(f"12.{'3' * scale}" for scale in range(1, 39)), "0a1b")
"""One of these fits each pattern that `recon.event.schema` writes."""

NAMES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int, "number": (int, float),
}  # fmt: skip


def samples(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Data that the schema holds for valid: with a value in every place, and with null wherever null is allowed."""
    yield _value(schema, bare=False)
    yield _value(schema, bare=True)


def _value(schema: Mapping[str, Any], *, bare: bool) -> Any:  # noqa: PLR0911 - a return for each type, read as a table
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    kinds = schema.get("type", "string")
    several = kinds if isinstance(kinds, list) else [kinds]
    if "null" in several and (bare or len(several) == 1):
        return None
    match next(kind for kind in several if kind != "null"):
        case "object":
            return {name: _value(one, bare=bare) for name, one in schema.get("properties", {}).items()}
        case "array":
            items = schema.get("items", {})
            return [] if schema.get("maxItems") == 0 else list(items["enum"]) if "enum" in items else [_value(items, bare=bare)]
        case "integer" | "number":
            return max(7, schema.get("minimum", 7))
        case "boolean":
            return True
        case _:
            return _text(schema)


def _text(schema: Mapping[str, Any]) -> str:
    if "pattern" in schema:
        return next((text for text in PATTERNED if re.search(schema["pattern"], text)), "12")
    return TEXTS.get(schema.get("format", ""), "text")


def misfits(schema: Mapping[str, Any], value: Any, place: str = "data") -> Iterator[str]:
    """What of `value` breaks the schema, one sentence each; of JSON Schema it knows what `recon.event.schema` writes."""
    kinds = schema.get("type", [])
    several = kinds if isinstance(kinds, list) else [kinds]
    if several and not any(_is(value, kind) for kind in several):
        yield f"{place} is {_kind(value)}, where {' or '.join(several)} is wanted"
        return
    if "const" in schema and value != schema["const"]:
        yield f"{place} is {value!r}, where {schema['const']!r} is wanted"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place} has {value!r}, which is none of {', '.join(map(str, schema['enum']))}"
    if isinstance(value, str) and not _written(schema, value):
        yield f"{place} is {value!r}, which is no {schema.get('format') or schema.get('pattern')}"
    if isinstance(value, dict):
        yield from _members(schema, value, place)
    if isinstance(value, list):
        for one in value:
            yield from misfits(schema.get("items", {}), one, f"{place}[]")


def _members(schema: Mapping[str, Any], value: Mapping[str, Any], place: str) -> Iterator[str]:
    yield from (f"{place}.{name} is not there" for name in schema.get("required", ()) if name not in value)
    for name, one in schema.get("properties", {}).items():
        if name in value:
            yield from misfits(one, value[name], f"{place}.{name}")


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, NAMES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _kind(value: Any) -> str:
    return next((kind for kind in NAMES if _is(value, kind)), type(value).__name__)


def _written(schema: Mapping[str, Any], text: str) -> bool:
    if "pattern" in schema and not re.search(schema["pattern"], text):
        return False
    try:
        if schema.get("format") == "date-time":
            parse_iso(text)
        elif schema.get("format") == "date":
            date.fromisoformat(text)
    except ValueError:
        return False
    return True
