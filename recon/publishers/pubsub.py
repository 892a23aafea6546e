"""`type = "pubsub"`: events to a topic of Google Pub/Sub; the extra `nightly-recon[pubsub]`.

A request is taken whole or not at all, and its messages have one ordering key between them: so there is a request for each key, and many
of them under way at once. The client library's own publisher would do the same from threads of its own and repeat by itself for minutes;
this one calls Publish as that does, and leaves what is sent again to the outbox.
https://docs.cloud.google.com/pubsub/docs/reference/rest/v1/PubsubMessage, https://cloud.google.com/pubsub/docs/ordering and
https://cloud.google.com/pubsub/quotas#resource_limits (read 2026-11)
"""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from recon.errors import DeliveryError
from recon.publishers.address import Address
from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
from recon.publishers.extra import needs
from recon.publishers.fitting import fitting
from recon.publishers.headers import FORMS, wire_of
from recon.publishers.keyed import LATE, Parcel, hashed, prepared
from recon.publishers.pubsub_channel import PubSubChannel
from recon.publishers.pubsub_fault import of_error
from recon.publishers.rounds import STUCK
from recon.section import Section

BATCH = 1000
MESSAGES = 1000
"""What one request takes."""
REQUEST_BYTES = 10_000_000
ROOM_BYTES = 64 * 1024
"""Room kept for what a request and a message have beside the body."""
VALUE_BYTES = 1024
"""What the value of an attribute may have, and an ordering key."""
IN_FLIGHT = 100
CONFIRMED = Outcome(kind=OutcomeKind.CONFIRMED)


