"""Slots: the scheduled instants that are due. The scheduler writes them down; a run takes one by being started for it.

So a firing costs one row, a missed night stays visible, and one instant of one domain has at most one run.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite

from recon.state.database import State
from recon.state.tables import slots


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


class Slots:
    """The slots in a state database."""

    def __init__(self, state: State) -> None:
        self.state = state

    def due(self, domain: str, instant: datetime) -> bool:
        """Writes down that this instant is due; True where it was not known, so two schedulers at once record it once."""
        insert = sqlite.insert if self.state.dialect == "sqlite" else postgresql.insert
        with self.state.begin() as conn:
            values = {"domain": domain, "slot": instant, "state": SlotState.PENDING, "recorded_at": self.state.now(conn)}
            statement = insert(slots).values(values).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
            return conn.execute(statement).rowcount == 1

    def pending(self, domain: str | None = None) -> list[Slot]:
        """What is due and not finished, oldest first."""
        query = select(slots).where(slots.c.state == SlotState.PENDING).order_by(slots.c.slot, slots.c.domain)
        with self.state.read() as conn:
            rows = conn.execute(query if domain is None else query.where(slots.c.domain == domain)).all()
        return [_slot(row) for row in rows]

    def finish(
        self, domain: str, instant: datetime, *, state: str = SlotState.DONE, reason: str | None = None, run: str | None = None
    ) -> None:
        """Marks a pending instant done or skipped; one that is finished stays as it was."""
        with self.state.begin() as conn:
            one = (slots.c.domain == domain) & (slots.c.slot == instant) & (slots.c.state == SlotState.PENDING)
            values = {"state": SlotState(state), "reason": reason, "run_id": run, "finished_at": self.state.now(conn)}
            conn.execute(slots.update().where(one).values(**values))

    def last(self, domain: str) -> Slot | None:
        """The latest instant recorded for the domain."""
        latest = select(func.max(slots.c.slot)).where(slots.c.domain == domain).scalar_subquery()
        with self.state.read() as conn:
            row = conn.execute(select(slots).where(slots.c.domain == domain, slots.c.slot == latest)).one_or_none()
        return None if row is None else _slot(row)

    def recent(self, domain: str | None = None, limit: int = 30) -> list[Slot]:
        """The newest slots, newest first."""
        query = select(slots).order_by(slots.c.slot.desc(), slots.c.domain).limit(limit)
        with self.state.read() as conn:
            rows = conn.execute(query if domain is None else query.where(slots.c.domain == domain)).all()
        return [_slot(row) for row in rows]


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
    )
