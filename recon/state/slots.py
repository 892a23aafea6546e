"""Slots: the scheduled instants that are due. Schedulers write them down; one of them takes a slot and sees to its run.

So a firing costs one row, a missed night stays visible, one instant of one domain has at most one run, and a slot whose
scheduler has died is taken by another one: on this host or on the next, since what is known of a slot is in its row.
All times of a row are the database's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from recon.clock import iso
from recon.state import lease as leases
from recon.state.database import State
from recon.state.run import OPEN
from recon.state.tables import runs, slots

TAKE_SECONDS = 180.0
"""How long a taken slot is left to whoever took it when nothing more is heard of that; a scheduler at work renews it."""

MOST_WAIT_SECONDS = 3600.0
"""No next try is ever set further away. A time beyond it, or a take beyond its own length, comes of a clock that was set back."""


class SlotState(StrEnum):
    """What became of a scheduled instant."""

    #: It is due, and no run has finished for it.
    PENDING = "pending"
    #: A run finished for it.
    DONE = "done"
    #: It got no run of its own, for the reason given: another one covers it, or the last was still at work.
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One scheduled instant of one domain."""

    domain: str
    instant: datetime
    state: SlotState
    recorded_at: datetime
    finished_at: datetime | None
    reason: str | None
    run: str | None
    #: Runs that were started for it, and when the next one may be where the last is to be tried again.
    tries: int = 0
    again_at: datetime | None = None
    #: Who sees to it (`host:pid`), and until when if nothing more is heard.
    taken_by: str | None = None
    taken_until: datetime | None = None

    def taken(self, now: datetime) -> bool:
        """Whether somebody sees to it who has been heard of lately."""
        return self.taken_by is not None and self.taken_until is not None and _ahead(now, self.taken_until, 2 * TAKE_SECONDS)

    def waits(self, now: datetime) -> bool:
        """Whether its next try is still to come."""
        return self.again_at is not None and _ahead(now, self.again_at, MOST_WAIT_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What writing a slot down came to: whether it was new, and why it gets no run where it was skipped at once."""

    fresh: bool
    skipped: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTaken:
    """Why a slot was not taken; `given_up` where its tries are used up, which is written down by that."""

    why: str
    given_up: bool = False


class Slots:
    """The slots in a state database."""

    def __init__(self, state: State) -> None:
        self.state = state

    def due(self, domain: str, instant: datetime) -> bool:
        """Writes down that this instant is due; True where it was not known, so two schedulers at once record it once."""
        with self.state.begin() as conn:
            return self._insert(conn, domain, instant)

    def record(self, domain: str, instant: datetime) -> Recorded:
        """Writes down that this instant is due, and settles what that means for the others of its domain, in one transaction.

        While the run of an older slot is at work, the new one is skipped. Older ones that wait are covered by it. One that comes
        late, behind a newer that is due or done, is covered itself.
        """
        with self.state.begin() as conn:
            if not self._insert(conn, domain, instant):
                return Recorded(fresh=False)
            waiting = (slots.c.domain == domain, slots.c.state == SlotState.PENDING, slots.c.slot < instant)
            older = [_slot(row) for row in conn.execute(select(slots).where(*waiting).order_by(slots.c.slot).with_for_update()).all()]
            reason = self._covered(conn, domain, instant)
            at_work = self._at_work(conn, domain, older)
            if at_work is not None:
                reason = f"the run of {iso(at_work)} was still at work"
            if reason:
                self._close(conn, domain, [instant], SlotState.SKIPPED, reason)
            else:
                self._close(conn, domain, [slot.instant for slot in older], SlotState.SKIPPED, f"covered by {iso(instant)}")
            return Recorded(fresh=True, skipped=reason)

    def take(self, domain: str, instant: datetime, who: str, *, tries: int, seconds: float = TAKE_SECONDS) -> Slot | NotTaken:
        """Takes a slot in order to start its run, which counts as a try; at most `tries` in all.

        Not taken is one that is finished, that another scheduler sees to, whose next try is still to come, that a newer one covers, or
        whose domain somebody is at work on: then it stays due until that has ended.
        """
        with self.state.begin() as conn:
            row = conn.execute(select(slots).where(*_one(domain, instant)).with_for_update()).one_or_none()
            if row is None:
                return NotTaken(why="nobody wrote it down")
            slot, now = _slot(row), self.state.now(conn)
            why = self._why_not(conn, slot, now)
            if why:
                return NotTaken(why=why)
            covered = self._covered(conn, domain, instant)
            if covered:
                self._close(conn, domain, [instant], SlotState.SKIPPED, covered)
                return NotTaken(why=covered)
            if slot.tries >= tries:
                why = f"given up after {slot.tries} tries: the last {slot.reason or 'ended with its scheduler'}"
                self._close(conn, domain, [instant], SlotState.SKIPPED, why)
                return NotTaken(why=why, given_up=True)
            values = {"taken_by": who, "taken_until": now + timedelta(seconds=seconds), "tries": slot.tries + 1, "again_at": None}
            conn.execute(update(slots).where(*_one(domain, instant)).values(**values))
            taken = conn.execute(select(slots).where(*_one(domain, instant))).one()
        return _slot(taken)

    def renew(self, who: str, mine: Iterable[tuple[str, datetime]], *, seconds: float = TAKE_SECONDS) -> list[tuple[str, datetime]]:
        """Keeps what was taken for another while; answers those that somebody else has meanwhile."""
        lost = []
        with self.state.begin() as conn:
            until = self.state.now(conn) + timedelta(seconds=seconds)
            for domain, instant in mine:
                if not conn.execute(update(slots).where(*_one(domain, instant), *_of(who)).values(taken_until=until)).rowcount:
                    lost.append((domain, instant))
        return lost

    def again(self, domain: str, instant: datetime, who: str, *, wait: float, reason: str) -> None:
        """Gives a slot back whose run is to be tried again, not before `wait` seconds from now."""
        with self.state.begin() as conn:
            values = {"again_at": self.state.now(conn) + timedelta(seconds=wait), "reason": reason, "taken_by": None, "taken_until": None}
            conn.execute(update(slots).where(*_one(domain, instant), *_of(who)).values(**values))

    def release(self, domain: str, instant: datetime, who: str) -> None:
        """Gives a slot back whose run was stopped, not ended: it is due at once, and that was no try."""
        with self.state.begin() as conn:
            values = {"tries": slots.c.tries - 1, "taken_by": None, "taken_until": None}
            conn.execute(update(slots).where(*_one(domain, instant), *_of(who)).values(**values))

    def pending(self, domain: str | None = None) -> list[Slot]:
        """What is due and not finished, oldest first."""
        query = select(slots).where(slots.c.state == SlotState.PENDING).order_by(slots.c.slot, slots.c.domain)
        with self.state.read() as conn:
            rows = conn.execute(query if domain is None else query.where(slots.c.domain == domain)).all()
        return [_slot(row) for row in rows]

    def ready(self) -> list[Slot]:
        """What is due now, and seen to by nobody, oldest first."""
        query = select(slots).where(slots.c.state == SlotState.PENDING).order_by(slots.c.slot, slots.c.domain)
        with self.state.read() as conn:
            now = self.state.now(conn)
            found = [_slot(row) for row in conn.execute(query).all()]
        return [slot for slot in found if not slot.taken(now) and not slot.waits(now)]

    def finish(
        self,
        domain: str,
        instant: datetime,
        *,
        state: str = SlotState.DONE,
        reason: str | None = None,
        run: str | None = None,
        who: str | None = None,
    ) -> None:
        """Marks a pending instant done or skipped; one that is finished stays as it was, and so does, with `who`, one that another has taken."""
        with self.state.begin() as conn:
            self._close(conn, domain, [instant], SlotState(state), reason, run=run, who=who)

    def get(self, domain: str, instant: datetime) -> Slot | None:
        """The slot of this instant."""
        with self.state.read() as conn:
            row = conn.execute(select(slots).where(*_one(domain, instant))).one_or_none()
        return None if row is None else _slot(row)

    def last(self, domain: str, *, until: datetime | None = None) -> Slot | None:
        """The latest instant recorded for the domain; with `until`, of those that are not after it."""
        mine = [slots.c.domain == domain] if until is None else [slots.c.domain == domain, slots.c.slot <= until]
        latest = select(func.max(slots.c.slot)).where(*mine).scalar_subquery()
        with self.state.read() as conn:
            row = conn.execute(select(slots).where(slots.c.domain == domain, slots.c.slot == latest)).one_or_none()
        return None if row is None else _slot(row)

    def latest(self) -> dict[str, datetime]:
        """The latest instant recorded, of every domain."""
        with self.state.read() as conn:
            return {row[0]: row[1] for row in conn.execute(select(slots.c.domain, func.max(slots.c.slot)).group_by(slots.c.domain)).all()}

    def recent(self, domain: str | None = None, limit: int = 30) -> list[Slot]:
        """The newest slots, newest first."""
        query = select(slots).order_by(slots.c.slot.desc(), slots.c.domain).limit(limit)
        with self.state.read() as conn:
            rows = conn.execute(query if domain is None else query.where(slots.c.domain == domain)).all()
        return [_slot(row) for row in rows]

    # -- in the caller's transaction ---------------------------------------------------------------------------------------

    def _why_not(self, conn: Connection, slot: Slot, now: datetime) -> str:
        """Why a slot cannot be taken now; empty where it can."""
        if slot.state is not SlotState.PENDING:
            return f"it is {slot.state}{f': {slot.reason}' if slot.reason else ''}"
        if slot.taken(now):
            return f"{slot.taken_by} sees to it"
        if slot.waits(now):
            return f"{slot.reason or 'it ended early'}; it is tried again at {iso(_second(slot.again_at or now))}"
        holder = leases.holder(self.state, conn, slot.domain)
        return f"{holder.owner} is at work on {slot.domain} since {iso(_second(holder.acquired_at))}" if holder is not None else ""

    def _insert(self, conn: Connection, domain: str, instant: datetime) -> bool:
        insert = sqlite.insert if self.state.dialect == "sqlite" else postgresql.insert
        values = {"domain": domain, "slot": instant, "state": SlotState.PENDING, "recorded_at": self.state.now(conn)}
        statement = insert(slots).values(values).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
        return conn.execute(statement).rowcount == 1

    def _close(
        self,
        conn: Connection,
        domain: str,
        instants: Iterable[datetime],
        state: SlotState,
        reason: str | None,
        *,
        run: str | None = None,
        who: str | None = None,
    ) -> None:
        values = {"state": state, "reason": reason, "run_id": run, "finished_at": self.state.now(conn)}
        values |= {"taken_by": None, "taken_until": None, "again_at": None}
        mine = () if who is None else _of(who)
        for instant in instants:
            conn.execute(update(slots).where(*_one(domain, instant), slots.c.state == SlotState.PENDING, *mine).values(**values))

    def _covered(self, conn: Connection, domain: str, instant: datetime) -> str:
        """Which newer slot covers this one. One that was skipped covers nothing: it may have been skipped for this one's sake.

        Nor does one that lies ahead: it came of a clock that was set back since, and the nights up to it are still to be had.
        """
        newer = (slots.c.domain == domain, slots.c.slot > instant, slots.c.state.in_([SlotState.PENDING, SlotState.DONE]))
        come = slots.c.slot <= self.state.now(conn)
        found: datetime | None = conn.execute(select(func.max(slots.c.slot)).where(*newer, come)).scalar_one()
        return f"covered by {iso(found)}" if found is not None else ""

    def _at_work(self, conn: Connection, domain: str, older: list[Slot]) -> datetime | None:
        """Of these slots, one whose run is at work: its scheduler says so, or its run holds the domain's lease."""
        now = self.state.now(conn)
        taken = next((slot.instant for slot in older if slot.taken(now)), None)
        if taken is not None or not older or leases.holder(self.state, conn, domain) is None:
            return taken
        of_them = (runs.c.domain == domain, runs.c.slot.in_([slot.instant for slot in older]), runs.c.state.in_(OPEN))
        found: datetime | None = conn.execute(select(func.max(runs.c.slot)).where(*of_them)).scalar_one()
        return found


def _one(domain: str, instant: datetime) -> tuple[ColumnElement[bool], ...]:
    return slots.c.domain == domain, slots.c.slot == instant


def _of(who: str) -> tuple[ColumnElement[bool], ...]:
    return slots.c.taken_by == who, slots.c.state == SlotState.PENDING


def _ahead(now: datetime, then: datetime, most: float) -> bool:
    return now < then <= now + timedelta(seconds=most)


def _second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _slot(row: object) -> Slot:
    values = dict(row._mapping)  # type: ignore[attr-defined]  # noqa: SLF001 - SQLAlchemy's public name of a row as a mapping
    return Slot(
        domain=values["domain"],
        instant=values["slot"],
        state=SlotState(values["state"]),
        recorded_at=values["recorded_at"],
        finished_at=values["finished_at"],
        reason=values["reason"],
        run=values["run_id"],
        tries=values["tries"],
        again_at=values["again_at"],
        taken_by=values["taken_by"],
        taken_until=values["taken_until"],
    )
