"""What went out of late that nobody had looked at, beside what a plan would add: what the guards `week` and `total` count.

A fact counts once, however often it is told. A fact that a person approved is not counted again: it was looked at. An event with a new
id that supersedes one of the window and says the same (the same item, both sides as they were) is the same correction, told anew to a
consumer that did not act on the first; it counts no more than that one. What differs otherwise, or has come back after it had healed,
is another fact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, CompoundSelect, Connection, Select, and_, case, func, not_, or_, select, union
from sqlalchemy.dialects import postgresql

from recon.state.database import State
from recon.state.run import Run
from recon.state.tables import events, findings, meta, outbox, plan_events, plans, runs

WEEK = timedelta(days=7)
DAY = timedelta(hours=24)
TURNSTILE = "guards.total"
"""The row of `recon_meta` that whoever counts over all domains holds until the end of his transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    """Distinct facts: those that went out unseen within the window, and those that the plan would add to them."""

    emitted: int
    added: int


def week_in(state: State, conn: Connection, run: Run) -> Rolling:
    """The last seven days of the run's domain, by the database's clock; in the transaction in which the plan was made."""
    return _rolling(state, conn, run, WEEK, [runs.c.domain == run.domain])


def day_in(state: State, conn: Connection, run: Run) -> Rolling:
    """The last 24 hours of all domains. Until the transaction ends, nobody else can count: what is counted is what it is added to.

    On SQLite a writing transaction is alone anyway; on PostgreSQL one row is written first, and what is counted after that is all that
    whoever had it before has committed. Written and not only locked: on a server whose transactions see one snapshot from their
    beginning, the second one is refused instead of counting what was.
    """
    if state.dialect != "sqlite":
        mine = postgresql.insert(meta).values(name=TURNSTILE, value=run.id)
        conn.execute(mine.on_conflict_do_update(index_elements=["name"], set_={"value": run.id}))
    return _rolling(state, conn, run, DAY, [])


def _rolling(state: State, conn: Connection, run: Run, window: timedelta, whose: Sequence[ColumnElement[bool]]) -> Rolling:
    # A run that has not ended yet counts as one of now; one that has ended had sent its events into the outbox before.
    recent = or_(runs.c.finished_at.is_(None), runs.c.finished_at > state.now(conn) - window)
    told = outbox.join(runs, runs.c.id == outbox.c.run_id).join(plans, plans.c.run_id == runs.c.id)
    # Withdrawn before it was ever tried: nobody has seen it.
    never_sent = and_(outbox.c.state == "withdrawn", outbox.c.attempts == 0)
    here = *whose, recent, not_(never_sent), runs.c.id != run.id
    lately = select(outbox.c.event_id).select_from(told).where(*here)
    looked_at = func.max(case((plans.c.decided_by.is_not(None), 1), else_=0))
    unseen = lately.group_by(outbox.c.event_id).having(looked_at == 0)
    nights = select(outbox.c.run_id).select_from(told).where(*here)
    anew = _superseding(findings.c.run_id.in_(nights), lately)
    mine = select(plan_events.c.event_id).where(plan_events.c.run_id == run.id)
    # Counted as all less those known, since IN becomes a join on every database and NOT IN does not, however many they are.
    mine_anew = _superseding(findings.c.run_id == run.id, lately)
    known = union(*(mine.where(plan_events.c.event_id.in_(told_before)) for told_before in (lately, mine_anew)))
    emitted = _count(conn, unseen) - _count(conn, unseen.where(outbox.c.event_id.in_(anew)))
    return Rolling(emitted=emitted, added=_count(conn, mine) - _count(conn, known))


def _superseding(found: ColumnElement[bool], lately: Select[tuple[str]]) -> Select[tuple[str]]:
    """The events of these findings that supersede one of `lately` and say the same: both sides held then what they hold now.

    What they held then is asked of the plan that told it first, of those few alone.
    """
    first = and_(plan_events.c.run_id == events.c.run_id, plan_events.c.event_id == events.c.id)
    alike = [plan_events.c[name] == findings.c[name] for name in ("source_token", "target_token")]
    before = findings.join(events, events.c.id == findings.c.supersedes).join(plan_events, first)
    return select(findings.c.event_id).select_from(before).where(found, findings.c.supersedes.is_not(None), *alike, events.c.id.in_(lately))


def _count(conn: Connection, ids: Select[tuple[str]] | CompoundSelect[tuple[str]]) -> int:
    return conn.execute(select(func.count()).select_from(ids.subquery())).scalar_one()
