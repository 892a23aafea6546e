"""Networks that fail, through a proxy of ours: to the third party, and to PostgreSQL as state database. Nothing hangs, and the next run ends well."""

import time
from urllib.parse import urlsplit

import pytest

from tests.faults.campaign import ground
from tests.faults.laws import Undisturbed, broken
from tests.faults.nights import finish
from tests.faults.nursery import Nursery
from tests.faults.results import record
from tests.faults.world import DRIFT, World, third_party
from tests.servers.fault_server import FaultServer
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy

BOUND = 20.0
"""Seconds: two tries of a second each, a pause of a second at most, and a machine that has other work."""

MODES = ("silent", "reset", "drip")
MOMENTS = (0, 700, 1400, 2100)
"""Bytes that came back before it begins: at once, and in the middle of the pages and of the reads by id."""


@pytest.mark.timeout(400)
def test_a_network_that_fails_on_the_way_to_the_third_party() -> None:
    """Half-open, reset or dripping, at four moments: the run ends within its bound, says whom it could not reach, and the next one is right."""
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
                    proxy.mode = "pass"
                    proxy._then = None
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
        note=f"{', '.join(MODES)}, at {len(MOMENTS)} moments each",
    )


@pytest.mark.timeout(400)
def test_a_network_that_is_reset_on_the_way_to_the_state_database(postgres: PostgresServer) -> None:
    """Every connection to PostgreSQL is reset at some moment of the run: exit 75 naming the state database, no trace, and the next run is right."""
    began = time.monotonic()
    moments = (0, 2000, 6000, 12000, 18000)
    with ground() as place, FaultServer() as shop, Nursery() as nursery:
        third_party(shop)

        def made(name: str, port: int | None) -> World:
            url = postgres.new_database()
            world = World.made(place / name, shop.url, state=url if port is None else url.replace(f":{postgres.port}/", f":{port}/"))
            world.postgres = url
            world.sql(*DRIFT)
            return world

        calm = made("calm", None)
        finish(nursery, calm)
        wanted = Undisturbed.of(calm)
        codes = []
        for moment in moments:
            with Proxy(("127.0.0.1", postgres.port)) as proxy:
                world = made(str(moment), proxy.port)
                proxy.after(moment, "reset")
                ended = nursery.run(world.folder, "run", "orders")
                proxy.mode = "pass"
                proxy._then = None
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
