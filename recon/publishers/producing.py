"""One producer of librdkafka at work: events handed over, what the broker said of each, and what it says between the lines."""

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from recon.publishers.asking import Way
from recon.publishers.librdkafka import Quiet

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

SLICE_SECONDS = 0.1
PURGE_SECONDS = 2.0
"""For the answers to what is given up."""


Record = tuple[int, str, bytes, bytes, Any]
"""An event as Kafka takes it: its number among those that are sent, topic, key, value, headers (a table of texts)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said of a record: nothing (it is written), or an error; `here` where it was not handed over at all."""

    error: "KafkaError | None" = None
    here: bool = False


WRITTEN = Answer()


class Producing:
    """A producer, until it is `spent`: after a fatal error, or when something was given up, the next call wants a new one."""

    def __init__(self, conf: dict[str, Any]) -> None:
        from confluent_kafka import Producer

        self.way = Way()
        self._given_up = False
        self._producer = Producer({**conf, "delivery.report.only.error": True, "error_cb": self.way.wrong}, logger=Quiet())

    @property
    def spent(self) -> bool:
        """Whether it is of no more use."""
        return self._given_up or self.way.fatal

    def reach(self, topic: str, until: float) -> bool:
        """Whether a broker answers; nothing is sent. `way.fault` says what is wrong where none does."""
        from confluent_kafka import KafkaException

        # Short at first: a login that is refused is known at once, and found out between two tries only.
        seconds = SLICE_SECONDS
        while (left := until - time.monotonic()) > 0:
            with suppress(KafkaException):
                self._producer.list_topics(topic, timeout=min(seconds, left))
                self.way.well()
                return True
            self._producer.poll(0)
            if self.way.lost:
                break
            seconds *= 2
        return False

    def send(self, records: Iterable[Record], answers: list[Answer | None], until: float) -> None:
        """Fills in the answer of each record, by its number, soon after `until` at the latest; None stays where nothing is known.

        The records are taken one by one as they are handed over: nothing is kept of those that have been. Reports come of what failed
        only, at a fifth of the whole cost less: when nothing is left in the producer, what has no report is written.
        """
        handed: list[int] = []

        def failed(index: int, error: "KafkaError", _: Any) -> None:
            self.way.fatal = self.way.fatal or error.fatal()
            answers[index] = Answer(error)

        produce = self._producer.produce
        for index, topic, key, value, headers in records:
            on_delivery = partial(failed, index)
            try:
                produce(topic, value, key, headers=headers, on_delivery=on_delivery)
            except Exception:  # noqa: BLE001 - said again, and looked at, where it is not the way of every event
                answers[index] = self._handed((index, topic, key, value, headers), on_delivery, until)
            handed.append(index)
            if not index % 500:
                self._producer.poll(0)
        if self._emptied(until):
            for index in handed:
                answers[index] = answers[index] or WRITTEN

    def _emptied(self, until: float) -> bool:
        """Waits until nothing is left in the producer, or has it give up what is left. False where even that does not end in time."""
        left = len(self._producer)
        while (now := self._producer.flush(max(0.0, min(SLICE_SECONDS, until - time.monotonic())))) > 0:
            if now < left and not self.way.fatal:
                left = now
                self.way.well()
            if time.monotonic() >= until or self.spent or self.way.lost:
                # All at once, so that nothing of it is taken behind something else that was not.
                self._given_up = True
                self._producer.purge(in_queue=True, in_flight=True, blocking=True)
                return self._producer.flush(PURGE_SECONDS) == 0
        self.way.heard = time.monotonic()
        return True

    def close(self) -> None:
        """Lets go of the connections; nothing is on its way between two calls."""
        self._given_up = True
        del self._producer

    def _handed(self, record: Record, told: Any, until: float) -> Answer | None:
        """None where it was taken over: `told` will be called."""
        from confluent_kafka import KafkaException

        _, topic, key, value, headers = record
        while True:
            try:
                self._producer.produce(topic, value, key, headers=headers, on_delivery=told)
            except BufferError:
                # librdkafka's queue is full: what is on its way makes room.
                self._producer.poll(SLICE_SECONDS)
                if time.monotonic() >= until or self.way.lost:
                    return Answer(_local_error("_QUEUE_FULL"), here=True)
            except KafkaException as error:
                self.way.fatal = self.way.fatal or error.args[0].fatal()
                return Answer(error.args[0], here=True)
            else:
                return None


def _local_error(name: str) -> "KafkaError":
    from confluent_kafka import KafkaError

    return KafkaError(getattr(KafkaError, name))