class PubSubPublisher:
    """Events as messages, the item's key their ordering key.

    Settings: `topic`, `projects/PROJECT/topics/NAME` or with `project` the name alone, which may depend on the event; `form`, `structured`
    (the CloudEvents JSON, the default) or `binary` (the data, with the attributes beside it); `ordered = false`, for large requests
    without ordering keys; and those of `PubSubChannel`. Order per key needs a subscription with message ordering. CONFIRMED means that
    the answer has an id for the message: Pub/Sub has stored it. A repeat is not recognised: readers go by our id.
    """

    def __init__(self, section: Section) -> None:
        needs(section, "google.cloud.pubsub_v1", "pubsub")
        self.name = section.name
        self._topic = _topic(section)
        self._form: str = section.choice("form", FORMS, "structured")
        self._ordered: bool = section.flag("ordered", True)
        self._channel = PubSubChannel(section)
        section.finish()
        self.capabilities = Capabilities(batch=BATCH, max_bytes=REQUEST_BYTES - ROOM_BYTES, ordered=self._ordered)
        self._lock = threading.Lock()

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        until = time.monotonic() + deadline
        # Whoever closes waits for the call in hand, which its deadline ends.
        with self._lock:
            return fitting(
                batch, REQUEST_BYTES - ROOM_BYTES, lambda small: prepared(small, self._parcel, lambda made: self._sent(made, until))
            )

    def health(self) -> str:
        """Asks what the credentials may do on the topic, which needs no right of its own; nothing is published."""
        topic = self._topic.template
        try:
            if "{" in topic:
                self._channel.connected(5.0)
                return f"Pub/Sub takes connections; which topic an event goes to depends on it: {topic}"
            allowed = self._channel.may_publish(topic)
        except Exception as error:
            reason = of_error(error, topic=topic).reason
            raise DeliveryError(f"publisher {self.name}: {reason}", hint="check topic, project, endpoint and the credentials") from error
        if not allowed:
            msg = f"publisher {self.name}: the credentials may not publish to {topic}"
            raise DeliveryError(msg, hint="grant roles/pubsub.publisher on the topic")
        return f"{topic} is there and takes events"

    def close(self) -> None:
        with self._lock:
            self._channel.close()

    def _parcel(self, message: Message) -> Parcel:
        """Raises ValueError for what no request could carry."""
        headers, data = wire_of(message, self._form)
        if self._form == "structured":
            # They are a help to filters here: the body has them all.
            headers = {name: value for name, value in headers.items() if len(value) <= VALUE_BYTES}
        elif long := [name for name, value in headers.items() if len(value) > VALUE_BYTES]:
            msg = f"the attribute {long[0]} has {len(headers[long[0]]):,} bytes, and at most {VALUE_BYTES:,} are taken; form = structured takes it"
            raise ValueError(msg)
        entry = {"data": data, "attributes": headers}
        if self._ordered:
            key = message.partitionkey
            entry["ordering_key"] = key if len(key.encode()) <= VALUE_BYTES else hashed(key)
        size = len(data) + sum(len(name) + len(value) for name, value in headers.items()) + 16 * len(headers) + 64
        return Parcel(message=message, place=self._topic(message), entry=entry, size=size)

    def _sent(self, parcels: Sequence[Parcel], until: float) -> list[Outcome]:
        outcomes: list[Outcome] = [LATE] * len(parcels)
        lines = self._lines(parcels)
        stopped: dict[str, Outcome] = {}
        while lines:
            wave = [line.popleft() for line in lines]
            for line, (bundle, found) in zip(lines, self._wave(parcels, wave, until, stopped), strict=True):
                for index, outcome in zip(bundle, found, strict=True):
                    outcomes[index] = outcome
                if any(outcome.kind in STUCK for outcome in found):
                    while line:
                        for index in line.popleft():
                            outcomes[index] = _held(parcels[index], found[-1])
            lines = [line for line in lines if line]
        return outcomes

    def _lines(self, parcels: Sequence[Parcel]) -> list[deque[list[int]]]:
        """Requests to be, of one topic and key each, those of one line one after another."""
        lines: dict[tuple[str, ...], deque[list[int]]] = {}
        sizes: dict[tuple[str, ...], int] = {}
        for index, parcel in enumerate(parcels):
            name = (parcel.place, parcel.message.partitionkey) if self._ordered else (parcel.place,)
            line = lines.setdefault(name, deque([[]]))
            if line[-1] and (len(line[-1]) == MESSAGES or sizes[name] + parcel.size > REQUEST_BYTES - ROOM_BYTES):
                line.append([])
                sizes[name] = 0
            line[-1].append(index)
            sizes[name] = sizes.get(name, 0) + parcel.size
        return list(lines.values())

    def _wave(
        self, parcels: Sequence[Parcel], wave: Sequence[list[int]], until: float, stopped: dict[str, Outcome]
    ) -> Iterator[tuple[list[int], list[Outcome]]]:
        """Each request's outcomes, in order, with at most IN_FLIGHT under way. A topic that a whole request failed at is given no further ones."""
        flying: deque[tuple[list[int], list[Parcel], Any]] = deque()
        for bundle in [*wave, *[None] * IN_FLIGHT]:
            if bundle is not None:
                some = [parcels[index] for index in bundle]
                flying.append((bundle, some, self._started(some, until, stopped)))
            if flying and (bundle is None or len(flying) >= IN_FLIGHT):
                oldest, those, call = flying.popleft()
                found = self._ended(those, call, until)
                if all(outcome.kind in STUCK for outcome in found) and those[0].place not in stopped:
                    stopped[those[0].place] = Outcome(
                        kind=OutcomeKind.RETRY, reason=f"not sent after: {found[0].reason}", after=found[0].after
                    )
                yield oldest, found

    def _started(self, some: Sequence[Parcel], until: float, stopped: dict[str, Outcome]) -> Any:
        """A call under way, or the outcome of one that is not made."""
        topic, left = some[0].place, until - time.monotonic()
        if topic in stopped:
            return stopped[topic]
        if left <= 0:
            return LATE
        try:
            return self._channel.call(topic, [parcel.entry for parcel in some], left)
        except Exception as error:  # noqa: BLE001 - credentials are read here, from files and other machines.
            return of_error(error, topic=topic)

    def _ended(self, some: Sequence[Parcel], call: Any, until: float) -> list[Outcome]:
        """What became of one request; one that is refused for a message of its own is halved until that one is alone."""
        if isinstance(call, Outcome):
            return [call] * len(some)
        try:
            ids = call.result().message_ids
        except Exception as error:  # noqa: BLE001 - gRPC raises errors of its own and of the credentials.
            outcome = of_error(error, topic=some[0].place)
        else:
            missing = Outcome(kind=OutcomeKind.UNKNOWN, reason="sent, and the answer does not say what became of it")
            return [CONFIRMED if len(ids) == len(some) else missing] * len(some)
        if outcome.kind is not OutcomeKind.REJECTED or len(some) == 1:
            return [outcome] * len(some)
        middle = len(some) // 2
        found = self._ended(some[:middle], self._started(some[:middle], until, {}), until)
        if any(one.kind in STUCK for one in found):
            return found + [_held(parcel, found[-1]) for parcel in some[middle:]]
        return found + self._ended(some[middle:], self._started(some[middle:], until, {}), until)


def _held(parcel: Parcel, before: Outcome) -> Outcome:
    reason = f"an earlier event of {parcel.message.subject} has to arrive first"
    return Outcome(kind=OutcomeKind.RETRY, reason=reason, after=before.after)


def _topic(section: Section) -> Address:
    project: str | None = section.text("project", None)
    name: str = section.text("topic")
    if not name.startswith("projects/"):
        if project is None:
            raise section.bad("topic", "is no whole name", hint='topic = "projects/PROJECT/topics/NAME", or project = "PROJECT" beside it')
        name = f"projects/{project}/topics/{name}"
    parts = name.split("/")
    if len(parts) != 4 or parts[2] != "topics" or not all(parts):
        raise section.bad("topic", "is no name of a topic", hint='topic = "projects/PROJECT/topics/NAME"')
    Address.of(section, "topic", name)  # It refuses a place that no event has.
    # https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names: letters, digits, and - . _ ~ % +
    return Address(name, unwanted=r"[^A-Za-z0-9._~+-]")
