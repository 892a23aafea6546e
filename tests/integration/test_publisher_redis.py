"""Redis Streams against a real Valkey server: the contract of every publisher, and what is its own."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from recon.consume.readers.redis import RedisReader
from recon.errors import BadSetting, DeliveryError
from recon.publishers.base import Message, OutcomeKind
from recon.publishers.redis import RedisPublisher
from recon.publishers.redis_script import ADD, calls
from recon.section import Section
from recon.testing import publisher_suite
from tests.integration.contract import keep
from tests.integration.secured import keeps_out, lets_in
from tests.servers.authority import Authority
from tests.servers.tls_front import TlsFront
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
    # A stream takes anything.
    keep(check, ValkeyBench(valkey), cannot_show=publisher_suite.a_refused_event_costs_itself_alone)


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


def test_over_tls_and_with_a_login(valkey: ValkeyServer, tmp_path: Path) -> None:
    """A known authority and the right password let an event in and out; anything else is said, and the password is in none of it."""
    ValkeyBench(valkey)
    authority, stranger = Authority(tmp_path / "known"), Authority(tmp_path / "strange")
    with redis.Redis.from_url(valkey.url) as client:
        client.execute_command("ACL", "SETUSER", "few", "on", ">right-word", "~*", "&*", "+@all")

    def both(login: str, query: str, scheme: str = "rediss", port: int | None = None) -> Any:
        url = f"{scheme}://{login}127.0.0.1:{port or front.port}/0{query}"
        return publisher(url), lambda: RedisReader(url, STREAM, "app")

    known = f"?ssl_ca_certs={authority.ca}"
    with TlsFront(("127.0.0.1", valkey.port), (authority.certificate, authority.key)) as front:
        lets_in(*both("few:right-word@", known))
        keeps_out(*both("few:wr0ng-word@", known), "invalid username-password pair", "check the user and the password", secret="wr0ng-word")
        keeps_out(*both("", ""), "certificate verify failed", "?ssl_ca_certs=")
        keeps_out(*both("", f"?ssl_ca_certs={stranger.ca}"), "certificate verify failed", "?ssl_ca_certs=")
        keeps_out(*both("", "", scheme="redis"), "rediss:// where the server speaks TLS", lasting=False)
        front.shown = authority.made("old", expired=True)
        keeps_out(*both("", known), "certificate has expired", "renew")
        front.shown = authority.made("other", hosts=("elsewhere.example",))
        keeps_out(*both("", known), "certificate is for other names")
    with redis.Redis.from_url(valkey.url) as client:
        client.config_set("requirepass", "top-secret-word")
        try:
            keeps_out(*both("", "", scheme="redis", port=valkey.port), "Authentication required", "check the user and the password")
        finally:
            client.config_set("requirepass", "")


def test_a_reader_verifies_as_well() -> None:
    """A url that switches the verification off is refused by the reader too, as is one with a file that is not there."""
    for query, says in (("ssl_cert_reqs=none", "always verified"), ("ssl_ca_certs=/no/such.pem", "there is no such file")):
        with pytest.raises(DeliveryError, match=says):
            RedisReader(f"rediss://127.0.0.1:1/?{query}", STREAM, "app")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"url": "http://x"}, "is no URL of a Redis server"),
        ({"url": "rediss://x/?ssl_cert_reqs=none"}, "always verified"),
        ({"url": "rediss://x/?ssl_check_hostname=false"}, "always verified"),
        ({"url": "rediss://x/?ssl_ca_certs=/no/such.pem"}, "there is no such file"),
        ({"stream": "a{tenant}"}, "has {tenant}, which no event has"),
        ({"dedupe": 0}, "wants a second or more"),
        ({"topic": "x"}, "topic"),
    ],
)
def test_wrong_settings_are_refused(table: dict[str, Any], says: str) -> None:
    """Each mistake in the table is named with its key."""
    with pytest.raises(BadSetting, match=says):
        publisher(**{"url": "redis://127.0.0.1:1/0", **table})


def test_what_is_wrong_with_the_server_condemns_no_event(valkey: ValkeyServer) -> None:
    """A name that holds something else and a user who may not write are the destination's faults: RETRY in a while, with the server's words."""
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
        client.set(STREAM, "a text")
        client.execute_command("ACL", "SETUSER", "reader", "on", ">word", "~*", "&*", "+@read", "+ping", "+eval", "+info")
    sender, limited = publisher(valkey.url), publisher(valkey.url.replace("//", "//reader:word@"), stream="other")

    (wrong,), (denied,) = (one.publish(publisher_suite.messages(1), 5.0) for one in (sender, limited))
    sender.close()
    limited.close()

    assert (wrong.kind, denied.kind) == (OutcomeKind.RETRY, OutcomeKind.RETRY)
    assert "WRONGTYPE" in wrong.reason
    assert "permission" in denied.reason.lower()
    assert wrong.after
    assert denied.after


def _fields(message: Message) -> dict[str, Any]:
    return {name: getattr(message, name) for name in Message.__dataclass_fields__}


def test_nothing_passes_an_event_of_its_key_that_was_not_taken(valkey: ValkeyServer) -> None:
    """One stream refuses, another takes: the second event of the key waits for the first, and other keys go on."""
    ValkeyBench(valkey)
    first, second, other = publisher_suite.messages(3)
    second = replace(second, partitionkey=first.partitionkey, type="order.deleted")
    sender = publisher(valkey.url, stream="s.{op}")
    with redis.Redis.from_url(valkey.url) as client:
        client.set("s.updated", "a text")
        outcomes = sender.publish([first, second, replace(other, type="order.deleted")], 5.0)
        sent = client.xlen("s.deleted")
        client.delete("s.updated")
    again = sender.publish([first, second], 5.0)
    sender.close()

    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.RETRY, OutcomeKind.RETRY, OutcomeKind.CONFIRMED]
    assert "has to arrive first" in outcomes[1].reason
    assert sent == 1
    assert [outcome.kind for outcome in again] == [OutcomeKind.CONFIRMED] * 2
    with redis.Redis.from_url(valkey.url) as client:
        assert [client.xlen(name) for name in ("s.updated", "s.deleted")] == [1, 2], "what was refused once counts as delivered and is lost"


def test_many_events_of_several_streams_each_have_their_own_outcome(valkey: ValkeyServer) -> None:
    """In calls of a hundred, of four streams of which one refuses: each event's outcome is its own, whatever stands beside it in a call."""
    ValkeyBench(valkey)
    batch = [replace(one, type=f"order.{'abcd'[number % 4]}") for number, one in enumerate(publisher_suite.messages(900))]
    sender = publisher(valkey.url, stream="s.{op}")
    with redis.Redis.from_url(valkey.url) as client:
        client.set("s.c", "a text")
        sender.publish(batch[:300:7], 5.0)
        outcomes = sender.publish(batch, 10.0)
        held = {name: client.xlen(f"s.{name}") for name in "abd"}
    sender.close()

    assert [outcome.kind is OutcomeKind.RETRY for outcome in outcomes] == [one.type == "order.c" for one in batch]
    assert [number for number, outcome in enumerate(outcomes) if outcome.duplicate] == [n for n in range(0, 300, 7) if n % 4 != 2]
    assert held == {"a": 225, "b": 225, "d": 225}


