"""Nights that did not happen: found in the timetables and the state database alone, so that it needs no service to say that none is there.

A domain is overdue when the latest of its slots that is older than `[schedule] overdue` has had no finished run since.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Row, or_, select
from sqlalchemy.sql.elements import ColumnElement

from recon.clock import iso
from recon.schedule.due import BASELINE, RETRY_SECONDS
from recon.schedule.trigger import Timetable
from recon.state import lease as leases
from recon.state.database import State
from recon.state.run import RunState
from recon.state.slots import Slot, Slots, SlotState
from recon.state.tables import runs
from recon.state.tables import slots as slots_table

TRY_AGAIN = 75
#: Letters of a run's id in a command: enough to be unique among the runs of years.
SHORT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """A domain whose night did not happen: the slot it has been waiting since, why as far as can be told, and the command that mends it."""

    domain: str
    slot: datetime
    why: str
    way_out: str
    #: When a run of the domain last came to its end; None for one that never did.
    last: datetime | None = None

    @property
    def words(self) -> str:
        """Since when, why, and what was last."""
        last = f"the last finished run ended {iso(_second(self.last))}" if self.last is not None else "no run of it ever finished"
        return f"no finished run since its slot of {iso(self.slot)}: {self.why}; {last}"


def find_overdue(tables: Mapping[str, Timetable], state: State, *, now: datetime, allowed: float) -> list[Overdue]:
    """Every domain that is overdue, by name. `allowed` is how many seconds after its slot a run must have finished."""
    found = (_of_domain(domain, table, state, now=now, allowed=allowed) for domain, table in sorted(tables.items()))
    return [one for one in found if one is not None]


def _of_domain(domain: str, table: Timetable, state: State, *, now: datetime, allowed: float) -> Overdue | None:
    instant = table.latest(now - timedelta(seconds=allowed))
    if instant is None:
        return None
    if _before_the_first(state, domain, instant):
        return None
    slots = Slots(state)
    slot = slots.get(domain, instant)
    whole: tuple[ColumnElement[bool], ...] = (runs.c.domain == domain, runs.c.dry_run.is_(False), runs.c.key.is_(None))
    # A rejected plan was a night that happened; one in which nothing could be confirmed is to be tried again, whatever its state.
    ended = or_(runs.c.state == RunState.REJECTED, (runs.c.state == RunState.DONE) & (runs.c.exit_code != TRY_AGAIN))
    with state.read() as conn:
        holder, moment = leases.holder(state, conn, domain), state.now(conn)
        # A run that lies ahead ran while the clock did, and is no run of tonight.
        whole += (runs.c.started_at <= moment,)
        last = conn.execute(select(runs).where(*whole, ended).order_by(runs.c.finished_at.desc()).limit(1)).one_or_none()
        newest = conn.execute(select(runs).where(*whole, _since(instant)).order_by(runs.c.started_at.desc()).limit(1)).one_or_none()
        served = conn.execute(select(runs.c.id).where(*whole, ended, _since(instant)).limit(1)).first()
    if served is not None or (last is not None and last.finished_at is not None and last.finished_at >= instant):
        return None
    why, way_out = _why(domain, slot or slots.last(domain), newest, holder, instant=instant, now=moment)
    return Overdue(domain=domain, slot=instant, why=why, way_out=way_out, last=last.finished_at if last is not None else None)


def _before_the_first(state: State, domain: str, instant: datetime) -> bool:
    """Whether the domain was scheduled for the first time after this instant, so that nothing was missed.

    A service marks the latest slot that it finds behind it at its first start. That is this one, or a later one where slots come more
    often than `[schedule] overdue` or the start came soon after one.
    """
    mark = slots_table.c.domain == domain, slots_table.c.reason == BASELINE, slots_table.c.slot >= instant
    with state.read() as conn:
        return conn.execute(select(slots_table.c.slot).where(*mark).limit(1)).first() is not None


def _since(instant: datetime) -> ColumnElement[bool]:
    return or_(runs.c.slot >= instant, runs.c.started_at >= instant)


def _why(
    domain: str,
    slot: Slot | None,
    newest: Row[tuple[object, ...]] | None,
    holder: leases.Holder | None,
    *,
    instant: datetime,
    now: datetime,
) -> tuple[str, str]:
    """Why, and the command that mends it; the run that was for it knows best, then the slot's row."""
    run_now = f"recon run {domain} runs it now"
    if holder is not None:
        return f"{holder.owner} is at work on it since {iso(_second(holder.acquired_at))}", f"recon runs {domain} shows where it stands"
    if newest is not None and newest.state == RunState.HELD:
        short = newest.id[:SHORT]
        plan = (newest.plan_checksum or "")[:8]
        ways = f'recon show {short}, then recon approve {short} --plan {plan} --reason "…" or recon reject {short} --reason "…"'
        return f"run {short} is held and waits for a person", ways
    of_slot, way_out = _of_slot(slot, instant=instant, now=now)
    if newest is not None and newest.state == RunState.EXPIRED:
        return f"run {newest.id[:SHORT]} was held, and nobody decided in time", run_now
    if newest is not None and (slot is None or slot.state is not SlotState.PENDING):
        ended = newest.reason or f"its run ended with exit {newest.exit_code}"
        said = f"; {of_slot}" if slot is not None and slot.instant == instant else ""
        return f"run {newest.id[:SHORT]} is {newest.state}: {ended}{said}", run_now
    return of_slot, way_out or run_now


def _of_slot(slot: Slot | None, *, instant: datetime, now: datetime) -> tuple[str, str]:
    start = "recon schedule runs it, and recon run --due does once; one of them must be started by something"
    if slot is None:
        return "nothing ever wrote a slot of it down: no schedule is running", start
    if slot.instant < instant:
        return f"nobody wrote that slot down (the last one was {iso(slot.instant)}): no schedule was running", start
    if slot.state is not SlotState.PENDING:
        return slot.reason or f"its slot is {slot.state}, and its run is not there", ""
    if slot.taken(now):
        return f"{slot.taken_by} is at work on it (try {slot.tries} of {1 + len(RETRY_SECONDS)})", "recon runs shows where it stands"
    if slot.waits(now):
        again = iso(_second(slot.again_at or now))
        return f"try {slot.tries} of {1 + len(RETRY_SECONDS)} {slot.reason or 'ended early'}, the next is at {again}", ""
    return f"it was written down at {iso(_second(slot.recorded_at))} and nobody takes it: no schedule is running", start


def _second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
