"""Kafka against a real broker that is killed and comes back: the contract of every publisher, and what is its own."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient, NewTopic

from recon.consume.readers.kafka import KafkaReader
from recon.errors import BadSetting, DeliveryError
from recon.event import binary, decode
from recon.event.cloudevents import of_wire
from recon.publishers import kafka as module
from recon.publishers.base import Message, OutcomeKind
from recon.publishers.kafka import KafkaPublisher
from recon.publishers.librdkafka import REFUSED, outcome_of
from recon.publishers.producing import WRITTEN, Answer, Record
from recon.secret import Secret
from recon.section import Section
from recon.testing import publisher_suite
from tests.integration.contract import keep
from tests.integration.secured import keeps_out, lets_in
from tests.servers.authority import Authority
from tests.servers.kafka import KafkaServer, read
from tests.servers.proxy import Proxy
from tests.servers.tls_front import TlsFront

# From Apache Kafka's own test of what its Java producer hashes keys with (org.apache.kafka.common.utils.UtilsTest, murmur2).
JAVA = {"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "abc": 479470107}


def publisher(brokers: str, **more: Any) -> KafkaPublisher:
    """The publisher as a table of recon.toml makes it."""
    table = {"brokers": brokers, **more}
    return KafkaPublisher(Section(name="bus", file=Path("recon.toml"), path="publishers.bus", table=table, folder=Path()))


class KafkaBench:
    """A topic of its own on the broker."""

    def __init__(self, server: KafkaServer) -> None:
        self.server = server
        self.topic = server.topic()

    def publisher(self) -> KafkaPublisher:
        return publisher(self.server.brokers, topic=self.topic)

    def arrived(self) -> Sequence[publisher_suite.Arrived]:
        return [
            publisher_suite.Arrived(id=dict(one.headers())["ce_id"].decode(), key=one.key().decode(), body=one.value())
            for one in read(self.server.brokers, self.topic)
        ]

    def refused(self) -> Message | None:
        return None

    def stop(self) -> bool:
        self.server.kill()
        return True

    def start(self) -> None:
        self.server.start()


@pytest.fixture(scope="module")
def kafka() -> Iterator[KafkaServer]:
    """One broker for this file."""
    with KafkaServer() as server:
        yield server


@pytest.mark.parametrize("check", publisher_suite.CHECKS, ids=publisher_suite.name_of)
def test_keeps_the_contract(kafka: KafkaServer, check: Any) -> None:
    """What every publisher must keep to, over a broker that is killed and comes back."""
    kafka.start()
    # A topic without a schema takes anything.
    keep(check, KafkaBench(kafka), cannot_show=publisher_suite.a_refused_event_costs_itself_alone)


def test_a_record_is_what_the_binding_says(kafka: KafkaServer) -> None:
    """Key, `ce_` headers and body of both forms, the replay's header; a deletion has a value too; each form reads back as the event."""
    kafka.start()
    topic = kafka.topic(1)
    one, two = publisher_suite.messages(2)
    sender, plain = publisher(kafka.brokers, topic=topic), publisher(kafka.brokers, topic=topic, form="binary", compression="none")

    sender.publish([one, replace(two, replay="01REPLAY")], 10.0)
    plain.publish([one], 10.0)
    sender.close()
    plain.close()

    first, again, bare = read(kafka.brokers, topic, 1)
    wanted, data = binary(decode(one.body), prefix="ce_")
    headers = {name: value.decode() for name, value in first.headers()}
    assert first.key() == one.partitionkey.encode()
    assert headers == {**wanted, "content-type": "application/cloudevents+json"}
    assert (first.value(), bare.value()) == (one.body, data)
    assert {name: value.decode() for name, value in bare.headers()} == wanted
    assert dict(again.headers())["recon-replay-id"] == b"01REPLAY"
    for record in (first, bare):
        assert of_wire({name: value.decode() for name, value in record.headers()}, record.value(), prefix="ce_") == [decode(one.body)]


def test_a_key_lies_where_java_puts_it(kafka: KafkaServer) -> None:
    """Each key lands in the partition in which Kafka's Java producer would have put it, so that both kinds of events of an item stay in order."""
    kafka.start()
    topic = kafka.topic(3)
    sender = publisher(kafka.brokers, topic=topic)
    batch = [replace(message, partitionkey=key) for message, key in zip(publisher_suite.messages(len(JAVA)), JAVA, strict=True)]

    sender.publish(batch, 10.0)
    sender.close()

    assert {one.key().decode(): one.partition() for one in read(kafka.brokers, topic)} == {
        key: (value & 0x7FFFFFFF) % 3 for key, value in JAVA.items()
    }


