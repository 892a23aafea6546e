"""The corrective event: one internal record, stored as CloudEvents 1.0 JSON.

Its id is a hash of the fact it tells (who, which item, what to do, what both sides held), so however often
the same discrepancy is seen, its event is the same one. Nothing of a run, a clock or a version is hashed.
"""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from recon.clock import iso, parse_iso
from recon.job import Operation

NAMESPACE = uuid.UUID("6f0c4d5e-8b7a-5c52-9f0e-2d1c0a9b7e34")
"""The namespace of every event id; it never changes."""

BIG_EVENT_BYTES = 64 * 1024
"""CloudEvents 1.0, "Size Limits": intermediaries must forward events of up to 64 KiB, and need not larger ones."""


def event_id(*, source: str, key: str, op: Operation, source_token: str, target_token: str, generation: int) -> str:
    """The deterministic id. Tokens are fingerprints of each side's compared values, "" where it has no item."""
    fact = msgspec.json.encode([source, key, op, source_token, target_token, generation])
    return str(uuid.uuid5(NAMESPACE, hashlib.sha256(fact).hexdigest()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One correction, as it is stored, sent and sent again."""

    #: Deterministic, see `event_id`.
    id: str
    #: `order.updated`: stable, for routing; at most 128 characters.
    type: str
    #: `/recon/<system>/<domain>`.
    source: str
    #: `order/42`.
    subject: str
    #: The source record's own time of change, else the run's persisted logical start; never the wall clock.
    time: datetime
    #: The run's logical start.
    recorded: datetime
    #: The breaking version of `data`.
    dataversion: int
    #: The entity's key: the order of events counts within it only.
    partitionkey: str
    #: The run that detected the discrepancy first.
    run: str
    #: How often this discrepancy was opened again.
    generation: int
    #: op, key, state, before, changed[], precondition{fingerprint}, observed{fingerprint, at}; in both the side's own version of the item,
    #: where the job names that field; supersedes, where it replaces one.
    data: Mapping[str, Any]
    #: The tenant and the region that it is about, where the job names them.
    account: str | None = None
    region: str | None = None
    #: Until when this version of the type is still sent, where a newer one is there: an ISO date.
    sunset: str | None = None

    @property
    def operation(self) -> str:
        """created, updated or deleted."""
        return str(self.data.get("op", ""))

    def attributes(self) -> dict[str, Any]:
        """Everything but the data, by the names of CloudEvents 1.0 (extension names are lower case letters and digits)."""
        optional = {"account": self.account, "region": self.region, "deprecationsunset": self.sunset}
        return {
            "specversion": "1.0",
            "id": self.id,
            "type": self.type,
            "source": self.source,
            "subject": self.subject,
            "time": iso(self.time),
            "datacontenttype": "application/json",
            "recordedtime": iso(self.recorded),
            "dataversion": self.dataversion,
            "partitionkey": self.partitionkey,
            "origin": "reconciliation",
            "reconrunid": self.run,
            "correlationid": self.id,
            "generation": self.generation,
            **({"deprecated": True} if self.sunset is not None else {}),
            **{name: value for name, value in optional.items() if value is not None},
        }

    def cloudevent(self) -> dict[str, Any]:
        """The structured form: attributes and data in one object."""
        return {**self.attributes(), "data": dict(self.data)}

    def encode(self) -> bytes:
        """The bytes that are stored once and sent on every repeat."""
        return msgspec.json.encode(self.cloudevent(), order="sorted")


def decode(raw: bytes) -> Event:
    """The event that `Event.encode` wrote; raises ValueError for anything else."""
    try:
        body = msgspec.json.decode(raw)
        return Event(
            id=body["id"],
            type=body["type"],
            source=body["source"],
            subject=body["subject"],
            time=parse_iso(body["time"]),
            recorded=parse_iso(body["recordedtime"]),
            dataversion=body["dataversion"],
            partitionkey=body["partitionkey"],
            run=body["reconrunid"],
            generation=body["generation"],
            data=body["data"],
            account=body.get("account"),
            region=body.get("region"),
            sunset=body.get("deprecationsunset"),
        )
    except (KeyError, TypeError, msgspec.DecodeError) as error:
        msg = f"not an event of this system: {error}"
        raise ValueError(msg) from error
