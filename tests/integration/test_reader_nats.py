"""Reading NATS JetStream from a real server: the contract of every reader, and the whole path from the outbox."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from nats.js.api import AckPolicy, ConsumerConfig

from recon.consume.reader import Received
from recon.consume.readers.nats import NatsReader
from recon.errors import DeliveryError
from recon.publishers.nats import NatsPublisher
from recon.testing import publisher_suite, reader_suite
from tests.integration.consuming import correction
from tests.integration.contract import ServerReaderBench
from tests.integration.test_publisher_nats import NatsBench
from tests.integration.three_nights import Nights, goes_all_the_way, migrated_file, nights
from tests.servers.nats import NatsTestServer

__all__ = ["migrated_file", "nights"]

ACK_WAIT = 0.5


class NatsReaderBench(ServerReaderBench):
    """A consumer of its own on a stream of its own."""

    patience = ACK_WAIT

    def __init__(self, server: NatsTestServer) -> None:
        self.server = server
        self.stream = NatsBench(server)

    def reader(self) -> NatsReader:
        return NatsReader(self.server.url, self.stream.stream, "app", subject=self.stream.subject, ack_wait=ACK_WAIT)

    def publisher(self, **more: Any) -> NatsPublisher:
        return self.stream.publisher(**more)

    def lose(self, reader: Any) -> bool:
        # Nothing left to say when it closes: the connection ends, as it would with the process.
        reader._in_hand.clear()
        reader._back.clear()
        reader.close()
        return True


@pytest.fixture(scope="module")
def server() -> Iterator[NatsTestServer]:
    """One server for this file."""
    with NatsTestServer() as running:
        yield running


@pytest.mark.parametrize("check", reader_suite.CHECKS, ids=reader_suite.name_of)
def test_keeps_the_contract(server: NatsTestServer, check: Any) -> None:
    """What every reader must keep to, over a server that is killed and comes back."""
    check(NatsReaderBench(server))


def test_a_reader_after_one_that_died_comes_to_what_it_left_though_more_waits(
    server: NatsTestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many are out as may be, all of them with a reader that was killed: the next one has them after the wait, in order, and then the rest, without an error."""
    # As it is with the usual thirty seconds: what is out comes again later than an answer is waited for.
    monkeypatch.setattr("recon.consume.readers.nats_pull.SLACK_SECONDS", 0.2)
    bench = NatsReaderBench(server)
    keys = [f"{number:02}" for number in range(30)]
    bench.put([publisher_suite.message_of(correction("created", key, {"total": 1}, None, at=1)) for key in keys])
    dead, reader = (
        NatsReader(server.url, bench.stream.stream, "app", subject=bench.stream.subject, ack_wait=ACK_WAIT, pending=10) for _ in range(2)
    )
    assert len(dead.receive(10, 5.0)) == 10
    assert bench.lose(dead)
    found: list[Received] = []
    until = time.monotonic() + 20
    while len(found) < 30:
        assert time.monotonic() < until
        found += (got := reader.receive(10, 0.2))
        reader.done(got)
    reader.close()
    assert [one.handle.number for one in found] == sorted(one.handle.number for one in found)


def test_from_the_outbox_to_the_reader(server: NatsTestServer, nights: Nights) -> None:
    """What is read at the end is, byte for byte and in order within each key, what the outbox held."""
    bench = NatsReaderBench(server)

    goes_all_the_way(nights, bench.publisher(form="binary"), bench.reader)


def test_a_new_reader_waits_for_what_a_dead_one_had(server: NatsTestServer) -> None:
    """What a dead reader had in hand comes before everything behind it, however much is there already; and no `done` is forgotten."""
    bench = NatsReaderBench(server)
    batch = publisher_suite.messages(30, keys=1)
    bench.put(batch[:20])
    dead = bench.reader()
    hand = list(dead.receive(8, 5.0))
    dead.done(hand[:3])
    bench.lose(dead)
    bench.put(batch[20:])

    reader = bench.reader()
    came: list[Received] = []
    while len(came) < 27:
        came += reader.receive(4, 5.0)
    assert not reader.receive(4, 0.0)
    reader.close()

    assert [one.body for one in came] == [one.body for one in batch[3:]]
    assert [one.attempt for one in came] == [2] * 5 + [1] * 22


def test_what_is_given_back_comes_first_however_it_is_asked_for(server: NatsTestServer) -> None:
    """Refused one by one, over and over, messages still come in the order of the stream."""
    bench = NatsReaderBench(server)
    batch = publisher_suite.messages(6, keys=1)
    bench.put(batch)
    reader = bench.reader()
    reader.again(list(reader.receive(3, 5.0)))
    for _ in range(3):
        (first,) = reader.receive(1, 5.0)
        assert first.body == batch[0].body
        reader.again([first])
    came = [one for _ in range(6) for one in reader.receive(1, 5.0)]
    reader.done(came)
    reader.close()

    assert [one.body for one in came] == [one.body for one in batch]
    assert came[0].attempt == 5


def test_a_message_that_takes_longer_than_the_wait_is_not_handed_over_twice(server: NatsTestServer) -> None:
    """While we have it in hand the server's second delivery is passed by; done once, it is done."""
    bench = NatsReaderBench(server)
    bench.put(publisher_suite.messages(1))
    reader = bench.reader()
    came = reader.receive(1, 5.0)

    assert not reader.receive(1, 1.6 * ACK_WAIT)
    reader.done(came)
    assert not reader.receive(1, 1.2 * ACK_WAIT)
    reader.close()


def test_a_consumer_that_would_lose_messages_is_refused(server: NatsTestServer) -> None:
    """One that gives up after some tries, or acknowledges by itself, is not read: the words say what is wanted."""
    bench = NatsReaderBench(server)
    for more, says in (({"max_deliver": 3}, "gives up after some tries"), ({"ack_policy": AckPolicy.NONE}, "acknowledges by itself")):
        config = ConsumerConfig(**{"durable_name": "app", "ack_policy": AckPolicy.EXPLICIT, **more})
        server.ask(lambda js, config=config: js.add_consumer(bench.stream.stream, config))
        reader = bench.reader()
        with pytest.raises(DeliveryError, match=says):
            reader.receive(1, 1.0)
        reader.close()
        server.ask(lambda js: js.delete_consumer(bench.stream.stream, "app"))


def test_a_stream_that_is_not_there_is_said_to_be_missing(server: NatsTestServer) -> None:
    """DeliveryError names the stream and the command that shows it."""
    reader = NatsReader(server.url, "NOWHERE", "app")
    with pytest.raises(DeliveryError, match="stream not found") as error:
        reader.receive(1, 1.0)
    reader.close()

    assert "nats stream info NOWHERE" in str(error.value.hint)
