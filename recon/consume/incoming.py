"""From what came in to events: CloudEvents structured, binary or in batches, and what a rule of EventBridge hands on."""

from collections.abc import Mapping
from typing import Any

import msgspec

from recon.event import Event, decode
from recon.event.cloudevents import PREFIX, of_wire
from recon.event.eventbridge import of_delivered

REPLAY = "recon-replay-id"
PLAIN_JSON = ("", "application/json", "text/json", "text/plain", "application/octet-stream")
"""Content types that say nothing of the form; the body itself tells it."""


def events_of(body: bytes, headers: Mapping[str, str], *, prefix: str = PREFIX) -> list[Event]:
    """The events of a message or a request, headers by lower-case names; raises ValueError, in words, for anything else."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        found = _told(body) if kind in PLAIN_JSON and f"{prefix}specversion" not in headers else of_wire(headers, body, prefix=prefix)
    except RecursionError:
        msg = "not an event of this system: it is nested too deep"
        raise ValueError(msg) from None
    for event in found:
        _sound(event)
    return found


def _told(body: bytes) -> list[Event]:
    """By what the JSON looks like."""
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        msg = f"not an event of this system: {error}"
        raise ValueError(msg) from None
    if isinstance(document, list):
        return [_of_document(one) for one in document]
    return [decode(body) if isinstance(document, dict) and "specversion" in document else _of_document(document)]


def _of_document(document: Any) -> Event:
    if isinstance(document, dict) and "detail-type" in document:
        return of_delivered(document)
    if isinstance(document, dict) and "specversion" in document:
        return decode(msgspec.json.encode(document))
    msg = "not an event of this system: neither specversion nor detail-type is in it"
    raise ValueError(msg)


def _sound(event: Event) -> None:
    """The members that are acted on are of their kinds."""
    texts: tuple[Any, ...] = (event.id, event.type, event.partitionkey)
    number: Any = event.dataversion
    data: Any = event.data
    if not all(isinstance(one, str) and one for one in texts) or type(number) is not int or not isinstance(data, dict):
        msg = "not an event of this system: id, type and partitionkey are texts, dataversion is a number, data is an object"
        raise ValueError(msg)
