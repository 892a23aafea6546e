"""PostgreSQL stopped as in a crash, and started again, in the middle of a run: as state database and as store."""

import time

import pytest

from tests.faults.campaign import ground
from tests.faults.laws import Undisturbed, broken
from tests.faults.nights import finish
from tests.faults.nursery import Nursery
from tests.faults.on_postgres import state_on, store_on
from tests.faults.results import record
from tests.faults.world import World, every, third_party
from tests.servers.fault_server import Answer, Asked, FaultServer
from tests.servers.postgres import PostgresServer

KEEPS = {"synchronous_commit": "on"}
"""As every server outside of tests: what was committed outlives a crash."""


@pytest.mark.timeout(400)
def test_the_state_database_is_restarted_mid_run() -> None:
    """Stopped at a step, the server restarted, the run continued: between transactions it goes on, within one it ends with exit 75; the next run is right."""
    began = time.monotonic()
    with ground() as place, FaultServer() as shop, Nursery() as nursery, PostgresServer(settings=KEEPS) as server:
        third_party(shop)
        calm = state_on(server, place / "calm", shop.url)
        kinds = ["sql", "request", "publish", "commit"]
        steps = nursery.run(calm.folder, "run", "orders", act="count", kinds=kinds).steps
        wanted = Undisturbed.of(calm)
        middle = [number for number in range(steps.index("request") + 1, len(steps) + 1) if steps[number - 1] in ("sql", "commit")]
        chosen = [steps.index("request") + 1, middle[len(middle) // 2], steps.index("publish") + 1]
        codes = []
        for number in chosen:
            world = state_on(server, place / str(number), shop.url)
            stopped = nursery.run(world.folder, "run", "orders", act="stop", kinds=kinds, at=number)
            assert stopped.stopped, stopped.err
            server.restart()
            ended = nursery.go_on(stopped)
            said = ended.out + ended.err
            codes.append(ended.code)

            assert "Traceback" not in said
            assert ended.code in (0, 75), said
            assert ended.code == 0 or "state database" in said, said
            finish(nursery, world, ended if ended.code == 0 else None)
            assert broken(world, wanted) == [], steps[number - 1]
        assert {0, 75} <= set(codes), codes
    _told("state database restarted mid-run", codes, began)


@pytest.mark.timeout(400)
def test_the_state_database_stays_away_for_the_rest_of_the_run() -> None:
    """A server that does not come back: exit 75 naming it; once it is there again the next run is right."""
    with ground() as place, FaultServer() as shop, Nursery() as nursery, PostgresServer(settings=KEEPS) as server:
        third_party(shop)
        world = state_on(server, place / "world", shop.url)
        every(shop, lambda asked: _once(server, asked))
        ended = nursery.run(world.folder, "run", "orders")
        server.start()
        third_party(shop)

        assert ended.code == 75, ended.out + ended.err
        assert "state database" in ended.out + ended.err
        assert "Traceback" not in ended.out + ended.err
        finish(nursery, world)
        assert world.consume() == world.truth()


@pytest.mark.timeout(400)
def test_the_store_is_stopped_and_started_mid_run() -> None:
    """The store's server goes away before it is read, before the second look, or only in between: exit 75 naming it or unharmed; the next run is right."""
    began = time.monotonic()
    with ground() as place, FaultServer() as shop, Nursery() as nursery, PostgresServer(settings=KEEPS) as server:
        third_party(shop)
        calm = store_on(server, place / "calm", shop.url)
        finish(nursery, calm)
        wanted = Undisturbed.of(calm)
        codes = []
        # (the path whose request meets the fault, whether the server is back at once)
        for name, path, back in (
            ("before the read", "/orders", False),
            ("second look", "/orders/k01", False),
            ("between", "/orders", True),
        ):
            world = store_on(server, place / name.replace(" ", "-"), shop.url)
            _meddle(shop, path, server, back=back)
            ended = nursery.run(world.folder, "run", "orders")
            third_party(shop)
            server.stop(remove=False)
            server.start()
            said = ended.out + ended.err
            codes.append(ended.code)

            assert "Traceback" not in said
            assert ended.code == (0 if back else 75), f"{name}: {said}"
            assert back or "store main" in said, said
            assert back or world.lines() == []
            _right(nursery, world, ended.code, wanted)
    _told("store stopped and started mid-run", codes, began)


def _right(nursery: Nursery, world: World, code: int | None, wanted: Undisturbed) -> None:
    if code != 0:
        finish(nursery, world)
    assert broken(world, wanted) == []


def _meddle(shop: FaultServer, path: str, server: PostgresServer, *, back: bool) -> None:
    """The first request to this path finds the server stopped, or restarted."""
    honest = shop._scripts[path]
    done: list[bool] = []

    def meddled(asked: Asked) -> Answer:
        if not done:
            done.append(True)
            server.restart() if back else server.stop(remove=False)
        return honest(asked)

    shop.on(path, meddled)


def _once(server: PostgresServer, _: Asked) -> None:
    """Stops the server; it is honest otherwise."""
    if server._process is not None:
        server.stop(remove=False)


def _told(campaign: str, codes: list[int | None], began: float) -> None:
    record(campaign, len(codes), len(codes), seconds=time.monotonic() - began, note=f"exit codes {codes}")
