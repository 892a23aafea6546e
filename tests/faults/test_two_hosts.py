"""Two hosts with one state database on PostgreSQL; the link of one is cut in the middle of its run."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.campaign import ground
from tests.faults.hosts import Host, hosts, lacking
from tests.faults.laws import Undisturbed, broken
from tests.faults.nights import finish
from tests.faults.nursery import Ended, Nursery
from tests.faults.on_postgres import fill, state_on
from tests.faults.results import record
from tests.faults.test_stopped import REFUSED, lapsed
from tests.faults.world import DRIFT, World, third_party
from tests.servers.fault_server import Answer, Asked, FaultServer
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy

TTL = 2.0
LIVENESS = ("keepalives_idle=1", "keepalives_interval=1", "keepalives_count=2", "tcp_user_timeout=3000", "connect_timeout=3")
"""What recon/state/engine.py sets to a minute; a URL may say otherwise."""
BOUND = 90.0
"""Seconds until a host that is cut off gives up: a few waits of three seconds each, on a machine with other work."""


@dataclass
class Cluster:
    """Two hosts; a way to the shop and to the server on the link of each, and a nursery on each."""

    place: Path
    server: PostgresServer
    shop: FaultServer
    hosts: list[Host]
    nurseries: list[Nursery]
    ways: list[tuple[Proxy, Proxy]]

    def worlds(self, name: str, *, timeout: str) -> list[World]:
        """The same night on both: one state, one store, two disks."""
        state, store = self.server.new_database(), self.server.new_database()
        made = []
        for which, (host, (database, web)) in enumerate(zip(self.hosts, self.ways, strict=True)):
            state_url, store_url = (
                url.replace(f"@127.0.0.1:{self.server.port}/", f"@{host.here}:{database.port}/") for url in (state, store)
            )
            folder, options = self.place / f"{name}-{which}", "&".join(LIVENESS)
            world = World.made(
                folder, f"http://{host.here}:{web.port}", state=f"{state_url}?{options}", store=f"{store_url}?{options}", timeout=timeout
            )
            settings = folder / "recon.toml"
            settings.write_text(settings.read_text().replace('type = "rest"', 'type = "rest"\ninsecure = true'))
            world.postgres = state
            world.sql(*DRIFT)
            made.append(world)
        fill(store, made[0])
        return made

    def cut_at_second_page(self) -> threading.Event:
        """The first host's link goes with the answer to its second request; the event tells that it has."""
        honest, gone = self.shop._scripts["/orders"], threading.Event()

        def cutting(asked: Asked) -> Answer:
            if asked.query.get("after") and not gone.is_set():
                self.hosts[0].cut()
                gone.set()
            return honest(asked)

        self.shop.on("/orders", cutting)
        return gone


@contextmanager
def cluster(server: PostgresServer) -> Iterator[Cluster]:
    """Up and running; skips where there can be none."""
    if why := lacking():
        pytest.skip(why)
    with ExitStack() as stack:
        place, shop, both = stack.enter_context(ground()), stack.enter_context(FaultServer()), stack.enter_context(hosts(2))
        third_party(shop)
        web = ("127.0.0.1", urlsplit(shop.url).port or 0)
        targets = (("127.0.0.1", server.port), web)
        ways = [tuple(stack.enter_context(Proxy(target, host=host.here)) for target in targets) for host in both]
        nurseries = [stack.enter_context(Nursery(host.within)) for host in both]
        yield Cluster(place, server, shop, both, nurseries, ways)


def undisturbed(cluster: Cluster) -> Undisturbed:
    """What a night without faults leaves, on our own host."""
    calm = state_on(cluster.server, cluster.place / "calm", cluster.shop.url)
    with Nursery() as nursery:
        finish(nursery, calm)
    return Undisturbed.of(calm)


def _until_cut(gone: threading.Event, running: Future[Ended]) -> None:
    """Waits until the run is in the middle of its fetch."""
    while not gone.wait(0.05):
        assert not running.done(), running.result().out + running.result().err


@pytest.mark.timeout(400)
def test_a_host_that_is_cut_off_is_overtaken(postgres: PostgresServer) -> None:
    """The link is cut mid-run: the other host takes over after the lease and ends the night; the first comes back while it still waits, and is refused."""
    began = time.monotonic()
    with cluster(postgres) as both, ThreadPoolExecutor(1) as pool:
        wanted = undisturbed(both)
        first, second = both.worlds("back", timeout="60s")
        gone = both.cut_at_second_page()
        running = pool.submit(both.nurseries[0].run, first.folder, "run", "orders", ttl=TTL, busy=20.0)
        try:
            _until_cut(gone, running)
            lapsed(second)
            fence = second.fence()
            ended = both.nurseries[1].run(second.folder, "run", "orders", busy=20.0)
        finally:
            both.hosts[0].mended()
        back = running.result(BOUND)

        assert ended.code == 0, ended.out + ended.err
        assert back.code == 75, back.out + back.err
        assert any(word in back.out + back.err for word in REFUSED), back.out + back.err
        assert first.lines() == []
        assert broken(second, wanted, fence_before=fence) == []
    record(
        "two hosts, one cut off and back", 1, 1, seconds=time.monotonic() - began, note="overtaken after its lease, refused on its return"
    )


@pytest.mark.timeout(400)
def test_a_host_that_stays_cut_off_gives_up(postgres: PostgresServer) -> None:
    """Nothing answers any more, and nothing says so: the run ends by itself within its bound, exit 75; the other host ends the night."""
    began = time.monotonic()
    with cluster(postgres) as both, ThreadPoolExecutor(1) as pool:
        wanted = undisturbed(both)
        first, second = both.worlds("away", timeout="1s")
        gone = both.cut_at_second_page()
        running = pool.submit(both.nurseries[0].run, first.folder, "run", "orders", ttl=TTL, busy=20.0)
        try:
            _until_cut(gone, running)
            cut = time.monotonic()
            alone = running.result(BOUND)
            took = time.monotonic() - cut
            lapsed(second)
            fence = second.fence()
            ended = both.nurseries[1].run(second.folder, "run", "orders", busy=20.0)
        finally:
            both.hosts[0].mended()

        assert alone.code == 75, alone.out + alone.err
        assert "Traceback" not in alone.out + alone.err
        assert ended.code == 0, ended.out + ended.err
        assert first.lines() == []
        assert broken(second, wanted, fence_before=fence) == []
    record(
        "two hosts, one cut off for good", 1, 1, seconds=time.monotonic() - began, note=f"gave up {took:.0f} s after the cut, bounds of 3 s"
    )
