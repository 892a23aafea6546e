"""Shrinking: the smallest story in which the same law is still violated: fewer nights, then fewer occurrences, then fewer records."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from recon.testing.simulation.run import Result, run_world
from recon.testing.simulation.world import World

SMALLEST = (2, 3, 5, 8)
"""How many records are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """What is left: the world (with fewer records, maybe), the nights, what was taken out, and the result of it."""

    world: World
    nights: int
    masked: tuple[str, ...]
    result: Result
    tries: int

    def command(self, program: str) -> str:
        """What replays it."""
        words = [program, f"--world '{self.world.name}' --seed {self.result.seed} --nights {self.nights}"]
        if self.world.records[0] == self.world.records[1]:
            words.append(f"--records {self.world.records[0]}")
        words += [f"--without '{name}'" for name in self.masked]
        return " ".join([*words, "--trace"])


class Shrinker:
    """One search, bounded in seconds: what it has found when they are over is its answer."""

    def __init__(self, world: World, result: Result, *, seconds: float) -> None:
        self._law = result.violations[0].law
        self._until = time.monotonic() + seconds
        self._world = world
        self._seed = result.seed
        self._best = result
        self._nights = result.stormy
        self._masked: tuple[str, ...] = ()
        self._tries = 0

    def run(self) -> Shrunk:
        """Searches."""
        for nights in range(1, self._nights):
            if self._try(self._world, nights, ()):
                break
        self._fewer_occurrences()
        for records in SMALLEST:
            if self._try(self._world.but(records=(records, records)), self._nights, self._masked):
                break
        return Shrunk(world=self._world, nights=self._nights, masked=self._masked, result=self._best, tries=self._tries)

    def _fewer_occurrences(self) -> None:
        """Whole kinds first, then one occurrence after the other, as long as some can go."""
        for kind in sorted({name.partition("@")[0] for name in self._best.occurrences}):
            self._try(self._world, self._nights, (*self._masked, kind))
        again = True
        while again:
            again = False
            for name in self._left():
                again |= self._try(self._world, self._nights, (*self._masked, name))

    def _left(self) -> Iterator[str]:
        for name in self._best.occurrences:
            if name not in self._masked:
                yield name

    def _try(self, world: World, nights: int, masked: tuple[str, ...]) -> bool:
        """Keeps what still violates the law; False where it does not, or the time is over."""
        if time.monotonic() > self._until:
            return False
        self._tries += 1
        result = run_world(world, self._seed, nights=nights, masked=masked)
        if not any(one.law == self._law for one in result.violations):
            return False
        self._world, self._nights, self._masked, self._best = world, nights, masked, result
        return True


def shrink(world: World, result: Result, *, seconds: float = 60.0) -> Shrunk:
    """The smallest variant of a violated world that a search of so many seconds finds."""
    return Shrinker(world, result, seconds=seconds).run()
