"""The process dies at a step, and the next one goes on: at every step of six nights in the long run, at every hundredth, each kind, and each one of sending, in each run of the suite."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.campaign import Campaign, campaign, ground, seed, spread
from tests.faults.laws import broken
from tests.faults.nights import Night, finish, nights
from tests.faults.nursery import Nursery
from tests.faults.results import record
from tests.faults.steps import KILLED

EVERY = 100


def die_at(nursery: Nursery, night: Night, number: int, place: Path) -> list[str]:
    """A copy of the night's world, killed at that step; whatever law does not hold after the next run."""
    world = night.before.copied(place)
    fence = world.fence()
    ended = nursery.run(world.folder, *night.command(world), act="die", at=number)
    if ended.code != KILLED:
        return [f"step {number} of {len(night.steps)} was not reached: exit {ended.code}"]
    finish(nursery, world)
    wrong = broken(world, night.wanted, fence_before=fence)
    if not wrong:
        shutil.rmtree(place)
    return wrong


def rare(known: dict[str, Night], trials: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """One step of each kind that the trials would leave out."""
    missed = {}
    for name, night in known.items():
        for number, kind in enumerate(night.steps, 1):
            missed.setdefault(kind, (name, number))
    return [where for kind, where in missed.items() if kind not in {known[name].steps[number - 1] for name, number in trials}]


def sending(known: dict[str, Night]) -> list[tuple[str, int]]:
    """Every step from a publisher's call to its answer, in the night that only publishes: there a loss would be for good."""
    (name,) = (name for name in known if "published" in name)
    steps = known[name].steps
    return [(name, number) for number in range(steps.index("publish") + 1, steps.index("published") + 2)]


def kill(open_: Campaign, place: Path, every: int) -> None:
    """The campaign over all nights."""
    with Nursery() as nursery, nights(place, nursery) as known:
        trials = [(name, number) for name, night in known.items() for number in spread(night.steps, every, name)]
        trials += [where for where in sending(known) if where not in trials]
        trials += rare(known, trials)

        def trial(worker: Nursery, which: tuple[str, int]) -> list[str]:
            name, number = which
            return die_at(worker, known[name], number, place / f"{list(known).index(name)}-{number}")

        wrong = open_.each(trials, trial)
        kinds = Counter(known[name].steps[number - 1] for name, number in trials)
        steps = sum(len(night.steps) for night in known.values())
    note = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    which = "every step" if every == 1 else f"every {every}th of {steps:,} steps, and all of sending"
    record("killed at a step", len(trials) - len(wrong), len(trials), seconds=open_.seconds, seed=seed(), note=f"{which}; {note}")
    assert not wrong, "\n".join(f"{where}: {what}" for where, what in wrong.items())


@pytest.mark.timeout(600)
def test_killed_at_every_hundredth_step() -> None:
    """A night killed before a statement, commit, request, publish, write or rename ends, by the next run, as one without a fault."""
    with ground() as place, campaign() as open_:
        kill(open_, place, EVERY)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_killed_at_every_step() -> None:
    """The same at every single step of the six nights."""
    with ground() as place, campaign() as open_:
        kill(open_, place, 1)
