"""Rows that nobody will read again: findings, doubts and planned events of ended runs, and events that went out long ago.

Small transactions, so that no run waits for one. What an open discrepancy still needs stays: its last finding, whose values its
resolution is told with, and its event, whose confirmation decides whether it is told anew.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Connection, delete, exists, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from recon.clock import Clock
from recon.state.database import State
from recon.state.run import ENDED
from recon.state.tables import WAITS, Instant, doubts, events, findings, ledger, meta, outbox, plan_events, runs

BATCH = 2000
"""Rows of one transaction."""

NEEDED = timedelta(days=8)
"""Guards count what went out over the last seven nights, and what they count is kept, whatever the settings say."""

CHUNK = 500
MARKER = "pruned:"


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that is over, and since when."""

    id: str
    at: datetime


class Pruning:
    """The removal from one state database. With `until`, a moment of the clock's monotonic time, it ends there and goes on another time."""

    def __init__(self, state: State, clock: Clock, *, until: float | None = None) -> None:
        self.state = state
        self.clock = clock
        self.until = until

    @property
    def over(self) -> bool:
        """Whether the time has ended."""
        return self.until is not None and self.clock.monotonic() >= self.until

    def ended(self, domain: str) -> list[Ended]:
        """The domain's runs that are over, the newest first."""
        ended = runs.c.domain == domain, runs.c.state.in_(ENDED)
        query = select(runs.c.id, func.coalesce(runs.c.finished_at, runs.c.updated_at, type_=Instant)).where(*ended)
        with self.state.read() as conn:
            return [Ended(row[0], row[1]) for row in conn.execute(query.order_by(runs.c.started_at.desc(), runs.c.id.desc()))]

    def _filled(self, conn: Connection, old: Iterable[str]) -> list[str]:
        """Those of the runs that have something left to remove."""
        rest = iter(old)
        filled: list[str] = []
        while some := list(islice(rest, CHUNK)):
            spare = exists().where(findings.c.run_id == runs.c.id, ~_needed())
            others = [exists().where(table.c.run_id == runs.c.id) for table in (plan_events, doubts)]
            filled += conn.execute(select(runs.c.id).where(runs.c.id.in_(some), or_(spare, *others))).scalars()
        return filled

    def count(self, domain: str, old: Iterable[str], before: datetime) -> dict[str, Any]:
        """What `remove` would remove."""
        total = {"runs": 0, "findings": 0, "planned": 0, "events": 0}
        with self.state.read() as conn:
            for run in self._filled(conn, old):
                found = conn.execute(select(func.count()).select_from(findings).where(*_spare(run))).scalar_one()
                planned = conn.execute(select(func.count()).select_from(plan_events).where(plan_events.c.run_id == run)).scalar_one()
                total["runs"] += bool(found or planned)
                total["findings"] += found
                total["planned"] += planned
            gone = select(func.count()).select_from(events).where(*_sent(domain, self._before(conn, before)))
            total["events"] = conn.execute(gone).scalar_one()
        return total

    def remove(self, domain: str, old: Iterable[str], before: datetime) -> dict[str, Any]:
        """Removes findings, doubts and planned events of the runs `old`, and the domain's events that were done with `before`."""
        total: dict[str, Any] = {"runs": 0, "findings": 0, "planned": 0, "events": 0, "whole": True}
        with self.state.read() as conn:
            filled = self._filled(conn, old)
        for run in filled:
            if self.over:
                return {**total, "whole": False}
            found, planned = self._run(run)
            total["runs"] += bool(found or planned)
            total["findings"] += found
            total["planned"] += planned
        total["events"], total["whole"] = self._events(domain, before)
        return total

    def _run(self, run: str) -> tuple[int, int]:
        counts = []
        for table, which in ((findings, _spare(run)), (plan_events, (plan_events.c.run_id == run,)), (doubts, (doubts.c.run_id == run,))):
            # The second column of each primary key: within a run it names the row.
            key = list(table.primary_key.columns)[1]
            counts.append(self._batches(lambda conn, t=table, k=key, w=which: self._some(conn, run, t, k, w)))  # type: ignore[misc]  # defaults bind the loop's values
        return counts[0], counts[1]

    def _some(self, conn: Connection, run: str, table: Any, key: Any, which: tuple[Any, ...]) -> int:
        # Locked and looked at again: somebody may have gone on with it since, and what it writes now is of today.
        state = conn.execute(select(runs.c.state).where(runs.c.id == run).with_for_update()).scalar_one_or_none()
        if state not in ENDED:
            return 0
        some = conn.execute(select(key).where(*which).limit(BATCH)).scalars().all()
        if some:
            conn.execute(delete(table).where(table.c.run_id == run, key.in_(some)))
            if table is not doubts:
                conn.execute(update(runs).where(runs.c.id == run).values(pruned_at=self.state.now(conn)))
        return len(some)

    def _events(self, domain: str, before: datetime) -> tuple[int, bool]:
        def some(conn: Connection) -> int:
            over = self._before(conn, before)
            # Locked, and then looked at again: one that is enqueued or replayed just now is wanted.
            locked = select(events.c.id).where(*_sent(domain, over)).limit(BATCH).with_for_update(skip_locked=True)
            ids = conn.execute(locked).scalars().all()
            gone = conn.execute(select(events.c.id).where(events.c.id.in_(ids), *_sent(domain, over))).scalars().all()
            if gone:
                conn.execute(delete(outbox).where(outbox.c.event_id.in_(gone), outbox.c.state != WAITS))
                conn.execute(delete(events).where(events.c.id.in_(gone)))
            return len(gone)

        count = self._batches(some)
        return count, not self.over

    def _before(self, conn: Connection, before: datetime) -> datetime:
        return min(before, self.state.now(conn) - NEEDED)

    def _batches(self, some: Callable[[Connection], int]) -> int:
        count, latest = 0, BATCH
        while latest == BATCH and not self.over:
            with self.state.begin() as conn:
                latest = some(conn)
            count += latest
        return count


