"""Events out of Kafka, or what speaks its protocol; the extra `nightly-recon[kafka]`."""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from recon.consume.reader import Received
from recon.errors import DeliveryError
from recon.publishers.asking import Way
from recon.publishers.librdkafka import Quiet, explained

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

COMMIT_SECONDS = 10.0
"""For the broker's word that an offset is written down."""

SLICE_SECONDS = 0.1
MOST_OPEN = 10_000
"""So far a partition is read beyond its oldest message that is not done."""

OURS = {
    "group.id": "is the argument `group`",
    "bootstrap.servers": "is the argument `brokers`",
    "enable.auto.commit": "a message is done when whoever took it in says so, and not before",
    "enable.auto.offset.store": "a message is done when whoever took it in says so, and not before",
    "enable.ssl.certificate.verification": "a broker's certificate is always verified",
    "ssl.endpoint.identification.algorithm": "a broker's name is always verified",
}
"""Keys of librdkafka that are no options here, and why."""

Place = tuple[str, int]
"""Topic and partition."""


@dataclass(slots=True)
class _Line:
    """A partition's messages that were handed over, from the oldest that is not done."""

    #: Offsets, in order.
    open: dict[int, None] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    paused: bool = False

    def front(self) -> list[int]:
        """The offsets that are done, and so are all before them."""
        return list(takewhile(self.done.__contains__, self.open))

    def forget(self, offsets: Sequence[int]) -> None:
        """They are written down as done."""
        for offset in offsets:
            self.open.pop(offset, None)
            self.done.discard(offset)


