"""A process of the reconciler in the world: every step it takes is counted, and at a drawn one it is killed, or stands still.

A step is a statement or commit of the state database, a request, a call of the publisher, a write, fsync or rename, a sleep. After
its death every further step raises `Crash` again, so that no `finally` of the code under test does what a killed process cannot.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, event

from recon.publishers.base import Message
from recon.testing.simulation.clock import HostClock

if TYPE_CHECKING:
    from recon.testing.simulation.world import Universe

CURRENT: list["Process"] = []
"""The processes at work, the innermost last: one stands still, or sleeps, while the next one works."""


class Crash(BaseException):
    """The process was killed. It is no Exception, since nothing may catch it that would not survive a kill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What happens to a process at its `nth` step of this kind (any kind: ""): `crash`, or `freeze` for `seconds`."""

    what: str
    kind: str
    nth: int
    seconds: float = 0.0


class Process:
    """One process on one host. `steps` counts what it did, by kind."""

    def __init__(self, universe: "Universe", number: int, host: str, fates: list[Fate]) -> None:
        self.universe = universe
        self.number = number
        self.host = host
        self.name = f"p{number}@{host}"
        self.fates = fates
        self.dead = False
        self.writing = False
        self.steps: dict[str, int] = {}
        self.total = 0
        self.requests = 0
        self.calls = 0
        self.posts = 0
        #: What a call of the publisher carries, by key, and when it was called.
        self.in_hand: Mapping[str, Message] = {}
        self.called = 0.0
        self.beats: list[Any] = []
        self.chance: random.Random = universe.chance.stream("process", number)
        self.clock = HostClock(universe.time, lambda: universe.skew[host], self.sleep)

    def step(self, kind: str) -> None:
        """Counts a step about to be taken; the fate may strike instead."""
        if self.dead:
            raise Crash
        nth = self.steps[kind] = self.steps.get(kind, 0) + 1
        self.total += 1
        for fate in self.fates:
            if (fate.kind == kind and fate.nth == nth) or (not fate.kind and fate.nth == self.total):
                self._strike(fate, kind)

    def _strike(self, fate: Fate, kind: str) -> None:
        chance = self.universe.chance
        if fate.what == "crash":
            if chance.let("crash", self.number):
                chance.reach(f"crash at {kind}")
                self.universe.story.tell(self.name, f"is killed at {kind}, step {self.total}")
                self.universe.facts.dead[self.number] = self.universe.time.at
                self.dead = True
                raise Crash
        elif self.writing:
            # Standing still inside a writing transaction, it would hold the whole database: it stops at the next step outside.
            self.fates = [Fate(what="freeze", kind="", nth=self.total + 1, seconds=fate.seconds)]
        elif chance.let("freeze", self.number):
            chance.reach(f"freeze at {kind}")
            self.universe.freeze(self, fate.seconds, kind)

    def sleep(self, seconds: float) -> None:
        """Sleeps, with the heartbeats that a thread would make meanwhile; the world goes on."""
        self.step("sleep")
        self.passes(seconds)

    def passes(self, seconds: float) -> None:
        """Time goes by for this process; leases that it keeps alive are renewed as it does."""
        time = self.universe.time
        end = time.at + seconds
        while time.at < end:
            due = min((beat.due for beat in self.beats), default=end)
            time.go_on(min(end, max(due, time.at)))
            for beat in list(self.beats):
                if beat.due <= time.at and not self.writing:
                    beat.beat()


def watch(engine: Engine) -> None:
    """Makes steps of the engine's statements and commits, for whatever process is at work."""

    @event.listens_for(engine, "before_cursor_execute")
    def statement(_conn: Connection, _cursor: Any, text: str, *_rest: Any) -> None:
        if CURRENT:
            CURRENT[-1].step("sql")
            if text.startswith("BEGIN IMMEDIATE"):
                CURRENT[-1].writing = True

    dialect: Any = engine.dialect
    commit, rollback = dialect.do_commit, dialect.do_rollback

    def committing(connection: Any) -> None:
        if CURRENT:
            CURRENT[-1].step("commit")
        commit(connection)
        if CURRENT:
            CURRENT[-1].writing = False
            CURRENT[-1].step("committed")

    def rolling_back(connection: Any) -> None:
        rollback(connection)
        if CURRENT:
            CURRENT[-1].writing = False

    dialect.do_commit, dialect.do_rollback = committing, rolling_back


@contextmanager
def running(process: Process) -> Iterator[Process]:
    """The process is the one at work."""
    CURRENT.append(process)
    try:
        yield process
    finally:
        CURRENT.pop()


def stepping(kind: str, real: Callable[..., Any]) -> Callable[..., Any]:
    """The system call with a step before it, for whatever process is at work."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if CURRENT:
            CURRENT[-1].step(kind)
        return real(*args, **kwargs)

    return call
