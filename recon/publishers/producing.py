"""One producer of librdkafka at work: events handed over, what the broker said of each, and what it says between the lines."""

import time
from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An event as Kafka takes it."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, str | bytes | None]]

    @property
    def size(self) -> int:
        """Bytes of key, value and headers."""
        return len(self.key) + len(self.value) + sum(len(name) + len(text or "") for name, text in self.headers)


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
        self._producer = Producer({**conf, "error_cb": self.way.wrong}, logger=Quiet())

    @property
    def spent(self) -> bool:
        """Whether it is of no more use."""
        return self._given_up or self.way.fatal

    def reach(self, topic: str, until: float) -> bool:
        """Whether a broker answers; nothing is sent. `way.fault` says what is wrong where none does."""
        from confluent_kafka import KafkaException

        seconds = 1.0
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

    def send(self, records: Sequence[Record], until: float) -> list[Answer]:
        """One answer for each, in order, soon after `until` at the latest."""
        answers: list[Answer | None] = [None] * len(records)
        for index, record in enumerate(records):
            answers[index] = self._handed(record, partial(self._told, answers, index), until)
            if index % 500 == 0:
                self._producer.poll(0)
        while self._producer.flush(max(0.0, min(SLICE_SECONDS, until - time.monotonic()))) > 0:
            if time.monotonic() >= until or self.spent or self.way.lost:
                self._give_up()
                break
        return [self._unanswered() if answer is None else answer for answer in answers]

    def close(self) -> None:
        """Lets go of the connections; nothing is on its way between two calls."""
        self._given_up = True
        del self._producer

    def _handed(self, record: Record, told: Any, until: float) -> Answer | None:
        """None where it was taken over: `told` will be called."""
        from confluent_kafka import KafkaException

        while True:
            try:
                self._producer.produce(record.topic, record.value, record.key, headers=record.headers, on_delivery=told)
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

    def _told(self, answers: list[Answer | None], index: int, error: "KafkaError | None", _: Any) -> None:
        if error is None:
            answers[index] = WRITTEN
            self.way.well()
        else:
            self.way.fatal = self.way.fatal or error.fatal()
            answers[index] = Answer(error)

    def _give_up(self) -> None:
        """All that is left is given up at once, so that nothing of it is taken behind something else that was not."""
        self._given_up = True
        self._producer.purge(in_queue=True, in_flight=True, blocking=True)
        self._producer.flush(PURGE_SECONDS)

    def _unanswered(self) -> Answer:
        return Answer(_local_error("_TIMED_OUT"))


def _local_error(name: str) -> "KafkaError":
    from confluent_kafka import KafkaError

    return KafkaError(getattr(KafkaError, name))
