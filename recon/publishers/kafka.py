"""`type = "kafka"`: events into Kafka, or what speaks its protocol; the extra `nightly-recon[kafka]`."""

import re
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from recon.errors import DeliveryError
from recon.publishers.address import PLACE, Address
from recon.publishers.asking import Asking
from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
from recon.publishers.extra import needs
from recon.publishers.headers import FORMS, wire_of
from recon.publishers.librdkafka import brokers_of, checked, options_of, outcome_of, security_of, too_large
from recon.publishers.producing import Answer, Producing, Record
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
        self._halt: str | None = None

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
                msg = f"publisher {self.name}: {self._brokers} cannot be asked: {_printable(asking.fault or error.args[0].str())}"
                hint = "check brokers, user, password and tls in recon.toml, and that the brokers run and can be reached from here"
                raise DeliveryError(msg, hint=hint) from error
        return f"{self._brokers} has the topic {topic}, of {len(about.partitions)} partitions"

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _round(self, messages: Sequence[Message], until: float) -> list[Outcome]:
        """Events of different keys, all at once."""
        if self._halt is None and time.monotonic() >= until:
            self._halt = "not sent: the time for this delivery was over"
        if self._halt is not None:
            return [Outcome(kind=OutcomeKind.RETRY, reason=self._halt)] * len(messages)
        records = [self._record(message) for message in messages]
        good = [record for record in records if isinstance(record, Record)]
        found = iter(self._sent(good, until) if good else ())
        return [next(found) if isinstance(record, Record) else record for record in records]

    def _record(self, message: Message) -> Record | Outcome:
        try:
            headers, value = wire_of(message, self._form, prefix="ce_")
        except ValueError as error:
            return Outcome(kind=OutcomeKind.REJECTED, reason=str(error))
        topic = self._topic(message)[:TOPIC_LENGTH]
        return Record(topic=topic, key=message.partitionkey.encode(), value=value, headers=list(headers.items()))

    def _sent(self, records: Sequence[Record], until: float) -> list[Outcome]:
        from confluent_kafka import KafkaException

        try:
            producing = self._ready(records[0].topic, until)
        except (KafkaException, DeliveryError) as error:
            self._halt = f"not sent: {self._brokers}: {_printable(str(error))}"
            return [Outcome(kind=OutcomeKind.RETRY, reason=self._halt)] * len(records)
        answers = producing.send(records, until)
        large = [index for index, answer in enumerate(answers) if _too_large(answer) and not answer.here]
        if large and len(records) > 1:
            # It was their whole batch that the broker found too large: each by itself shows which of them is.
            for index, answer in zip(large, self._alone([records[index] for index in large], until), strict=True):
                answers[index] = answer
        if producing.spent:
            self._halt = f"not sent: an earlier event was not confirmed: {_printable(producing.way.fault) or 'no answer within the time'}"
            self._drop()
        return [self._outcome(record, answer, producing.way.fault) for record, answer in zip(records, answers, strict=True)]

    def _ready(self, topic: str, until: float) -> Producing:
        """A producer that is connected. What is handed to one that is not may still be sent when nobody waits for it any more."""
        if self._producing is None:
            self._producing = Producing(self._conf)
        now = time.monotonic()
        if now - self._producing.way.heard > SILENT_SECONDS and not self._producing.reach(topic, min(until, now + CONNECT_SECONDS)):
            fault = self._producing.way.fault or "no answer within the time"
            self._drop()
            raise DeliveryError(fault)
        return self._producing

    def _alone(self, records: Sequence[Record], until: float) -> list[Answer]:
        single = Producing(self._conf | {"batch.num.messages": 1})
        try:
            return single.send(records, until)
        finally:
            single.close()

    def _outcome(self, record: Record, answer: Answer, fault: str) -> Outcome:
        if answer.error is None:
            return CONFIRMED
        if answer.here:
            if _too_large(answer):
                return too_large(record.topic, record.size, self._max_bytes)
            return Outcome(kind=OutcomeKind.RETRY, reason=f"{record.topic}: not sent: {answer.error.str()}")
        outcome = outcome_of(answer.error, record.topic, record.size)
        if fault and outcome.kind is OutcomeKind.UNKNOWN:
            return replace(outcome, reason=f"{outcome.reason}; {_printable(fault)}")
        return outcome

    def _drop(self) -> None:
        producing, self._producing = self._producing, None
        if producing is not None:
            producing.close()


def _too_large(answer: Answer) -> bool:
    from confluent_kafka import KafkaError

    return answer.error is not None and answer.error.code() == KafkaError.MSG_SIZE_TOO_LARGE


def _printable(said: str) -> str:
    return "".join(c for c in said[:300] if c.isprintable())
