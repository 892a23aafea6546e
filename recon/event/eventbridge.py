"""The shape of AWS EventBridge: an entry of PutEvents, and the event as a rule sees it.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html and
https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html (read 2026-11)
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from recon.clock import iso
from recon.event.event import Event, decode

ENTRY_BYTES = 256 * 1024
"""What one entry may have in all, and one call of at most ten entries: its size is counted as `size_of` does."""

LIFTED = frozenset({"specversion", "type", "source", "subject", "time", "datacontenttype", "account", "region"})
"""Attributes that have a place of their own in AWS's envelope, or mean nothing there."""


def entry(event: Event, *, bus: str | None = None) -> dict[str, Any]:
    """The event for `put_events(Entries=[…])`. AWS gives its own id to each entry: ours is `detail.metadata.id`."""
    return {
        "Time": event.time,
        "Source": event.source.strip("/").replace("/", "."),
        "Resources": [event.subject],
        "DetailType": event.type,
        "Detail": msgspec.json.encode(detail(event), order="sorted").decode(),
        **({"EventBusName": bus} if bus is not None else {}),
    }


def detail(event: Event) -> dict[str, Any]:
    """What a rule matches on below `detail`: the metadata that AWS's envelope has no place for, and the data."""
    metadata = {name: value for name, value in event.attributes().items() if name not in LIFTED}
    return {"metadata": {**metadata, "version": event.dataversion}, **event.data}


def delivered(event: Event) -> dict[str, Any]:
    """The event as a target of a rule is given it, but for the id that AWS makes up."""
    one = entry(event)
    return {
        "version": "0",
        "id": event.id,
        "detail-type": one["DetailType"],
        "source": one["Source"],
        "account": event.account or "",
        "time": iso(event.time),
        "region": event.region or "",
        "resources": one["Resources"],
        "detail": detail(event),
    }


def received(document: Mapping[str, Any]) -> Event:
    """The event behind what a target of a rule is given, the reverse of `delivered`; raises ValueError for anything else.

    AWS cuts the time to the second, and gives the account and the region of the bus.
    """
    try:
        detail = dict(document["detail"])
        metadata = detail.pop("metadata")
        own = {name: value for name, value in metadata.items() if name != "version"}
        lifted = {
            "type": document["detail-type"],
            "source": "/" + document["source"].replace(".", "/"),
            "subject": document["resources"][0],
            "time": document["time"],
            "account": document["account"] or None,
            "region": document["region"] or None,
        }
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        msg = f"not an event of this system in EventBridge's shape: {error}"
        raise ValueError(msg) from error
    return decode(msgspec.json.encode({**own, **lifted, "data": detail}))


def size_of(put: dict[str, Any]) -> int:
    """An entry's bytes as AWS counts them: 14 for the time, and the UTF-8 of source, type, detail and resources.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html#eb-calculating-event-size
    """
    texts = (put["Source"], put["DetailType"], put["Detail"], *put["Resources"])
    return 14 + sum(len(text.encode()) for text in texts)
