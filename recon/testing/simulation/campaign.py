"""A campaign: many worlds, each from a seed of its own, on every core; what was violated, and what was reached."""

import gc
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from multiprocessing import get_context
from typing import Any

from recon.testing.simulation.oracle import Violation
from recon.testing.simulation.run import run_world
from recon.testing.simulation.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A world in which a law was violated."""

    world: str
    seed: int
    violations: tuple[Violation, ...]


@dataclass(slots=True, kw_only=True)
class Campaign:
    """What a campaign came to. A night is one night of one domain; `seed` is where the seeds began."""

    seed: int
    nights: int = 0
    worlds: int = 0
    runs: int = 0
    steps: int = 0
    seconds: float = 0.0
    broken: list[Broken] = field(default_factory=list)
    coverage: Counter[str] = field(default_factory=Counter)

    def figures(self) -> dict[str, Any]:
        """For a document: plain figures."""
        return {
            "nights": self.nights,
            "worlds": self.worlds,
            "runs": self.runs,
            "steps": self.steps,
            "violations": sum(len(one.violations) for one in self.broken),
            "seconds": round(self.seconds, 1),
            "seed": self.seed,
            "coverage": dict(sorted(self.coverage.items())),
        }

    def words(self) -> str:
        """For a terminal: the figures, then everything that was reached with its count."""
        violations = sum(len(one.violations) for one in self.broken)
        head = (
            f"{self.nights:,} nights in {self.worlds:,} worlds, seeds from {self.seed}: {self.runs:,} runs, {self.steps:,} steps, "
            f"{violations:,} violations, {self.seconds:.1f} s"
        )
        reached = ", ".join(f"{name} {times:,}" for name, times in sorted(self.coverage.items()))
        return f"{head}\nreached: {reached}"


def world_of(worlds: Sequence[World], seed: int) -> World:
    """Which world a seed stands for: each has its turn."""
    return worlds[seed % len(worlds)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lived:
    """What comes back from a worker: a result without its story."""

    world: str
    seed: int
    nights: int
    runs: int
    steps: int
    violations: tuple[Violation, ...]
    coverage: Counter[str]


def _live(world: World, seed: int) -> _Lived:
    result = run_world(world, seed)
    return _Lived(
        world=world.name,
        seed=seed,
        nights=result.domain_nights,
        runs=result.runs,
        steps=result.steps.total(),
        violations=result.violations,
        coverage=result.coverage,
    )


def campaign(
    worlds: Sequence[World], *, nights: int, seed: int, workers: int | None = None, hear: Callable[[Broken], None] = lambda _: None
) -> Campaign:
    """Lives world after world, seeds counted up from `seed`, until so many nights have been lived. The seeds do not depend on the machine.

    `hear` is told of a violated world as soon as it is found.
    """
    done = Campaign(seed=seed)
    begun = time.monotonic()
    for lived in _in_order(worlds, seed, workers or os.cpu_count() or 1):
        done.nights += lived.nights
        done.worlds += 1
        done.runs += lived.runs
        done.steps += lived.steps
        done.coverage.update(lived.coverage)
        if lived.violations:
            done.broken.append(Broken(world=lived.world, seed=lived.seed, violations=lived.violations))
            hear(done.broken[-1])
        if done.nights >= nights:
            break
    done.seconds = time.monotonic() - begun
    return done


def _settled() -> None:
    """What a worker has loaded stays loaded: the collector of garbage need not look through it as often as it would."""
    gc.set_threshold(20_000, 20, 20)


def _in_order(worlds: Sequence[World], seed: int, workers: int) -> Iterator[_Lived]:
    """Each seed's world in order, a few ahead at work."""
    # Fresh interpreters: what this one has in its threads and caches is nothing to them.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_settled) as pool:
        seeds = count(seed)
        ahead: list[Future[_Lived]] = []
        try:
            while True:
                while len(ahead) < workers * 2:
                    number = next(seeds)
                    ahead.append(pool.submit(_live, world_of(worlds, number), number))
                yield ahead.pop(0).result()
        finally:
            for future in ahead:
                future.cancel()
