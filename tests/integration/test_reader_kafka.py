"""Kafka read back from a real broker that is killed and comes back: the contract of every reader, and the groups of Kafka."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recon.consume.reader import Reader, Received
from recon.consume.readers.kafka import OURS, KafkaReader
from recon.errors import DeliveryError
from recon.event.cloudevents import of_wire
from recon.publishers.base import Message, OutcomeKind
from recon.publishers.kafka import KafkaPublisher
from recon.testing import reader_suite
from tests.integration.test_publisher_kafka import publisher
from tests.integration.whole_path import emitted_and_read
from tests.servers.kafka import KafkaServer

PARTITIONS = 3
#: The broker takes half of a session's time to let somebody in.
QUICK = {"session.timeout.ms": 1000, "heartbeat.interval.ms": 100}
#: A member of a group in a process of its own, which has ten records, is done with five and says so.
MEMBER = """
import json
import sys
from recon.consume.readers.kafka import KafkaReader
reader = KafkaReader(sys.argv[1], sys.argv[2], "pair", options=json.loads(sys.argv[3]))
received = []
while len(received) < 10:
    received += reader.receive(10 - len(received), 1.0)
reader.done(received[:5])
print(*[one.headers["ce_id"] for one in received[:5]], flush=True)
while True:
    reader.receive(1, 1.0)
"""


class KafkaReaderBench:
    """A topic of its own on the broker, all of whose partitions each reader reads."""

    patience = 0.0

    def __init__(self, server: KafkaServer, sender: KafkaPublisher) -> None:
        self.server = server
        self.sender = sender
        self.topic = server.topic(PARTITIONS)
        self.lost: list[Reader] = []

    def reader(self) -> KafkaReader:
        # Half a session's time goes by until this broker lets somebody into a group; the offsets are the group's all the same.
        return KafkaReader(self.server.brokers, self.topic, f"of-{self.topic}", partitions=range(PARTITIONS))

    def put(self, batch: Sequence[Message]) -> None:
        put(self.sender, self.topic, batch)

    def lose(self, reader: Reader) -> bool:
        # It is not spoken to again; its client would only tell the broker that it goes.
        self.lost.append(reader)
        return True

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


@pytest.fixture(scope="module")
def sender(kafka: KafkaServer) -> Iterator[KafkaPublisher]:
    """One publisher for this file, to whatever topic: a new one waits half a second for its producer's id."""
    made = publisher(kafka.brokers, topic="{domain}")
    yield made
    made.close()


def put(sender: KafkaPublisher, topic: str, batch: Sequence[Message]) -> None:
    """Brings these into a topic."""
    outcomes = sender.publish([replace(message, domain=topic) for message in batch], 20.0)
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.CONFIRMED}


@pytest.mark.parametrize("check", reader_suite.CHECKS, ids=reader_suite.name_of)
def test_keeps_the_contract(kafka: KafkaServer, sender: KafkaPublisher, check: Any) -> None:
    """What every reader must keep to, over a broker that is killed and comes back."""
    kafka.start()
    bench = KafkaReaderBench(kafka, sender)
    try:
        check(bench)
    finally:
        for reader in bench.lost:
            reader.close()


def test_an_event_comes_out_as_it_was_emitted(kafka: KafkaServer, sender: KafkaPublisher, tmp_path: Path) -> None:
    """From the night's outbox by a drain through the broker to a reader, in the binary form: every event is the one that was stored."""
    kafka.start()
    bench = KafkaReaderBench(kafka, sender)
    binary, reader = publisher(kafka.brokers, topic=bench.topic, form="binary"), bench.reader()

    stored, came = emitted_and_read(tmp_path, binary, reader)
    binary.close()
    reader.close()

    assert came == stored


def test_what_is_not_done_holds_a_partition_back_within_bounds(
    kafka: KafkaServer, sender: KafkaPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one message never done, a partition is read so far beyond it and no farther; when it is done at last the rest comes."""
    monkeypatch.setattr("recon.consume.readers.kafka.MOST_OPEN", 10)
    kafka.start()
    topic = kafka.topic(1)
    batch = reader_suite.messages(60)
    put(sender, topic, batch)
    reader = KafkaReader(kafka.brokers, topic, "slow", partitions=[0])
    (stuck,) = reader.receive(1, 10.0)

    handed, until = 1, time.monotonic() + 60.0
    while handed < 10 and time.monotonic() < until:
        received = reader.receive(5, 0.5)
        handed += len(received)
        reader.done(received)
    # It would have more at once, if it read on.
    more = reader.receive(50, 0.5)
    handed = beyond = handed + len(more)
    reader.done([*more, stuck])
    while handed < len(batch) and time.monotonic() < until:
        received = reader.receive(5, 0.5)
        handed += len(received)
        reader.done(received)
    reader.close()

    assert 10 <= beyond < 15
    assert handed == len(batch)


def test_who_leaves_a_group_and_who_is_killed_are_inherited_from() -> None:
    """Without partitions named the coordinator says who reads what: of a member that closed and of one that was killed, the next has what is not done."""
    batch, done = reader_suite.messages(40), set[str]()
    until = time.monotonic() + 60.0
    with KafkaServer(durable=False) as server:
        topic = server.topic(4)
        sender = publisher(server.brokers, topic=topic)
        assert {outcome.kind for outcome in sender.publish(batch, 10.0)} == {OutcomeKind.CONFIRMED}
        sender.close()
        first, in_hand = KafkaReader(server.brokers, topic, "pair", options=QUICK), list[Received]()
        while len(in_hand) < 10 and time.monotonic() < until:
            in_hand += first.receive(10 - len(in_hand), 1.0)
        first.done(in_hand[:5])
        done |= {_id(one) for one in in_hand[:5]}
        first.close()

        words = [sys.executable, "-c", MEMBER, server.brokers, topic, json.dumps(QUICK)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as member:
            assert member.stdout is not None
            second = set(member.stdout.readline().split())
            member.kill()
        assert len(second) == 5
        assert not done & second, "what was done came again"
        done |= second

        last = KafkaReader(server.brokers, topic, "pair", options=QUICK)
        while len(done) < len(batch):
            assert time.monotonic() < until, f"{len(batch) - len(done)} of {len(batch)} events did not come to the other reader"
            received = last.receive(100, 1.0)
            assert not done & {_id(one) for one in received}, "what was done came again"
            last.done(received)
            done |= {_id(one) for one in received}
        last.close()

    assert done == {one.id for one in batch}


def test_a_broker_that_is_not_there_is_said(kafka: KafkaServer) -> None:
    """No broker at the address: DeliveryError with the way out, soon."""
    reader = KafkaReader("127.0.0.1:1", "orders", "nobody")
    begun = time.monotonic()

    with pytest.raises(DeliveryError, match="127") as failure:
        while time.monotonic() - begun < 10.0:
            reader.receive(1, 1.0)
    reader.close()

    assert failure.value.hint


@pytest.mark.parametrize("key", OURS)
def test_options_that_break_a_promise_are_refused(key: str) -> None:
    """Each key that would settle messages behind the application's back, or that has an argument of its own."""
    with pytest.raises(ValueError, match=f"options: {key}"):
        KafkaReader("127.0.0.1:1", "orders", "nobody", options={key: "1"})


def _id(received: Any) -> str:
    (event,) = of_wire(received.headers, received.body, prefix="ce_")
    return event.id
