"""A process that is stopped (SIGSTOP) past its lease, overtaken by another one, and continued: it is refused, and everything is right. 10 and 10 here, 50 and 50 in the long run."""

import random
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.campaign import campaign, ground, seed
from tests.faults.laws import Undisturbed, broken
from tests.faults.nursery import Ended, Nursery
from tests.faults.results import record
from tests.faults.world import DRIFT, World, third_party
from tests.servers.fault_server import FaultServer
from tests.servers.postgres import PostgresServer

TTL = 0.3
BUSY = 40.0
OUTSIDE = ("fsync", "publish", "published", "rename", "request", "store", "torn", "write")
"""Steps that stand in no transaction: on SQLite a process that is stopped in one keeps everybody out, and so is never overtaken."""
INSIDE = (*OUTSIDE, "commit", "sql")
REFUSED = ("took over", "another process writes to this spool", "idle-in-transaction", "terminat")


def chosen(steps: Sequence[str], count: int, chance: random.Random) -> list[int]:
    """Steps between the first request and the last answer of the publisher, numbered from 1."""
    first, call, last = (steps.index(kind) + 1 for kind in ("request", "publish", "published"))
    # Not within the call: a writer that is stopped in the middle of the file of events keeps every other one out, and they wait.
    open_to_it = [*range(first, call + 1), last]
    return sorted(chance.sample(open_to_it, min(count, len(open_to_it))))


def lapsed(world: World) -> None:
    """Waits until the stopped holder's leases are over, by the clock."""
    until = time.monotonic() + 60
    while world.state(f"select 1 from recon_leases where owner is not null and expires_at > {time.time_ns() // 1000}"):
        assert time.monotonic() < until, "the lease does not end"
        time.sleep(0.02)


def overtaken(nursery: Nursery, world: World, number: int, kinds: Sequence[str], wanted: Undisturbed) -> list[str]:
    """One stop, one take-over, one awakening."""
    fate = {"act": "stop", "at": number, "kinds": list(kinds), "ttl": TTL, "busy": BUSY}
    stopped = nursery.run(world.folder, "run", "orders", **fate)
    if not stopped.stopped:
        return [f"it was not stopped: exit {stopped.code}: {stopped.err}"]
    second, awake = Ended(0, None), Ended(0, None)
    try:
        lapsed(world)
        fence = world.fence()
        second = nursery.run(world.folder, "run", "orders", busy=BUSY)
        sent = len(world.lines())
    finally:
        awake = nursery.go_on(stopped)
    said = awake.out + awake.err
    wrong = [] if second.code == 0 else [f"nobody took over: exit {second.code}: {second.err}{second.out}"]
    wrong += [] if awake.code == 75 and any(word in said for word in REFUSED) else [f"the first was not refused: exit {awake.code}: {said}"]
    more = len(world.lines()) - sent
    wrong += [] if more == 0 or (more == len(wanted.ids) and awake.hit == "publish") else [f"{more} events were sent on waking"]
    return wrong + broken(world, wanted, fence_before=fence)


def stops(place: Path, dialect: str, count: int, server: PostgresServer | None) -> None:
    """So many stops at drawn steps, each in a world of its own."""
    kinds = OUTSIDE if server is None else INSIDE
    with FaultServer() as shop, Nursery() as nursery, campaign() as open_:
        third_party(shop)

        def made(name: str) -> World:
            url = server.new_database() if server else ""
            world = World.made(place / name, shop.url, state=url)
            world.postgres = url
            world.sql(*DRIFT)
            return world

        calm = made("calm")
        steps = nursery.run(calm.folder, "run", "orders", act="count", kinds=list(kinds)).steps
        wanted = Undisturbed.of(calm)
        numbers = chosen(steps, count, random.Random(f"{seed()}:{dialect}"))
        numbers = (numbers * count)[:count]
        worlds = [made(f"{dialect}-{n}") for n in range(count)]
        trials = list(range(count))
        wrong = open_.each(trials, lambda worker, n: overtaken(worker, worlds[n], numbers[n], kinds, wanted))
        what = sorted({steps[number - 1] for number in numbers})
        record(f"stopped past its lease, {dialect}", count - len(wrong), count, seconds=open_.seconds, seed=seed(), note=", ".join(what))
        assert not wrong, "\n".join(f"{numbers[int(n)]} {steps[numbers[int(n)] - 1]}: {said}" for n, said in wrong.items())


@pytest.mark.timeout(600)
def test_stopped_and_overtaken_on_sqlite() -> None:
    """Ten processes stopped at ten places: another finishes the night, and the awakened writes and sends nothing more."""
    with ground() as place:
        stops(place, "SQLite", 10, None)


@pytest.mark.timeout(600)
def test_stopped_and_overtaken_on_postgresql(postgres: PostgresServer) -> None:
    """The same on PostgreSQL, within transactions too: the server ends the session that keeps the lease's row locked."""
    with ground() as place:
        stops(place, "PostgreSQL", 10, postgres)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_hundred_stops(postgres: PostgresServer) -> None:
    """Fifty on each."""
    with ground() as place:
        stops(place / "sqlite", "SQLite", 50, None)
        stops(place / "postgres", "PostgreSQL", 50, postgres)