def _needed() -> Any:
    """Whether an open entry of the ledger has a finding as its last."""
    here = ledger.c.domain == findings.c.domain, ledger.c.key == findings.c.key
    return exists().where(*here, ledger.c.state == "open", ledger.c.last_run == findings.c.run_id)


def _spare(run: str) -> tuple[Any, ...]:
    """The findings of a run that nothing needs any more."""
    return findings.c.run_id == run, ~_needed()


def _sent(domain: str, before: datetime) -> tuple[Any, ...]:
    """The events of which nothing waits, nothing is a dead letter, nothing is recent, and that no open entry of the ledger stands for."""
    # Or the one that it supersedes: while nobody has it under the new id, that one's delivery is what the reports tell.
    says = or_(ledger.c.event_id == events.c.id, ledger.c.supersedes == events.c.id)
    open_ = exists().where(ledger.c.domain == events.c.domain, ledger.c.key == events.c.key, says, ledger.c.state == "open")
    mine = outbox.c.event_id == events.c.id
    waits = exists().where(mine, outbox.c.state == WAITS)
    last = func.coalesce(outbox.c.sent_at, outbox.c.tried_at, outbox.c.enqueued_at)
    alive = exists().where(mine, outbox.c.state != WAITS, or_(outbox.c.state == "dead", last >= before))
    return events.c.domain == domain, events.c.created_at < before, ~open_, ~waits, ~alive


def remembered(state: State, domain: str) -> str | None:
    """When the domain was last pruned, as `remember` was told."""
    with state.read() as conn:
        found: str | None = conn.execute(select(meta.c.value).where(meta.c.name == MARKER + domain)).scalar_one_or_none()
        return found


def remember(state: State, domain: str, at: str) -> None:
    """Writes down when the domain was pruned."""
    insert = sqlite.insert if state.dialect == "sqlite" else postgresql.insert
    with state.begin() as conn:
        new = insert(meta).values(name=MARKER + domain, value=at)
        conn.execute(new.on_conflict_do_update(index_elements=["name"], set_={"value": at}))