def test_the_topic_may_follow_the_event(kafka: KafkaServer) -> None:
    """`{entity}` and `{op}` lead each event to a topic of its own; what a topic's name cannot hold becomes an underscore."""
    kafka.start()
    topic = kafka.topic(1)
    sender = publisher(kafka.brokers, topic=f"{topic}_{{key}}")
    (message,) = publisher_suite.messages(1)

    outcomes = sender.publish([replace(message, partitionkey="a/b é")], 10.0)
    health = sender.health()
    sender.close()

    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.CONFIRMED]
    assert [one.value() for one in read(kafka.brokers, f"{topic}_a_b__", 4)] == [message.body]
    assert "depends on the event" in health


def test_a_broker_that_falls_silent_is_unknown_in_time() -> None:
    """A connection that swallows everything: UNKNOWN for what was on its way, by the deadline; once it speaks again all arrives, once or under the same id."""
    topic = "recon.orders"
    batch = publisher_suite.messages(3)
    with Proxy(("127.0.0.1", 0)) as proxy, KafkaServer(durable=False, advertised=proxy.port) as silent:
        proxy.target = ("127.0.0.1", silent.port)
        sender = publisher(f"127.0.0.1:{proxy.port}", topic=topic)
        assert [one.kind for one in sender.publish(batch[:1], 10.0)] == [OutcomeKind.CONFIRMED]
        proxy.mode = "silent"
        begun = time.monotonic()
        lost = sender.publish(batch[1:], 1.0)
        took = time.monotonic() - begun
        proxy.passes()
        found = sender.publish(batch[1:], 10.0)
        sender.close()
        held = read(silent.brokers, topic, 4)

    assert {one.kind for one in lost} == {OutcomeKind.UNKNOWN}
    assert took < 1.0 + publisher_suite.SLACK
    assert {one.kind for one in found} == {OutcomeKind.CONFIRMED}
    assert {dict(one.headers())["ce_id"].decode() for one in held} == {one.id for one in batch}


def test_a_refused_login_is_said_at_once(kafka: KafkaServer) -> None:
    """A broker that takes no such login: RETRY with its words long before the deadline, and health with the way out; the password is in neither."""
    kafka.start()
    sender = publisher(kafka.brokers, topic=kafka.topic(1), user="recon", password=Secret("p4ssw0rd-of-kafka"), tls=False)
    begun = time.monotonic()

    (outcome,) = sender.publish(publisher_suite.messages(1), 20.0)
    with pytest.raises(DeliveryError, match="SASL") as failure:
        sender.health()
    sender.close()

    assert time.monotonic() - begun < 10.0
    assert outcome.kind is OutcomeKind.RETRY
    assert "SASL" in outcome.reason
    assert "password" in (failure.value.hint or "")
    assert "p4ssw0rd-of-kafka" not in outcome.reason + str(failure.value)


def test_over_tls_only_who_we_know(tmp_path: Path) -> None:
    """With its authority's file an event goes in and comes out; a certificate that does not hold is said, with the way out.

    This broker speaks no TLS itself (its options for a certificate and for its key exclude each other), so it has a front that does.
    """
    authority, stranger = Authority(tmp_path / "known"), Authority(tmp_path / "strange")
    shown = (authority.certificate, authority.key)
    with TlsFront(("127.0.0.1", 0), shown) as front, KafkaServer(durable=False, advertised=front.port) as server:
        front.target = ("127.0.0.1", server.port)
        brokers = f"127.0.0.1:{front.port}"

        def both(ca: Path | None) -> Any:
            named, options = ({}, {}) if ca is None else ({"ca": str(ca)}, {"ssl.ca.location": str(ca)})
            return publisher(brokers, topic="over.tls", tls=True, **named), lambda: KafkaReader(
                brokers, "over.tls", "app", partitions=[0], options={"security.protocol": "SSL", **options}
            )

        admin = AdminClient(
            {"bootstrap.servers": brokers, "security.protocol": "SSL", "ssl.ca.location": str(authority.ca), "log_level": 0}
        )
        admin.create_topics([NewTopic("over.tls", 1, 1)])["over.tls"].result(10)
        del admin
        lets_in(*both(authority.ca))
        for ca in (None, stranger.ca):
            keeps_out(*both(ca), "certificate verify failed", "signed by an authority that is not known here")
        front.shown = authority.made("old", expired=True)
        keeps_out(*both(authority.ca), "past its day")
        front.shown = authority.made("other", hosts=("elsewhere.example",))
        keeps_out(*both(authority.ca), "for another name")


def test_a_missing_topic_is_named_by_health(kafka: KafkaServer) -> None:
    """Health asks for the topic and makes none: it says which one is not there, twice."""
    kafka.start()
    sender = publisher(kafka.brokers, topic="recon.nowhere")

    for _ in range(2):
        with pytest.raises(DeliveryError, match=r"has no topic recon\.nowhere") as failure:
            sender.health()
        assert "create it" in (failure.value.hint or "")
    sender.close()


