"""The nights that are gone through step by step: how each stands before its command, and what a person does until all is well again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.laws import OPEN, Undisturbed
from tests.faults.nursery import Ended, Nursery
from tests.faults.world import DRIFT, WIPE, World, third_party
from tests.servers.fault_server import FaultServer

FLOOR = 3


def run(_: World) -> tuple[str, ...]:
    """The night's own command."""
    return "run", "orders"


def approve(world: World) -> tuple[str, ...]:
    """What a person types over the plan that is held."""
    (found,) = world.state("select id, plan_checksum from recon_runs where state = 'held' order by id desc limit 1")
    return "approve", found[0], "--plan", found[1], "--reason", "a bulk load is known"


@dataclass
class Night:
    """A world before its command, what the command is, and what a night without faults leaves."""

    name: str
    before: World
    command: Callable[[World], tuple[str, ...]] = run
    steps: list[str] = field(default_factory=list)
    wanted: Undisturbed = field(default_factory=lambda: Undisturbed({}, set(), 0))

    def measured(self, nursery: Nursery, place: Path) -> "Night":
        """The same with its steps and its outcome, from an undisturbed run."""
        world = self.before.copied(place)
        ended = nursery.run(world.folder, *self.command(world), act="count")
        self.steps = ended.steps
        finish(nursery, world, ended)
        self.wanted = Undisturbed.of(world)
        return self


def finish(nursery: Nursery, world: World, ended: Ended | None = None) -> Ended:
    """What follows a broken night: time passes, the command is run again, and a plan that is held is approved."""
    for _ in range(5):
        if ended is None or ended.code not in (0, 4) or (ended.code == 0 and unfinished(world)):
            world.a_minute_passes()
            standing = world.run()
            ended = nursery.run(world.folder, *(approve(world) if standing and standing[1] == "held" else run(world)))
        if ended.code == 0 and not unfinished(world):
            return ended
        if ended.code == 4:
            ended = nursery.run(world.folder, *approve(world))
    assert ended is not None
    msg = f"it does not come to an end: exit {ended.code}: {ended.err}{ended.out}"
    raise AssertionError(msg)


def publish(_: World) -> tuple[str, ...]:
    """Delivers what waits."""
    return ("publish",)


def unfinished(world: World) -> bool:
    """Whether a run stands in the middle."""
    return bool(world.state(f"select 1 from recon_runs where state in {OPEN}"))


@contextmanager
def nights(ground: Path, nursery: Nursery) -> Iterator[dict[str, Night]]:
    """All of them, measured."""
    with FaultServer() as server:
        third_party(server)
        fresh = World.made(ground / "fresh", server.url)
        first = fresh.copied(ground / "first")
        first.sql(*DRIFT)
        clean = World.made(ground / "clean", server.url, floor=FLOOR)
        assert nursery.run(clean.folder, "run", "orders").code == 0
        wiped = clean.copied(ground / "wiped")
        wiped.sql(*WIPE)
        held = wiped.copied(ground / "held")
        assert nursery.run(held.folder, "run", "orders").code == 4
        torn = clean.copied(ground / "torn")
        torn.sql(*DRIFT)
        # The third request is the third page of four answers: two pages are on disk then.
        assert nursery.run(torn.folder, "run", "orders", act="die", kinds=["request"], at=3).code == 137
        torn.a_minute_passes()
        unsent = clean.copied(ground / "unsent")
        unsent.sql(*DRIFT)
        assert nursery.run(unsent.folder, "run", "orders", act="die", kinds=["publish"], at=1).code == 137
        unsent.a_minute_passes()
        made = [
            Night("the first night of all, one missing, one extra, one changed", first),
            Night("a night that is held", wiped),
            Night("the approval of a held plan", held, approve),
            Night("a fetch that goes on from its second page", torn),
            Night("events that still wait, published", unsent, publish),
            Night("a clean night", clean),
        ]
        yield {night.name: night.measured(nursery, ground / f"measured{n}") for n, night in enumerate(made)}
