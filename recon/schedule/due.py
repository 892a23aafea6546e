"""Which domains have a slot due that has not run: for `recon run --due` from cron, and for the service."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from recon.clock import Clock, iso
from recon.job import Job
from recon.schedule.trigger import Timetable
from recon.state.database import State
from recon.state.slots import Slots, SlotState

#: Missed slots are counted for the log; beyond this many the exact number tells nobody anything.
MOST_COUNTED = 1000

#: Why the slot that a domain's first start finds behind it gets no run.
BASELINE = "before the schedule was first started"

#: How long after a run that was incomplete, or killed, the next try comes; one more than these is the most there are.
RETRY_SECONDS = (300.0, 900.0, 2700.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One domain with a slot to run: the latest that is due. `missed` is how many before it got no run; this one covers them.

    `fresh` says that it was not known before. `skipped` names a newer slot that gets no run, and why, while this one's is at work.
    """

    domain: str
    slot: datetime
    missed: int = 0
    fresh: bool = False
    skipped: str = ""


def shared_now(state: State, clock: Clock) -> datetime:
    """The time by which slots are due: the database's own where several hosts share it, so that one whose clock is wrong runs nothing early."""
    return clock.now() if state.dialect == "sqlite" else state.now()


def timetables(jobs: Mapping[str, Job]) -> dict[str, Timetable]:
    """The timetable of each job that has a schedule."""
    return {domain: Timetable(job.schedule, job.timezone) for domain, job in jobs.items() if job.schedule}


def find_due(jobs: Mapping[str, Job], slots: Slots, *, now: datetime, catch_up: float) -> list[Due]:
    """Each scheduled domain whose latest slot has not run, recorded as pending; the slots it covers are marked skipped.

    A domain never seen before is due: its latest slot has had no run. A slot older than `catch_up` seconds is skipped, with that
    reason. A slot whose run is at work, or broke off, is due until it has finished; the domain's lease keeps two runs apart.
    """
    found = [find_one(domain, table, slots, now=now, catch_up=catch_up) for domain, table in timetables(jobs).items()]
    return sorted((due for due in found if due is not None), key=lambda due: (due.slot, due.domain))


def find_one(domain: str, table: Timetable, slots: Slots, *, now: datetime, catch_up: float) -> Due | None:
    """The same for one domain."""
    latest = table.latest(now)
    # What lies ahead was written down by a clock that has been set back since: it is not the night before this one.
    last = slots.last(domain, until=now)
    missed, fresh, skipped = 0, False, ""
    if latest is not None and (last is None or latest > last.instant):
        recorded = slots.record(domain, latest)
        fresh = recorded.fresh
        if recorded.skipped:
            skipped = f"the slot of {iso(latest)} is skipped: {recorded.skipped}"
        elif last is not None:
            missed = _between(table, last.instant, latest)
    # Where nothing is new, what was recorded and never finished is still owed, the newest of it.
    waiting = [slot for slot in slots.pending(domain) if slot.instant <= now]
    if not waiting:
        return None
    for older in waiting[:-1]:
        slots.finish(domain, older.instant, state=SlotState.SKIPPED, reason=f"covered by {iso(waiting[-1].instant)}")
    slot = waiting[-1]
    if now - slot.instant > timedelta(seconds=catch_up) and slot.taken_by is None:
        slots.finish(domain, slot.instant, state=SlotState.SKIPPED, reason="found too late to be caught up ([schedule] catch_up)")
        return None
    return Due(domain=domain, slot=slot.instant, missed=missed, fresh=fresh, skipped=skipped)


def set_baseline(domain: str, table: Timetable, slots: Slots, *, now: datetime) -> bool:
    """For a domain that was never scheduled before: from now on slots count. True where this was so.

    A service that is installed at noon has missed nothing, and must still know, when it is started again, which night it stood still.
    """
    if slots.last(domain) is not None:
        return False
    latest = table.latest(now)
    if latest is not None and slots.due(domain, latest):
        slots.finish(domain, latest, state=SlotState.SKIPPED, reason=BASELINE)
    return True


def _between(table: Timetable, start: datetime, end: datetime) -> int:
    """How many slots lie strictly between two."""
    count = 0
    slot = table.after(start)
    while slot is not None and slot < end and count < MOST_COUNTED:
        count += 1
        slot = table.after(slot)
    return count
