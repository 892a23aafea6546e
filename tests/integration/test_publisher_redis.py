"""Redis Streams against a real Valkey server: the contract of every publisher, and what is its own."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

from recon.errors import BadSetting
from recon.publishers.base import Message, OutcomeKind
from recon.publishers.redis import RedisPublisher
from recon.section import Section
from recon.testing import publisher_suite
from tests.servers.valkey import ValkeyServer

STREAM = "recon.orders"


def publisher(url: str, **more: Any) -> RedisPublisher:
    """The publisher as a table of recon.toml makes it."""
    return RedisPublisher(Section(name="bus", file=Path("recon.toml"), path="publishers.bus", table={"url": url, **more}, folder=Path()))


class ValkeyBench:
    """A stream of its own on the server."""

    def __init__(self, server: ValkeyServer) -> None:
        self.server = server
        with redis.Redis.from_url(server.url) as client:
            client.flushall()

    def publisher(self) -> RedisPublisher:
        return publisher(self.server.url)

    def arrived(self) -> Sequence[publisher_suite.Arrived]:
        with redis.Redis.from_url(self.server.url) as client:
            entries = client.xrange(STREAM)
        return [publisher_suite.Arrived(id=f[b"id"].decode(), key=f[b"key"].decode(), body=f[b"event"]) for _, f in entries]

    def refused(self) -> Message | None:
        return None

    def stop(self) -> bool:
        self.server.kill()
        return True

    def start(self) -> None:
        self.server.start()


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """One server for this file."""
    with ValkeyServer() as server:
        yield server


@pytest.mark.parametrize("check", publisher_suite.CHECKS, ids=publisher_suite.name_of)
def test_keeps_the_contract(valkey: ValkeyServer, check: Any) -> None:
    """What every publisher must keep to, over a server that is killed and comes back."""
    valkey.start()
    if check is publisher_suite.a_refused_event_costs_itself_alone:
        # A stream takes anything.
        with pytest.raises(publisher_suite.Skipped):
            check(ValkeyBench(valkey))
        return
    check(ValkeyBench(valkey))


def test_a_repeat_stands_in_the_stream_once(valkey: ValkeyServer) -> None:
    """Sent twice under one token it is one entry, and the second answer says so; a later night's token makes it another."""
    bench = ValkeyBench(valkey)
    (one,) = publisher_suite.messages(1)
    sender = bench.publisher()

    first, again = (sender.publish([one], 5.0)[0] for _ in range(2))
    later = sender.publish([Message(**{**_fields(one), "emission": 2})], 5.0)[0]
    sender.close()

    assert (first.kind, first.duplicate, again.kind, again.duplicate) == (OutcomeKind.CONFIRMED, False, OutcomeKind.CONFIRMED, True)
    assert (later.kind, later.duplicate) == (OutcomeKind.CONFIRMED, False)
    assert [arrived.id for arrived in bench.arrived()] == [one.id, one.id]


def test_the_stream_may_follow_the_event(valkey: ValkeyServer) -> None:
    """`{entity}` and `{op}` lead each event to a stream of its own; `maxlen` keeps it short; a replay says so in a field."""
    bench = ValkeyBench(valkey)
    sender = publisher(valkey.url, stream="fix:{entity}:{op}", maxlen=10)
    many = publisher_suite.messages(400)

    sender.publish(many, 10.0)
    sender.publish([Message(**{**_fields(many[0]), "emission": 2, "replay": "01REPLAY"})], 5.0)
    sender.close()

    with redis.Redis.from_url(valkey.url) as client:
        assert client.xlen("fix:order:updated") < 400
        assert client.xrevrange("fix:order:updated", count=1)[0][1][b"replay"] == b"01REPLAY"
    assert not bench.arrived()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"url": "http://x"}, "is no URL of a Redis server"),
        ({"stream": "a{tenant}"}, "has {tenant}, which no event has"),
        ({"dedupe": 0}, "wants a second or more"),
        ({"topic": "x"}, "topic"),
    ],
)
def test_wrong_settings_are_refused(table: dict[str, Any], says: str) -> None:
    """Each mistake in the table is named with its key."""
    with pytest.raises(BadSetting, match=says):
        publisher(**{"url": "redis://127.0.0.1:1/0", **table})


def test_a_wrong_key_of_the_server_is_told_apart_from_a_bad_event(valkey: ValkeyServer) -> None:
    """A stream's name that holds something else refuses the event for good, with the server's words."""
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
        client.set(STREAM, "a text")
    sender = publisher(valkey.url)

    (outcome,) = sender.publish(publisher_suite.messages(1), 5.0)
    sender.close()

    assert outcome.kind is OutcomeKind.REJECTED
    assert "WRONGTYPE" in outcome.reason


def _fields(message: Message) -> dict[str, Any]:
    return {name: getattr(message, name) for name in Message.__dataclass_fields__}
