"""`type = "eventbridge"`: events onto a bus of Amazon EventBridge, in its own shape; the extra `nightly-recon[aws]`.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html and
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html (read 2026-11)
"""

import threading
import time
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from recon.event import decode, entry
from recon.event.eventbridge import ENTRY_BYTES, size_of
from recon.publishers.address import Address
from recon.publishers.aws import BATCH, ENTRIES, Aws
from recon.publishers.aws_fault import NO_ANSWER, of_code
from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
from recon.publishers.fitting import fitting
from recon.publishers.keyed import Keyed, Parcel, prepared
from recon.section import Section

TYPE_CHARACTERS = 128
ENVELOPE_BYTES = 4096
"""Room kept for what an entry has beside the detail, and the detail beside the event."""
CONFIRMED = Outcome(kind=OutcomeKind.CONFIRMED)


class EventBridgePublisher:
    """Events as entries of PutEvents; `recon.event.eventbridge` has the shape, and the way back for who reads them behind a rule.

    Settings: `bus`, a name or an ARN, by default `default`, which may depend on the event; `endpoint_id` of a global endpoint;
    `max_bytes`, where a region takes less than a mebibyte; and those of `Aws.of`. A bus keeps no order and drops no repeat: readers go by
    `observed` and by our id, which is `detail.metadata.id`. CONFIRMED means that the bus has it; whether a rule matches is for the rules to
    say. A replay is not marked, since an entry has nothing beside its body.
    """

    def __init__(self, section: Section) -> None:
        self.name = section.name
        self._aws = Aws.of(section, "events")
        self._bus = Address.of(section, "bus", "default", unwanted=r"[^A-Za-z0-9._-]")
        self._endpoint_id: str | None = section.text("endpoint_id", None)
        if self._endpoint_id is not None and find_spec("awscrt") is None:
            # Global endpoints are signed with Signature Version 4A, which boto3 leaves to this library.
            raise section.bad("endpoint_id", "needs the library awscrt, which is not installed", hint='pip install "botocore[crt]"')
        self.max_bytes: int = section.integer("max_bytes", ENTRY_BYTES, low=1024 + ENVELOPE_BYTES)
        section.finish()
        if self.max_bytes > ENTRY_BYTES:
            raise section.bad("max_bytes", f"is {self.max_bytes:,}, and EventBridge takes at most {ENTRY_BYTES:,}")
        self.capabilities = Capabilities(batch=BATCH, max_bytes=self.max_bytes - ENVELOPE_BYTES, ordered=False)
        self._keyed = Keyed(self.name, most=ENTRIES, limit=self.max_bytes, at_once=self._aws.at_once)
        self._lock = threading.Lock()

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        until = time.monotonic() + deadline
        # Whoever closes waits for the call in hand, which its deadline ends.
        with self._lock:
            return fitting(batch, self.max_bytes - ENVELOPE_BYTES, lambda small: self._all(small, until))

    def _all(self, batch: Sequence[Message], until: float) -> Sequence[Outcome]:
        return prepared(batch, self._parcel, lambda parcels: self._keyed.send(parcels, until, self._sent))

    def health(self) -> str:
        bus = self._bus.template
        if "{" in bus:
            self._aws.looked(lambda client: client.list_event_buses(Limit=1), name=f"publisher {self.name}", place="EventBridge")
            return f"EventBridge answers; which bus an event goes to depends on it: {bus}"
        told = self._aws.looked(lambda client: client.describe_event_bus(Name=bus), name=f"publisher {self.name}", place=f"bus {bus}")
        if told is None:
            return f"bus {bus}: EventBridge answers; the credentials may not ask about the bus (events:DescribeEventBus)"
        return f"{told['Arn']} is there; a bus keeps no order"

    def close(self) -> None:
        with self._lock:
            self._keyed.close()
            self._aws.close()

    def _parcel(self, message: Message) -> Parcel:
        bus = self._bus(message)
        put = entry(decode(message.body), bus=bus)
        if len(put["DetailType"]) > TYPE_CHARACTERS:
            msg = f"the type {put['DetailType'][:40]}… has {len(put['DetailType'])} characters, and EventBridge takes at most {TYPE_CHARACTERS}"
            raise ValueError(msg)
        return Parcel(message=message, place=bus, entry=put, size=size_of(put))

    def _sent(self, bus: str, parcels: Sequence[Parcel]) -> Sequence[Outcome]:
        def send(client: Any, some: Sequence[Parcel]) -> Sequence[Outcome]:
            endpoint = {"EndpointId": self._endpoint_id} if self._endpoint_id is not None else {}
            answers = client.put_events(Entries=[parcel.entry for parcel in some], **endpoint).get("Entries", ())
            # They are told apart by their order alone: with another number of answers nobody knows which is whose.
            return [_outcome(one, bus) for one in answers] if len(answers) == len(some) else [NO_ANSWER] * len(some)

        return self._aws.tried(f"bus {bus}", parcels, send)


def _outcome(told: dict[str, Any], bus: str) -> Outcome:
    if told.get("ErrorCode"):
        return of_code(str(told["ErrorCode"]), str(told.get("ErrorMessage", "")), place=f"bus {bus}")
    return CONFIRMED if told.get("EventId") else NO_ANSWER
