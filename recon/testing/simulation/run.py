"""Running a world from its seed: the one door for campaigns, tests and shrinking."""

import logging
import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from recon.state.database import State
from recon.testing.scratch import scratch
from recon.testing.simulation.oracle import Violation, judge
from recon.testing.simulation.patches import patched
from recon.testing.simulation.world import TAIL, Universe, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a world: nights lived, what was violated, the story line by line, what was reached (with counts), what happened by chance."""

    world: str
    seed: int
    nights: int
    #: On how many of them things went wrong; the others, at the end, are calm.
    stormy: int
    #: Nights times domains.
    domain_nights: int
    #: Runs that were carried out, whole or not.
    runs: int
    violations: tuple[Violation, ...]
    trace: tuple[str, ...]
    coverage: Counter[str]
    occurrences: tuple[str, ...]
    steps: Counter[str]


@cache
def template() -> Path:
    """An empty state database at the newest revision, made once in each process."""
    file = scratch("recon-world") / "template.db"
    State.open(f"sqlite:///{file}").close()
    return file


@contextmanager
def quiet() -> Iterator[None]:
    """What goes wrong in a world is meant to: its log lines stay out, and afterwards all is as it was."""
    log = logging.getLogger("recon")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


def run_world(world: World, seed: int, *, nights: int | None = None, masked: Collection[str] = ()) -> Result:
    """Lives the world through to its end and has the oracle judge it. `nights` are those on which things go wrong; some calm ones follow.

    The same world and seed give the same result, story and all. `masked` are occurrences (or kinds of them) that shall not happen.
    """
    folder = scratch("recon-world")
    try:
        with quiet(), closing(Universe(world, seed, folder, template(), nights=nights, masked=masked)) as universe:
            with patched(universe.chance.reach):
                universe.live()
            return Result(
                world=world.name,
                seed=seed,
                nights=universe.nights + TAIL,
                stormy=universe.nights,
                domain_nights=(universe.nights + TAIL) * len(universe.domains),
                runs=len(universe.facts.rows),
                violations=tuple(judge(universe.facts)),
                trace=tuple(universe.story.lines),
                coverage=universe.chance.reached,
                occurrences=tuple(universe.chance.occurred),
                steps=universe.steps,
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