OLD = """
local server, redis = redis, {}
local function knows(...)
  for _, word in ipairs({...}) do
    if word == 'PXAT' then return false end
  end
  return true
end
redis.pcall = function(...)
  if knows(...) then return server.pcall(...) end
  return server.error_reply('ERR syntax error')
end
redis.call = function(...)
  if knows(...) then return server.call(...) end
  return error(server.error_reply('ERR syntax error'))
end
"""
"""What makes of a server one before 6.2, whose SET has no PXAT; put before a script."""


def test_an_old_server_lets_go_of_what_it_did_not_take(valkey: ValkeyServer) -> None:
    """Redis 6.0 knows fewer words of SET: what it refuses is told there too, in its place, and its repeat is taken once the reason is gone."""
    ValkeyBench(valkey)
    batch = publisher_suite.messages(2)
    (call,) = calls(batch, [STREAM] * 2)
    with redis.Redis.from_url(valkey.url) as client:
        client.set(STREAM, "a text")
        refused = client.eval(OLD + ADD, *call.words(batch, 60, 0))
        client.delete(STREAM)
        until = time.monotonic() + 5.0
        while client.exists(*call.words(batch, 60, 0)[2:4]):
            assert time.monotonic() < until, "the token of what was refused stays"
        taken = client.eval(OLD + ADD, *call.words(batch, 60, 0))

    assert [b"WRONGTYPE" in one for one in refused] == [True, True]
    assert taken == [1, 1]


def test_a_server_out_of_memory_condemns_no_event(valkey: ValkeyServer) -> None:
    """The client takes the word OOM off what the server says; it is RETRY all the same, and taken once there is room."""
    bench = ValkeyBench(valkey)
    batch = publisher_suite.messages(3)
    sender = bench.publisher()
    with redis.Redis.from_url(valkey.url) as client:
        client.config_set("maxmemory", 1)
        try:
            outcomes = sender.publish(batch, 5.0)
        finally:
            client.config_set("maxmemory", 0)
    again = sender.publish(batch, 5.0)
    sender.close()

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.RETRY}
    assert "used memory" in outcomes[0].reason
    assert {outcome.kind for outcome in again} == {OutcomeKind.CONFIRMED}