class Choosy:
    """A broker that finds a batch too large in which there is anything large. No broker of these tests has a limit of its own to say so."""

    def __init__(self, conf: dict[str, Any]) -> None:
        self.way = type("Way", (), {"heard": time.monotonic(), "fault": ""})()
        self.spent = False
        self.most = int(conf.get("batch.num.messages", 10_000))

    def send(self, records: Iterable[Record], answers: list[Answer | None], until: float) -> None:
        every = list(records)
        for start in range(0, len(every), self.most):
            part = every[start : start + self.most]
            large = any(len(value) > 5000 for _, _, _, value, _ in part)
            for index, *_ in part:
                answers[index] = Answer(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)) if large else WRITTEN

    def close(self) -> None:
        pass


def test_a_batch_too_large_for_the_broker_costs_the_large_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker refuses a whole batch for its size: each event is tried by itself, and only the large one is REJECTED, with the figures."""
    monkeypatch.setattr(module, "Producing", Choosy)
    sender = publisher("127.0.0.1:1", topic="orders")
    batch = [*publisher_suite.messages(2), *publisher_suite.messages(1, pad=6000), *publisher_suite.messages(1)]

    outcomes = sender.publish(batch, 5.0)

    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.CONFIRMED] * 2 + [OutcomeKind.REJECTED, OutcomeKind.CONFIRMED]
    assert "max.message.bytes" in outcomes[2].reason


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        ("UNKNOWN_TOPIC_OR_PART", OutcomeKind.RETRY, "no topic orders"),
        ("_UNKNOWN_TOPIC", OutcomeKind.RETRY, "no topic orders"),
        ("TOPIC_AUTHORIZATION_FAILED", OutcomeKind.RETRY, "allow WRITE"),
        ("NOT_ENOUGH_REPLICAS", OutcomeKind.RETRY, "not taken"),
        ("_INVALID_DIFFERENT_RECORD", OutcomeKind.RETRY, "not taken"),
        ("POLICY_VIOLATION", OutcomeKind.RETRY, "not taken"),
        ("INVALID_RECORD", OutcomeKind.REJECTED, "orders"),
        ("MSG_SIZE_TOO_LARGE", OutcomeKind.REJECTED, "12,345 bytes"),
        ("REQUEST_TIMED_OUT", OutcomeKind.UNKNOWN, "not confirmed"),
        ("NOT_ENOUGH_REPLICAS_AFTER_APPEND", OutcomeKind.UNKNOWN, "not confirmed"),
        ("_MSG_TIMED_OUT", OutcomeKind.UNKNOWN, "not confirmed"),
        ("_PURGE_INFLIGHT", OutcomeKind.UNKNOWN, "not confirmed"),
        ("_PURGE_QUEUE", OutcomeKind.UNKNOWN, "not confirmed"),
        ("_FATAL", OutcomeKind.UNKNOWN, "not confirmed"),
    ],
)
def test_each_error_has_its_outcome(code: str, kind: OutcomeKind, says: str) -> None:
    """A fault of the destination waits, one of the event is refused, and what may have been written is sent again under the same id."""
    outcome = outcome_of(KafkaError(getattr(KafkaError, code)), "orders", 12_345)

    assert outcome.kind is kind
    assert says in outcome.reason


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"brokers": []}, "brokers: wants the brokers"),
        ({"topic": "a b"}, "topic: is 'a b'"),
        ({"topic": "a{tenant}"}, "has {tenant}, which no event has"),
        ({"form": "avro"}, "'avro' is none of"),
        ({"user": "me"}, "password: is missing"),
        ({"password": "plain"}, "by reference only"),
        ({"ca": "ca.pem"}, "ca: is given, and tls is not on"),
        ({"tls": True, "ca": "nowhere.pem"}, "ca: there is no file nowhere.pem"),
        ({"options": {"linger": 5}}, "options: is not taken"),
        ({"options": {"client.rack": []}}, "wants a text"),
        ({"options": {"ssl.key.location": "nowhere.key"}}, r"options\.ssl\.key\.location: there is no file nowhere\.key"),
        ({"topics": "x"}, "topics: is not a setting"),
        *(({"options": {key: "0"}}, rf"options\.{key}: ") for key in REFUSED),
    ],
)
def test_wrong_settings_are_refused(table: dict[str, Any], says: str) -> None:
    """Each mistake in the table is named with its key, as is each key of librdkafka that would break a promise."""
    with pytest.raises(BadSetting, match=says):
        publisher(**{"brokers": "127.0.0.1:1", **table})
