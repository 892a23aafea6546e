"""The laws condemn what they are there for: each false world, made by hand, is told by the law it breaks, and a right one by none."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.laws import Undisturbed, broken
from tests.faults.nursery import Nursery
from tests.faults.world import DRIFT, World, third_party
from tests.servers.fault_server import FaultServer


def rewritten(change: Callable[[list[dict]], object]) -> Callable[[World], None]:
    """A change to the events on the bus."""

    def apply(world: World) -> None:
        events = world.events()
        change(events)
        (world.folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))

    return apply


def told(statement: str) -> Callable[[World], None]:
    """A change to the state database."""
    return lambda world: world.sql(statement, database=".recon/state.db")


FALSE = {
    "an event is lost": (rewritten(lambda events: events.pop()), "one id per fact"),
    "a fact has two ids": (rewritten(lambda events: events.append({**events[0], "id": "another"})), "one id per fact"),
    "one id has two texts": (rewritten(lambda events: events.append({**events[0], "time": "later"})), "one id, one text"),
    "an event tells another state": (
        rewritten(lambda events: [one["data"].update(state={"status": "x", "amount": 1}) for one in events]),
        "converge",
    ),
    "a run is left in the middle": (told("update recon_runs set state = 'confirming'"), "left in the middle"),
    "an event is left to send": (told("update recon_outbox set state = 'waiting'"), "left to send"),
    "clean is said of sides that differ": (told("update recon_runs set verdict = 'clean'"), "sides that differ"),
    "clean is said of what was not whole": (told("update recon_runs set verdict = 'clean', whole = 0"), "unproven"),
    "the fence stands still": (told("update recon_leases set fence = 0"), "fence"),
    "the figures are others": (told("update recon_runs set compared = 7"), "figures"),
}


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A night without faults."""
    with FaultServer() as shop, Nursery() as nursery:
        third_party(shop)
        world = World.made(tmp_path_factory.mktemp("laws") / "world", shop.url)
        world.sql(*DRIFT)
        assert nursery.run(world.folder, "run", "orders").code == 0
    return world


def test_a_right_world_is_not_condemned(night: World) -> None:
    """A night without faults breaks no law."""
    assert broken(night, Undisturbed.of(night)) == []


@pytest.mark.parametrize("case", FALSE)
def test_a_false_world_is_condemned(night: World, tmp_path: Path, case: str) -> None:
    """One thing is wrong, and its law says so."""
    falsify, words = FALSE[case]
    wanted = Undisturbed.of(night)
    world = night.copied(tmp_path / "false")
    falsify(world)

    assert any(words in one for one in broken(world, wanted)), broken(world, wanted)
