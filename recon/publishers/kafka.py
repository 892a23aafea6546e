"""`type = "kafka"`: events into Kafka, or what speaks its protocol; the extra `nightly-recon[kafka]`."""

import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from recon.errors import DeliveryError
from recon.publishers.address import PLACE, Address
from recon.publishers.asking import Asking
from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
from recon.publishers.extra import needs
from recon.publishers.headers import FORMS, wire_of
from recon.publishers.librdkafka import brokers_of, checked, explained, options_of, outcome_of, security_of, too_large
from recon.publishers.producing import WRITTEN, Answer, Producing, Record
from recon.publishers.rounds import in_rounds
from recon.section import Section

CONFIRMED = Outcome(kind=OutcomeKind.CONFIRMED)
BATCH = 10_000
MAX_BYTES = 1_000_000
"""librdkafka's own default; a broker's is 1,048,588 for a whole batch. https://kafka.apache.org/documentation/#brokerconfigs (read 2026-11)"""

COMPRESSIONS = ("none", "gzip", "snappy", "lz4", "zstd")
PARTITIONERS = ("murmur2_random", "murmur2", "consistent_random", "consistent", "fnv1a", "fnv1a_random")
UNWANTED = r"[^a-zA-Z0-9._-]"
"""What a topic's name cannot hold."""

TOPIC_LENGTH = 249

CONNECT_SECONDS = 10.0
FAULT_SECONDS = 300.0
"""Before a fault that somebody has to mend is tried again."""
CA = '`ca = "authority.pem"`'
#: Without a word from the broker for so long, it is asked whether it is there before more is handed over.
SILENT_SECONDS = 5.0


