"""A campaign: many small worlds, each with one fault, two at a time; every failure is kept and told together at the end."""

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from recon.testing.scratch import scratch
from tests.faults.nursery import Nursery

T = TypeVar("T")
SIDE_BY_SIDE = 2


def seed() -> int:
    """RECON_SEED, else the same one every time."""
    return int(os.environ.get("RECON_SEED", "20261125"))


def sample(what: Sequence[T], every: int, offset: object) -> list[T]:
    """Every so many-th, from a seeded start."""
    return list(what)[random.Random(f"{seed()}:{offset}").randrange(every) :: every]


def spread(kinds: Sequence[str], every: int, offset: object) -> list[int]:
    """Numbers of steps, counted from 1: every so many-th of each kind by itself, so that no kind is lost among the many statements."""
    by_kind = sorted(range(1, len(kinds) + 1), key=lambda number: (kinds[number - 1], number))
    return sorted(sample(by_kind, every, offset))


@contextmanager
def ground() -> Iterator[Path]:
    """A folder for worlds, in memory where the machine has that: what a killed process wrote stays either way."""
    place = scratch("recon-faults")
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


class Campaign:
    """Runs trials on a few nurseries side by side. `seconds` is how long it has been open."""

    def __init__(self, stack: ExitStack, *, workers: int = SIDE_BY_SIDE) -> None:
        self.began = time.monotonic()
        self._free: SimpleQueue[Nursery] = SimpleQueue()
        self._pool = stack.enter_context(ThreadPoolExecutor(workers))
        for _ in range(workers):
            self._free.put(stack.enter_context(Nursery()))

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def each(self, trials: Sequence[T], trial: Callable[[Nursery, T], list[str]]) -> dict[str, list[str]]:
        """Every trial once; answers what went wrong, by trial."""

        def one(which: T) -> list[str]:
            nursery = self._free.get()
            try:
                return trial(nursery, which)
            except Exception as error:
                return [f"{type(error).__name__}: {error}"]
            finally:
                self._free.put(nursery)

        ended = zip(trials, self._pool.map(one, trials), strict=True)
        return {str(which): wrong for which, wrong in ended if wrong}


@contextmanager
def campaign() -> Iterator[Campaign]:
    """An open campaign."""
    with ExitStack() as stack:
        yield Campaign(stack)
