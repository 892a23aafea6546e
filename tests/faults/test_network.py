"""Networks that fail, through a proxy of ours: to the third party, to PostgreSQL as state database and as store, to a receiver. Nothing hangs, and the next run ends well."""

import time
from urllib.parse import urlsplit

import pytest

from tests.faults.campaign import ground
from tests.faults.laws import Undisturbed, broken
from tests.faults.nights import finish
from tests.faults.nursery import Ended, Nursery
from tests.faults.on_postgres import state_on, store_on
from tests.faults.results import record
from tests.faults.world import DRIFT, World, third_party
from tests.servers.fault_server import FaultServer
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy
from tests.servers.receiver import SECRET, Receiver

BOUND = 40.0
"""Seconds: two tries of a second each, a pause of a second at most, and a machine that has other work."""

HALF_OPEN = 90.0
"""Seconds: each wait of the run that meets the silence takes one or two, and the machine may have other work."""

MODES = ("silent", "reset", "drip")
MOMENTS = (1400,)
"""Bytes that came back before it begins: in the middle of the pages."""


def ended_well(nursery: Nursery, world: World, ended: Ended, wanted: Undisturbed) -> None:
    """The next run, on a network that is well, leaves all as it should be."""
    finish(nursery, world, ended if ended.code == 0 else None)
    assert broken(world, wanted) == []


@pytest.mark.timeout(400)
def test_a_network_that_fails_on_the_way_to_the_third_party() -> None:
    """Half-open, reset or dripping, in the middle of the fetch: the run ends within its bound, says whom it could not reach, and the next one is right."""
    began = time.monotonic()
    with ground() as place, FaultServer() as shop, Nursery() as nursery:
        third_party(shop)
        calm = World.made(place / "calm", shop.url)
        calm.sql(*DRIFT)
        finish(nursery, calm)
        wanted = Undisturbed.of(calm)
        for mode in MODES:
            for moment in MOMENTS:
                with Proxy(("127.0.0.1", urlsplit(shop.url).port or 0)) as proxy:
                    world = World.made(place / f"{mode}-{moment}", f"http://127.0.0.1:{proxy.port}", timeout="1s")
                    world.sql(*DRIFT)
                    proxy.after(moment, mode)
                    start = time.monotonic()
                    ended = nursery.run(world.folder, "run", "orders")
                    took = time.monotonic() - start
                    proxy.passes()
                    said = ended.out + ended.err

                    assert took < BOUND, f"{mode} after {moment}: {took:.1f} s"
                    assert "Traceback" not in said
                    if ended.code:
                        assert ended.code == 75, said
                        assert f"127.0.0.1:{proxy.port}" in said, said
                    finish(nursery, world, ended if ended.code == 0 else None)
                    assert broken(world, wanted) == [], f"{mode} after {moment}"
    count = len(MODES) * len(MOMENTS)
    record(
        "network to the third party",
        count,
        count,
        seconds=time.monotonic() - began,
        note=f"{', '.join(MODES)}, in the middle of the fetch",
    )


@pytest.mark.timeout(400)
def test_a_network_that_is_reset_on_the_way_to_the_state_database(postgres: PostgresServer) -> None:
    """Every connection to PostgreSQL is reset at some moment of the run: exit 75 naming the state database, no trace, and the next run is right."""
    began = time.monotonic()
    moments = (6000, 66000)
    with ground() as place, FaultServer() as shop, Nursery() as nursery:
        third_party(shop)

        calm = state_on(postgres, place / "calm", shop.url)
        finish(nursery, calm)
        wanted = Undisturbed.of(calm)
        codes = []
        for moment in moments:
            with Proxy(("127.0.0.1", postgres.port)) as proxy:
                world = state_on(postgres, place / str(moment), shop.url, port=proxy.port)
                proxy.after(moment, "reset")
                ended = nursery.run(world.folder, "run", "orders")
                proxy.passes()
                codes.append(ended.code)
                said = ended.out + ended.err

                assert "Traceback" not in said
                assert ended.code in (0, 75), said
                assert ended.code == 0 or f"127.0.0.1:{proxy.port}" in said, said
                finish(nursery, world, ended if ended.code == 0 else None)
                assert broken(world, wanted) == [], moment
        assert 75 in codes
    record("network to the state database", len(moments), len(moments), seconds=time.monotonic() - began, note=f"reset; exit codes {codes}")


@pytest.mark.timeout(180)
def test_the_state_database_ends_its_sessions_between_two_transactions(postgres: PostgresServer) -> None:
    """Sessions ended by the server while a run is stopped at a step: the run is refused or goes on, says so, and the next one is right."""
    with ground() as place, FaultServer() as shop, Nursery() as nursery:
        third_party(shop)
        url = postgres.new_database()
        world = World.made(place / "world", shop.url, state=url)
        world.postgres = url
        world.sql(*DRIFT)
        stopped = nursery.run(world.folder, "run", "orders", act="stop", kinds=["request"], at=2)
        with postgres.connect() as other:
            other.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [url.rpartition("/")[2]])

        ended = nursery.go_on(stopped)

        # Between two transactions nothing is lost: the connection is found dead before it is used, and made anew.
        assert ended.code == 0, ended.err + ended.out
        assert world.consume() == world.truth()