class KafkaPublisher:
    """Events as records: the key is the event's partition key, the attributes are `ce_` headers, the value is never null.

    Settings: `brokers`; `topic`, by default `recon.{domain}`; `form`, `structured` (the stored bytes) or `binary` (the data alone);
    `partitioner`, `compression`, `linger`, `max_bytes`; `user`, `password`, `mechanism`, `tls`, `ca`; `options`, further keys of
    librdkafka. CONFIRMED means that every in-sync replica has it (`acks=all`, idempotent). Whoever sends two events of one key in
    one call has the second wait for the first.
    """

    def __init__(self, section: Section) -> None:
        needs(section, "confluent_kafka", "kafka")
        self.name = section.name
        self._brokers = brokers_of(section)
        self._topic = Address.of(section, "topic", "recon.{domain}", unwanted=UNWANTED)
        self._fixed = "" if PLACE.search(self._topic.template) else self._topic.template[:TOPIC_LENGTH]
        self._form: str = section.choice("form", FORMS, "structured")
        self._max_bytes: int = section.integer("max_bytes", MAX_BYTES, low=1000)
        conf = {
            # The order of this table is the order of precedence: what keeps the promises comes last.
            "client.id": "nightly-recon",
            "partitioner": section.choice("partitioner", PARTITIONERS, "murmur2_random"),
            "compression.type": section.choice("compression", COMPRESSIONS, "lz4"),
            "linger.ms": 1000 * section.duration("linger", 0.005),
            "reconnect.backoff.max.ms": 1000,
            "topic.metadata.propagation.max.ms": 5000,
            **security_of(section),
            **options_of(section),
            "message.max.bytes": self._max_bytes,
            "batch.size": self._max_bytes,
            "enable.idempotence": True,
            # Never by itself: at the end of the call, what is not confirmed is given up all at once, so that nothing follows it.
            "message.timeout.ms": 0,
        }
        section.finish()
        if re.search(UNWANTED, PLACE.sub("", self._topic.template)):
            raise section.bad("topic", f"is {self._topic.template!r}; a topic's name has letters, digits, dots, dashes and underscores")
        checked(section, conf)
        self._conf = conf | {"bootstrap.servers": self._brokers}
        self.capabilities = Capabilities(batch=BATCH, max_bytes=self._max_bytes, ordered=True)
        self._lock = threading.Lock()
        self._producing: Producing | None = None
        #: Why nothing more is sent in the call at hand.
        self._halt: Outcome | None = None

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        until = time.monotonic() + deadline
        # Whoever closes waits for the call in hand, which its deadline ends.
        with self._lock:
            self._halt = None
            return in_rounds(batch, lambda messages: self._round(messages, until))

    def health(self) -> str:
        from confluent_kafka import KafkaError, KafkaException, TopicCollection

        topic = self._topic.template
        with Asking(self._conf) as asking:
            try:
                if PLACE.search(topic):
                    about = asking.answer(lambda admin: admin.describe_cluster(request_timeout=CONNECT_SECONDS))
                    return f"{self._brokers} answers, {len(about.nodes)} brokers; which topic of {topic} is written to depends on the event"
                about = asking.answer(lambda admin: admin.describe_topics(TopicCollection([topic]), request_timeout=CONNECT_SECONDS)[topic])
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    msg = f"publisher {self.name}: {self._brokers} has no topic {topic}"
                    raise DeliveryError(msg, hint="create it, or mend `topic` in recon.toml") from error
                msg = f"publisher {self.name}: {self._brokers} cannot be asked: {explained(asking.fault or error.args[0].str(), ca=CA)}"
                hint = "check brokers, user, password and tls in recon.toml, and that the brokers run and can be reached from here"
                raise DeliveryError(msg, hint=hint) from error
        return f"{self._brokers} has the topic {topic}, of {len(about.partitions)} partitions"

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _round(self, messages: Sequence[Message], until: float) -> list[Outcome]:
        """Events of different keys, all at once."""
        if self._halt is None and time.monotonic() >= until:
            self._halt = _unsent("the time for this delivery was over")
        producing = self._ready(messages[0], until) if self._halt is None else None
        if producing is None:
            return [self._halt or _unsent("")] * len(messages)
        answers: list[Answer | None] = [None] * len(messages)
        unread: dict[int, Outcome] = {}
        producing.send(self._records(messages, range(len(messages)), unread), answers, until)
        large = [
            index for index, answer in enumerate(answers) if answer is not WRITTEN and _too_large(answer) and not (answer and answer.here)
        ]
        if large and len(messages) > 1:
            # It was their whole batch that the broker found too large: each by itself shows which of them is.
            self._alone(self._records(messages, large, unread), answers, until)
        if producing.spent:
            self._halt = _unsent(f"an earlier event was not confirmed: {_printable(producing.way.fault) or 'no answer within the time'}")
            self._drop()
        fault = producing.way.fault
        return [
            CONFIRMED if answer is WRITTEN else unread.get(index) or self._outcome(messages[index], answer, fault)
            for index, answer in enumerate(answers)
        ]

    def _records(self, messages: Sequence[Message], indices: Iterable[int], unread: dict[int, Outcome]) -> Iterator[Record]:
        """The events as records; what is no event is put aside."""
        for index in indices:
            message = messages[index]
            try:
                headers, value = wire_of(message, self._form, prefix="ce_")
            except ValueError as error:
                unread[index] = Outcome(kind=OutcomeKind.REJECTED, reason=str(error))
                continue
            yield index, self._place(message), message.partitionkey.encode(), value, headers

    def _ready(self, message: Message, until: float) -> Producing | None:
        """A producer that is connected; None, and why in `_halt`, where no broker answers.

        What is handed to one that is not connected might be sent when nobody waits for it any more.
        """
        from confluent_kafka import KafkaException

        try:
            if self._producing is None:
                self._producing = Producing(self._conf)
        except KafkaException as error:
            self._halt = _unsent(_printable(str(error)))
            return None
        now = time.monotonic()
        reached = now - self._producing.way.heard <= SILENT_SECONDS
        if not reached and not self._producing.reach(self._place(message), min(until, now + CONNECT_SECONDS)):
            way = self._producing.way
            self._halt = _unsent(f"{self._brokers}: {explained(way.fault, ca=CA)}", after=FAULT_SECONDS if way.refused else None)
            self._drop()
        return self._producing

    def _alone(self, records: Iterable[Record], answers: list[Answer | None], until: float) -> None:
        single = Producing(self._conf | {"batch.num.messages": 1})
        try:
            single.send(records, answers, until)
        finally:
            single.close()

    def _outcome(self, message: Message, answer: Answer | None, fault: str) -> Outcome:
        topic = self._place(message)
        if answer is None or answer.error is None:
            return Outcome(kind=OutcomeKind.UNKNOWN, reason=f"{topic}: sent, and not confirmed within the time")
        if answer.here:
            if _too_large(answer):
                return too_large(topic, len(message.body), self._max_bytes)
            return Outcome(kind=OutcomeKind.RETRY, reason=f"{topic}: not sent: {answer.error.str()}")
        outcome = outcome_of(answer.error, topic, len(message.body))
        if fault and outcome.kind is OutcomeKind.UNKNOWN:
            return replace(outcome, reason=f"{outcome.reason}; {_printable(fault)}")
        return outcome

    def _place(self, message: Message) -> str:
        return self._fixed or self._topic(message)[:TOPIC_LENGTH]

    def _drop(self) -> None:
        producing, self._producing = self._producing, None
        if producing is not None:
            producing.close()


def _unsent(why: str, *, after: float | None = None) -> Outcome:
    return Outcome(kind=OutcomeKind.RETRY, reason=f"not sent: {why}", after=after)


def _too_large(answer: Answer | None) -> bool:
    from confluent_kafka import KafkaError

    return answer is not None and answer.error is not None and answer.error.code() == KafkaError.MSG_SIZE_TOO_LARGE


def _printable(said: str) -> str:
    return "".join(c for c in said[:300] if c.isprintable())
