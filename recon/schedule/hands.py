"""What one scheduler has in hand: the slots it has taken, each with its run at work, kept for as long as that takes.

A slot is taken only in order to start its run at once, so a slot that is taken is one whose run is at work. Whatever becomes of
the run is written into the slot's row: done, given up, or when it is tried again, by this scheduler or by another one.
"""

import time
from collections.abc import Callable
from datetime import datetime

from recon.clock import iso
from recon.duration import words_of
from recon.errors import ReconError
from recon.schedule.children import Children, Ended, Task
from recon.schedule.settle import FINISHED, Settled, settle, try_again
from recon.state.lease import owner
from recon.state.slots import TAKE_SECONDS, NotTaken, Slot, Slots

RECORD_AGAIN_SECONDS = 10.0


class Hands:
    """Takes slots, starts their runs, and settles them. `retries` are the waits before the second try, the third, and so on."""

    def __init__(
        self, slots: Slots, children: Children, *, say: Callable[[str], None], retries: tuple[float, ...], keep: float = TAKE_SECONDS
    ) -> None:
        self.children = children
        self.who = owner()
        self._slots = slots
        self._say = say
        self._retries = retries
        self._keep = keep
        self._renewed = time.monotonic()
        self._lost: set[tuple[str, datetime]] = set()
        self._unsettled: list[tuple[float, Ended]] = []

    def __len__(self) -> int:
        return len(self.children) + len(self._unsettled)

    def busy(self, domain: str) -> bool:
        """Whether a run of the domain is at work here, or how one ended is still to be written down."""
        return self.children.of(domain) is not None or any(ended.task.domain == domain for _, ended in self._unsettled)

    def take(self, slot: Slot) -> None:
        """Takes a slot that is ready and starts its run; nothing, where somebody else was quicker."""
        taken = self._slots.take(slot.domain, slot.instant, self.who, tries=1 + len(self._retries), seconds=self._keep)
        if isinstance(taken, NotTaken):
            if taken.given_up:
                self._say(f"{slot.domain}: GIVEN UP for {iso(slot.instant)}: {taken.why}; the next slot will look at everything again")
            return
        task = Task(domain=taken.domain, slot=taken.instant, tries=taken.tries)
        try:
            child = self.children.start(task)
        except OSError as error:
            self._say(f"{task.domain}: the run for {iso(task.slot)} could not be started: {error}")
            why = "could not be started"
            self._follow(
                task, try_again(self._slots, task.domain, task.slot, who=self.who, tries=task.tries, why=why, retries=self._retries)
            )
            return
        which = f", try {task.tries} of {1 + len(self._retries)}" if task.tries > 1 else ""
        self._say(f"{task.domain}: run for {iso(task.slot)} started (process {child.process.pid}{which})")

    def settle(self) -> int:
        """Writes down how the runs ended that have ended since; answers how many. While the state database is away, it is kept and tried again."""
        now = time.monotonic()
        late = [ended for at, ended in self._unsettled if at <= now]
        self._unsettled = [(at, ended) for at, ended in self._unsettled if at > now]
        ended_now = [*late, *self.children.collect()]
        for ended in ended_now:
            try:
                self._note(ended)
            except ReconError as error:
                self._say(
                    f"{ended.task.domain}: how {iso(ended.task.slot)} ended (exit {ended.code}) cannot be written down: {error}; "
                    f"trying again in {RECORD_AGAIN_SECONDS:.0f} s"
                )
                self._unsettled.append((now + RECORD_AGAIN_SECONDS, ended))
        return len(ended_now)

    def renew(self) -> None:
        """Keeps what is in hand. A slot that was lost, because this process stood still for too long, is said; its run's own lease protects the rest."""
        if time.monotonic() - self._renewed < self._keep / 6:
            return
        mine = [(task.domain, task.slot) for task in self.children.tasks() if (task.domain, task.slot) not in self._lost]
        for domain, instant in self._slots.renew(self.who, mine, seconds=self._keep) if mine else ():
            self._lost.add((domain, instant))
            self._say(
                f"{domain}: nothing was heard of this service for {words_of(self._keep)}, and the slot of {iso(instant)} was taken over; "
                "its run here may go on only while nobody else is at work on the domain"
            )
        self._renewed = time.monotonic()

    def stop(self, grace: float) -> int:
        """Ends the runs at work and gives their slots back, due at once for whoever comes next; answers how many had to be killed."""
        ended, killed = self.children.stop(grace)
        for one in ended:
            try:
                if one.code in FINISHED:
                    self._note(one)
                    continue
                self._slots.release(one.task.domain, one.task.slot, self.who)
            except ReconError as error:
                self._say(f"{one.task.domain}: the slot of {iso(one.task.slot)} could not be given back: {error}")
            self._say(
                f"{one.task.domain}: run for {iso(one.task.slot)} was stopped; it goes on when the service starts again, or on another host"
            )
        return killed

    def _note(self, ended: Ended) -> None:
        task, took = ended.task, words_of(ended.seconds)
        if (task.domain, task.slot) in self._lost:
            self._lost.discard((task.domain, task.slot))
            self._say(f"{task.domain}: run for {iso(task.slot)} ended after {took} (exit {ended.code}); another scheduler sees to the slot")
            return
        settled = settle(self._slots, task.domain, task.slot, who=self.who, tries=task.tries, code=ended.code, retries=self._retries)
        of_it = f"{task.domain}: run for {iso(task.slot)}"
        if settled.outcome == "finished":
            self._say(f"{of_it} {settled.words} after {took} (exit {ended.code})")
        elif settled.outcome == "failed":
            self._say(f"{of_it} FAILED after {took} (exit {ended.code}): recon runs shows it")
        else:
            self._say(f"{of_it} {settled.words} after {took}")
        self._follow(task, settled)

    def _follow(self, task: Task, settled: Settled) -> None:
        if settled.outcome == "given up":
            self._say(f"{task.domain}: GIVEN UP for {iso(task.slot)} after {task.tries} tries; the next slot will look at everything again")
        elif settled.outcome == "again":
            self._say(f"{task.domain}: trying {iso(task.slot)} again in {words_of(settled.wait)}")