class KafkaReader:
    """Records of a topic, read for a group of consumers; a record is done when all before it in its partition are.

    `topic` is a name, or several. Without `partitions` the readers of one group share them, and one that ends leaves its own to the
    others; with it, those are read and no others. Where the group has been nowhere yet it begins with the oldest record.
    `options` are further keys of librdkafka: `{"security.protocol": "SASL_SSL", "sasl.username": …}`.

    What is given back is kept here and handed over again, ahead of what follows it in its partition. When a partition goes to another reader of
    the group, that one begins with the oldest record that is not done; `done` of what had been handed over here says nothing any more.
    Not for two threads at a time, but for `close`.
    """

    prefix = "ce_"

    def __init__(
        self,
        brokers: str,
        topic: str | Sequence[str],
        group: str,
        *,
        partitions: Sequence[int] | None = None,
        options: Mapping[str, Any] | None = None,
        name: str = "kafka",
    ) -> None:
        wrong = sorted(OURS.keys() & (options or {}).keys())
        if wrong:
            msg = f"options: {wrong[0]}: {OURS[wrong[0]]}"
            raise ValueError(msg)
        self.name = name
        self._brokers = brokers
        self._topics = [topic] if isinstance(topic, str) else list(topic)
        self._partitions = partitions
        self._conf = {
            "client.id": "nightly-recon",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "partition.assignment.strategy": "cooperative-sticky",
            "reconnect.backoff.max.ms": 1000,
            **(options or {}),
            "bootstrap.servers": brokers,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
        }
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._consumer: Consumer | None = None
        self._way = Way()
        self._lines: dict[Place, _Line] = {}
        self._back: list[Received] = []
        self._early: deque[Message] = deque()
        self._commits: list[KafkaError | None] = []

    def receive(self, most: int, wait: float) -> Sequence[Received]:
        until = time.monotonic() + wait
        while True:
            with self._lock:
                if self._closing.is_set():
                    return ()
                found = self._next(most, min(SLICE_SECONDS, max(0.0, until - time.monotonic())))
                if found:
                    return found
                if self._way.lost:
                    self._see()
                if time.monotonic() >= until:
                    return ()

    def done(self, received: Sequence[Received]) -> None:
        with self._lock:
            for one in received:
                place, offset = one.handle
                if place in self._lines and offset in self._lines[place].open:
                    self._lines[place].done.add(offset)
            fronts = {place: front for place, line in self._lines.items() if (front := line.front())}
            if fronts:
                self._commit({place: front[-1] + 1 for place, front in fronts.items()})
            for place, front in fronts.items():
                if place in self._lines:
                    self._lines[place].forget(front)
                    self._keep_pace(place)

    def again(self, received: Sequence[Received]) -> None:
        with self._lock:
            waiting = {one.handle for one in self._back}
            for one in received:
                place, offset = one.handle
                # A partition may be another reader's by now, which begins with this very message.
                if place in self._lines and offset in self._lines[place].open and one.handle not in waiting:
                    self._lines[place].done.discard(offset)
                    self._back.append(replace(one, attempt=one.attempt + 1))
            self._back.sort(key=lambda one: one.handle)

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            consumer, self._consumer = self._consumer, None
            if consumer is not None:
                consumer.close()

    def _next(self, most: int, wait: float) -> list[Received]:
        """What was given back, and what the broker brings."""
        # What was given back comes first, and what is there behind it with it: it holds up its own key, and no other.
        fresh = self._fresh(most - len(self._back), 0.0 if self._back else wait) if len(self._back) < most else []
        found, self._back = self._back[:most], self._back[most:]
        return found + fresh

    def _fresh(self, most: int, wait: float) -> list[Received]:
        """What the broker brings that was not in hand before."""
        consumer = self._connected()
        messages = [self._early.popleft() for _ in range(min(most, len(self._early)))]
        if not messages and (first := consumer.poll(wait)) is not None:
            messages = [first]
        if len(messages) < most:
            messages += consumer.consume(most - len(messages), 0)
        good = [message for message in messages if message.error() is None]
        if good:
            self._way.well()
        elif messages:
            self._complain(messages[0].error())
        return [self._handed(message) for message in good]

    def _handed(self, message: "Message") -> Received:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None
        assert partition is not None
        assert offset is not None
        place = topic, partition
        self._lines.setdefault(place, _Line()).open[offset] = None
        self._keep_pace(place)
        return Received(
            body=_bytes(message.value()), headers=_headers(message), place=f"{topic}[{partition}]@{offset}", handle=(place, offset)
        )

    def _connected(self) -> "Consumer":
        from confluent_kafka import Consumer, TopicPartition

        if self._consumer is None:
            callbacks: dict[str, Any] = {"error_cb": self._way.wrong, "on_commit": lambda error, _: self._commits.append(error)}
            consumer = Consumer(self._conf | callbacks, logger=Quiet())
            if self._partitions is None:
                consumer.subscribe(self._topics, on_revoke=self._gone, on_lost=self._gone)
            else:
                consumer.assign([TopicPartition(topic, number) for topic in self._topics for number in self._partitions])
            self._consumer = consumer
        return self._consumer

    def _gone(self, _: "Consumer", partitions: "Sequence[TopicPartition]") -> None:
        """These are another reader's now; what is done of them has been written down."""
        for place in ((one.topic, one.partition) for one in partitions):
            self._lines.pop(place, None)
            self._back = [one for one in self._back if one.handle[0] != place]
            self._early = deque(one for one in self._early if (one.topic(), one.partition()) != place)

    def _commit(self, offsets: Mapping[Place, int]) -> None:
        """Writes down how far the partitions are done. Raises DeliveryError where the broker does not say that it has it."""
        from confluent_kafka import KafkaException, TopicPartition

        consumer, until = self._connected(), time.monotonic() + COMMIT_SECONDS
        self._commits.clear()
        try:
            consumer.commit(offsets=[TopicPartition(*place, offset) for place, offset in offsets.items()], asynchronous=True)
        except KafkaException as error:
            raise self._fault(error.args[0].str()) from error
        pause = 0.001
        while not self._commits:
            # The answer comes among the messages: those are kept for the next call.
            self._early.extend(consumer.consume(100, pause))
            pause = min(SLICE_SECONDS, 2 * pause)
            if self._way.lost or time.monotonic() > until:
                raise self._fault(self._way.fault or "no answer within the time")
        refused = self._commits.pop()
        if refused is not None:
            raise self._fault(refused.str())

    def _keep_pace(self, place: Place) -> None:
        """One message that is not done holds its partition's offset back: what is read beyond it is bounded."""
        from confluent_kafka import TopicPartition

        line, consumer = self._lines[place], self._connected()
        if not line.paused and len(line.open) >= MOST_OPEN:
            consumer.pause([TopicPartition(*place)])
            line.paused = True
        elif line.paused and len(line.open) < MOST_OPEN // 2:
            consumer.resume([TopicPartition(*place)])
            line.paused = False

    def _see(self) -> None:
        """Raises DeliveryError unless a broker answers after all."""
        from confluent_kafka import KafkaException

        fault = self._way.fault
        if self._way.refused:
            # It is said once, and the next call asks with a client of its own.
            self._renewed()
            raise self._fault(fault)
        try:
            self._connected().list_topics(self._topics[0], timeout=1.0)
        except KafkaException as error:
            raise self._fault(fault or error.args[0].str()) from error
        self._way.well()

    def _renewed(self) -> None:
        """Lets go of the client: the next one begins with what is not written down as done, whatever is in hand here."""
        self._consumer, self._way = None, Way()
        self._lines.clear()
        self._back.clear()
        self._early.clear()

    def _complain(self, error: "KafkaError | None") -> None:
        from confluent_kafka import KafkaError as K

        if error is None or error.code() == K._PARTITION_EOF:  # noqa: SLF001 - the library's name of a code of its own
            return
        if error.code() == K.UNKNOWN_TOPIC_OR_PART:
            msg = f"reader {self.name}: {self._brokers} has no topic {', '.join(self._topics)}"
            raise DeliveryError(msg, hint="create it, or mend the reader's topic")
        if error.fatal():
            self._renewed()
        raise self._fault(error.str())

    def _fault(self, said: str) -> DeliveryError:
        msg = f"reader {self.name}: {self._brokers}: {explained(said, ca='`ssl.ca.location` in options')}"
        return DeliveryError(msg, hint="check brokers, login and tls, and that the brokers run; what is not done comes again")


def _headers(message: "Message") -> dict[str, str]:
    given = message.headers() or ()
    pairs = given.items() if isinstance(given, dict) else given
    return {name.lower(): _bytes(value).decode("utf-8", "replace") for name, value in pairs}


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
