"""Reading Redis Streams from a real Valkey server: the contract of every reader, and the whole path from the outbox."""

import logging
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import redis

from recon.consume.reader import Received
from recon.consume.readers.redis import RedisReader
from recon.errors import DeliveryError
from recon.publishers.redis import RedisPublisher
from recon.testing import publisher_suite, reader_suite
from tests.integration.contract import ServerReaderBench
from tests.integration.test_publisher_redis import publisher
from tests.integration.three_nights import Nights, goes_all_the_way, migrated_file, nights
from tests.servers.valkey import ValkeyServer

__all__ = ["migrated_file", "nights"]

_names = count(1)


class RedisReaderBench(ServerReaderBench):
    """A stream and a group of its own."""

    patience = 0.0

    def __init__(self, server: ValkeyServer) -> None:
        self.server = server
        self.stream = f"s{next(_names)}"

    def reader(self, **more: Any) -> RedisReader:
        return RedisReader(self.server.url, self.stream, "app", **more)

    def publisher(self, **more: Any) -> RedisPublisher:
        return publisher(self.server.url, stream=self.stream, **more)

    def lose(self, reader: Any) -> bool:
        # Nothing is said to the server when it closes: the connection ends, as it would with the process.
        reader.close()
        return True


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """One server for this file."""
    with ValkeyServer() as server:
        yield server


@pytest.mark.parametrize("check", reader_suite.CHECKS, ids=reader_suite.name_of)
def test_keeps_the_contract(valkey: ValkeyServer, check: Any) -> None:
    """What every reader must keep to, over a server that is killed and comes back."""
    check(RedisReaderBench(valkey))


def test_from_the_outbox_to_the_reader(valkey: ValkeyServer, nights: Nights) -> None:
    """What is read at the end is, byte for byte and in order within each key, what the outbox held."""
    bench = RedisReaderBench(valkey)

    goes_all_the_way(nights, bench.publisher(), bench.reader)


def test_a_reader_that_comes_back_has_its_own_first(valkey: ValkeyServer) -> None:
    """What it had in hand when it died comes before everything behind it, with the attempts counted; `done` is not forgotten."""
    bench = RedisReaderBench(valkey)
    batch = publisher_suite.messages(30, keys=1)
    bench.put(batch[:20])
    dead = bench.reader()
    hand = list(dead.receive(8, 5.0))
    dead.done(hand[:3])
    bench.put(batch[20:])

    reader = bench.reader()
    came: list[Received] = []
    while len(came) < 27:
        came += reader.receive(4, 5.0)
    assert not reader.receive(4, 0.0)
    reader.close()
    dead.close()

    assert [one.body for one in came] == [one.body for one in batch[3:]]
    assert [one.attempt for one in came] == [2] * 5 + [1] * 22


def test_what_another_consumer_left_is_taken_over(valkey: ValkeyServer) -> None:
    """After `left_after` seconds, not before; then it is ours to finish, and comes to nobody else."""
    bench = RedisReaderBench(valkey)
    batch = publisher_suite.messages(5, keys=1)
    bench.put(batch)
    dead = bench.reader(consumer="one")
    dead.receive(3, 5.0)
    dead.close()

    reader = bench.reader(consumer="two", left_after=0.4)
    came = list(reader.receive(10, 0.2))
    assert [one.body for one in came] == [one.body for one in batch[3:]]
    while len(came) < 5:
        came += reader.receive(10, 5.0)
    reader.done(came)
    reader.close()

    assert [one.body for one in came[2:]] == [one.body for one in batch[:3]]
    assert {one.attempt for one in came[2:]} == {2}
    with redis.Redis.from_url(valkey.url) as client:
        assert client.xpending(bench.stream, "app")["pending"] == 0


def test_entries_cut_off_the_stream_are_told_and_let_go(valkey: ValkeyServer, caplog: pytest.LogCaptureFixture) -> None:
    """What was trimmed away while it was in hand can be given to nobody: a warning says how many, and the rest goes on."""
    bench = RedisReaderBench(valkey)
    batch = publisher_suite.messages(4, keys=1)
    bench.put(batch)
    bench.reader().receive(3, 5.0)
    with redis.Redis.from_url(valkey.url) as client:
        client.xtrim(bench.stream, maxlen=2, approximate=False)

    with caplog.at_level(logging.WARNING, logger="recon.consume.readers.redis"):
        reader = bench.reader()
        came = list(reader.receive(10, 5.0))
        came += reader.receive(10, 0.1 if len(came) == 2 else 5.0)
        reader.done(came)
        reader.close()

    assert [one.body for one in came] == [one.body for one in batch[2:]]
    assert "2 entries were cut off" in caplog.text


def test_a_key_that_is_no_stream_is_said_to_be_none(valkey: ValkeyServer) -> None:
    """DeliveryError has the server's words and the command that shows what it is."""
    bench = RedisReaderBench(valkey)
    with redis.Redis.from_url(valkey.url) as client:
        client.set(bench.stream, "a text")
    reader = bench.reader()

    with pytest.raises(DeliveryError, match="WRONGTYPE") as error:
        reader.receive(1, 0.1)
    reader.close()

    assert f"TYPE {bench.stream}" in str(error.value.hint)
