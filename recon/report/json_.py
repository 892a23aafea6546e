"""JSON: one document per run, `"schema": "recon.run/1"`; its JSON Schema is shipped beside this file.

Keys are the names of `RunFigures`; times are text in UTC with `Z`, durations seconds, money minor units, shares between 0 and 1.
Within version 1 keys are only ever added.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from importlib.resources import files
from typing import Any

import msgspec

from recon.clock import iso
from recon.inert import json_bytes
from recon.report.figures import Item, RunFigures
from recon.report.verdict import statement

SCHEMA = "recon.run/1"
RUNS_SCHEMA = "recon.runs/1"


def wire(value: Any) -> Any:
    """Any value of the figures as JSON types: dataclasses as objects by field name, times by `clock.iso`."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: wire(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Mapping):
        return {str(key): wire(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [wire(item) for item in value]
    return value


def item_document(item: Item) -> dict[str, Any]:
    """One discrepancy as JSON types."""
    return {
        "key": item.key,
        "kind": item.kind.value,
        "standing": item.standing.value,
        "changed": list(item.changed),
        "source": None if item.source is None else dict(item.source),
        "target": None if item.target is None else dict(item.target),
        "first_seen": iso(item.first_seen),
        "nights": item.nights,
        "event": item.event,
        "link": item.link,
        "created_at": None if item.created_at is None else iso(item.created_at),
        "money": item.money,
        "currency": item.currency,
        "acknowledged": item.acknowledged,
        "waits": item.waits,
    }


def document(figures: RunFigures, items: Iterable[Item] | None = None) -> dict[str, Any]:
    """The whole document; `items` only where they are wanted."""
    body: dict[str, Any] = {"schema": SCHEMA, **wire(figures), "discrepancies": figures.discrepancies}
    # The same lines that a person reads below the verdict, commands marked as such.
    body["next"] = [{"label": step.label, "text": step.text, "command": step.command} for step in statement(figures).steps]
    if items is not None:
        body["items"] = [item_document(item) for item in items]
    return body


def runs_document(runs: Iterable[RunFigures]) -> dict[str, Any]:
    """Several runs in one document, `"schema": "recon.runs/1"`."""
    return {"schema": RUNS_SCHEMA, "runs": [document(figures) for figures in runs]}


def text(body: Mapping[str, Any]) -> str:
    """A document as indented JSON with a line end, for stdout."""
    return msgspec.json.format(json_bytes(body), indent=2).decode() + "\n"


def pieces(figures: RunFigures, items: Callable[[], Iterator[Item]]) -> Iterator[bytes]:
    """The document with its items, one a line, streamed."""
    head = msgspec.json.format(json_bytes(document(figures)), indent=2).rstrip()
    yield head.removesuffix(b"}").rstrip() + b',\n  "items": ['
    separator = b"\n    "
    for item in items():
        yield separator + json_bytes(item_document(item))
        separator = b",\n    "
    yield b"\n  ]\n}\n"


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `document`."""
    loaded: dict[str, Any] = msgspec.json.decode(files("recon.report").joinpath("assets", "run.schema.json").read_bytes())
    return loaded
