"""The shape of AWS EventBridge: an entry of PutEvents, and the event as a rule sees it.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html and
https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html (read 2026-11)
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from recon.clock import iso, parse_iso
from recon.event.event import Event

ENTRY_BYTES = 1024 * 1024
"""What one entry may have in all, and one call of at most ten entries: its size is counted as `size_of` does. 256 KiB until January 2026.

https://aws.amazon.com/blogs/compute/more-room-to-build-serverless-services-now-support-payloads-up-to-1-mb (read 2026-11)
"""

LIFTED = frozenset({"specversion", "type", "subject", "datacontenttype"})
"""Attributes that AWS's envelope carries as they are, or that mean nothing there. Its `time` is cut to the second, its `source` has no
slashes, its `account` and `region` are those of the bus: so ours stand in the metadata as well."""

METADATA = "metadata"


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
    return {**event.data, METADATA: {**metadata, "version": event.dataversion}}


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


def of_delivered(told: Mapping[str, Any]) -> Event:
    """The event that a target of a rule was given, the reverse of `delivered`; raises ValueError for what is none of ours."""
    try:
        data = dict(told["detail"])
        metadata = data.pop(METADATA)
        return Event(
            id=metadata["id"],
            type=told["detail-type"],
            source=metadata.get("source") or "/" + told["source"].replace(".", "/"),
            subject=told["resources"][0],
            time=parse_iso(metadata.get("time") or told["time"]),
            recorded=parse_iso(metadata["recordedtime"]),
            dataversion=metadata["dataversion"],
            partitionkey=metadata["partitionkey"],
            run=metadata["reconrunid"],
            generation=metadata["generation"],
            data=data,
            account=metadata.get("account"),
            region=metadata.get("region"),
            sunset=metadata.get("deprecationsunset"),
        )
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        msg = f"not an event of this system in EventBridge's shape: {error!r}"
        raise ValueError(msg) from error


def size_of(put: dict[str, Any]) -> int:
    """An entry's bytes as AWS counts them: 14 for the time, and the UTF-8 of source, type, detail and resources.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html#eb-calculating-event-size
    """
    texts = (put["Source"], put["DetailType"], put["Detail"], *put["Resources"])
    return 14 + sum(len(text.encode()) for text in texts)
