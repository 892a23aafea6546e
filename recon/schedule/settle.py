"""How a run's end settles its slot, whoever started it: the service, or `recon run --due`."""

import logging
import signal
import threading
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Literal, Self

from recon.errors import ReconError
from recon.schedule.due import RETRY_SECONDS
from recon.state.slots import TAKE_SECONDS, Slots, SlotState

#: Exit codes of a run that has done what it could for its slot: done, discrepancies, held, not all delivered.
FINISHED = {0: "done", 3: "done, with discrepancies", 4: "held for approval", 6: "done, with events not delivered"}
#: Those of one that is tried again; a negative code is the signal that killed it.
AGAIN = {75: "was incomplete (exit 75)", 130: "was interrupted (exit 130)", 143: "was stopped (exit 143)"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of the slot, in words that follow "the run"; `wait` is in seconds, before the next try."""

    outcome: Literal["finished", "again", "given up", "failed"]
    words: str
    wait: float = 0.0


def settle(
    slots: Slots,
    domain: str,
    instant: datetime,
    *,
    who: str,
    tries: int,
    code: int,
    run: str | None = None,
    retries: tuple[float, ...] = RETRY_SECONDS,
) -> Settled:
    """Writes down how the run of a slot ended that `who` has taken for the `tries`-th time; raises StateError where that cannot be."""
    if code in FINISHED:
        slots.finish(domain, instant, run=run, who=who)
        return Settled(outcome="finished", words=FINISHED[code])
    if code in AGAIN or code < 0:
        why = f"was killed by {signal.Signals(-code).name}" if code < 0 else AGAIN[code]
        return try_again(slots, domain, instant, who=who, tries=tries, why=why, retries=retries)
    slots.finish(domain, instant, state=SlotState.SKIPPED, reason=f"its run failed with exit {code}", run=run, who=who)
    return Settled(outcome="failed", words=f"failed (exit {code})")


def try_again(
    slots: Slots, domain: str, instant: datetime, *, who: str, tries: int, why: str, retries: tuple[float, ...] = RETRY_SECONDS
) -> Settled:
    """Gives the slot back for its next try, or gives it up where there were enough."""
    if tries > len(retries):
        slots.finish(domain, instant, state=SlotState.SKIPPED, reason=f"given up after {tries} tries: the last {why}", who=who)
        return Settled(outcome="given up", words=why)
    slots.again(domain, instant, who, wait=retries[tries - 1], reason=why)
    return Settled(outcome="again", words=why, wait=retries[tries - 1])


class Kept:
    """Keeps a taken slot from a thread of its own while its run is at work in this process; given back as it was if that is broken off."""

    def __init__(self, slots: Slots, domain: str, instant: datetime, who: str, *, seconds: float = TAKE_SECONDS) -> None:
        self._slots = slots
        self._one = (domain, instant)
        self._who = who
        self._seconds = seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"slot {domain}", daemon=True)

    def _beat(self) -> None:
        while not self._stop.wait(self._seconds / 6):
            try:
                self._slots.renew(self._who, [self._one], seconds=self._seconds)
            except ReconError as error:
                log.warning("%s: the slot could not be renewed: %s", self._one[0], error, extra={"action": "slot_renew_failed"})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(timeout=5.0)
        if kind is not None:
            self._slots.release(*self._one, self._who)