@pytest.mark.timeout(400)
def test_a_state_database_that_says_nothing_more(postgres: PostgresServer) -> None:
    """A proxy that lives and passes nothing on: no keepalive sees it, yet the run gives up within its bound, exit 75, and the next one is right."""
    began = time.monotonic()
    moments = (2000, 66000)
    with ground() as place, FaultServer() as shop, Nursery() as nursery:
        third_party(shop)
        calm = state_on(postgres, place / "calm", shop.url)
        finish(nursery, calm)
        wanted = Undisturbed.of(calm)
        codes = []
        for moment in moments:
            with Proxy(("127.0.0.1", postgres.port)) as proxy:
                world = state_on(postgres, place / str(moment), shop.url, port=proxy.port, options=["connect_timeout=2"])
                proxy.after(moment, "silent")
                start = time.monotonic()
                ended = nursery.run(world.folder, "run", "orders", silent=1.0)
                took = time.monotonic() - start
                said = ended.out + ended.err
                proxy.passes()
                codes.append(ended.code)

                assert took < HALF_OPEN, f"after {moment}: {took:.1f} s"
                assert "Traceback" not in said
                assert ended.code in (0, 75), said
                assert ended.code == 0 or f"127.0.0.1:{proxy.port}" in said, said
                ended_well(nursery, world, ended, wanted)
        assert 75 in codes
    count = len(moments)
    record("state database that says nothing more", count, count, seconds=time.monotonic() - began, note=f"exit codes {codes}")


@pytest.mark.timeout(400)
def test_a_network_that_fails_on_the_way_to_the_store(postgres: PostgresServer) -> None:
    """Reset at two moments, slow, or no answer to the connection: exit 75 naming the store, nothing is told as missing, and the next run is right."""
    began = time.monotonic()
    cases = [("reset", 1000), ("reset", 12000), ("silent", 0), ("slow", 0)]
    with ground() as place, FaultServer() as shop, Nursery() as nursery:
        third_party(shop)
        calm = store_on(postgres, place / "calm", shop.url)
        finish(nursery, calm)
        wanted = Undisturbed.of(calm)
        codes = []
        for mode, moment in cases:
            with Proxy(("127.0.0.1", postgres.port), latency=0.01) as proxy:
                world = store_on(postgres, place / f"{mode}-{moment}", shop.url, port=proxy.port, options=["connect_timeout=2"])
                proxy.after(moment, mode)
                start = time.monotonic()
                ended = nursery.run(world.folder, "run", "orders")
                took = time.monotonic() - start
                said = ended.out + ended.err
                proxy.passes()
                codes.append(ended.code)

                assert took < HALF_OPEN, f"{mode} after {moment}: {took:.1f} s"
                assert "Traceback" not in said
                assert ended.code == (0 if mode == "slow" else 75), f"{mode} after {moment}: {said}"
                assert mode == "slow" or f"127.0.0.1:{proxy.port}" in said, said
                assert mode == "slow" or world.lines() == []
                ended_well(nursery, world, ended, wanted)
    record(
        "network to the store",
        len(cases),
        len(cases),
        seconds=time.monotonic() - began,
        note=", ".join(f"{m} after {n} B" for m, n in cases),
    )


@pytest.mark.timeout(400)
def test_a_network_that_fails_on_the_way_to_the_receiver(receiver: Receiver) -> None:
    """Half-open, reset or dripping on the way to a webhook's receiver: the events wait, exit 6; then they come, each under its one id."""
    began = time.monotonic()
    port = urlsplit(receiver.url).port or 0
    cases = [("silent", 0), ("reset", 90), ("drip", 0)]
    with ground() as place, FaultServer() as shop, Nursery() as nursery:
        third_party(shop)
        calm = World.made(place / "calm", shop.url)
        calm.sql(*DRIFT)
        finish(nursery, calm)
        wanted = Undisturbed.of(calm)
        codes = []
        for mode, moment in cases:
            with Proxy(("127.0.0.1", port)) as proxy:
                bus = f'type = "webhook"\nurl = "http://127.0.0.1:{proxy.port}/hooks"\nsecret = {{ env = "RECON_HOOK" }}\ntimeout = "1s"'
                world = World.made(place / f"{mode}-{moment}", shop.url, bus=bus)
                world.sql(*DRIFT)
                receiver.requests.clear()
                proxy.after(moment, mode)
                start = time.monotonic()
                ended = nursery.run(world.folder, "run", "orders", env={"RECON_HOOK": SECRET}, deliver=3.0)
                took = time.monotonic() - start
                proxy.passes()
                codes.append(ended.code)
                said = ended.out + ended.err

                assert took < BOUND, f"{mode} after {moment}: {took:.1f} s"
                assert "Traceback" not in said
                assert ended.code in (0, 6), said
                if ended.code:
                    world.sql("update recon_outbox set due_at = 0 where state = 'waiting'", database=".recon/state.db")
                    again = nursery.run(world.folder, "publish", env={"RECON_HOOK": SECRET})
                    assert again.code == 0, again.out + again.err
                assert {e["data"]["key"]: e["id"] for e in receiver.events} == wanted.ids
                assert world.consume(receiver.events) == world.truth()
                assert world.state("select 1 from recon_outbox where state <> 'sent'") == []
        assert 6 in codes
    record(
        "network to the receiver", len(cases), len(cases), seconds=time.monotonic() - began, note=f"silent, reset, drip; exit codes {codes}"
    )
