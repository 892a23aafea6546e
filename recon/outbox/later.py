"""What has become by now of the events that one run told: delivered since and by what, waiting, refused or taken back."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, case, func, or_, select

from recon.outbox.outbox import Outbox
from recon.report.figures import RunFigures
from recon.report.since import PUBLISH, Since
from recon.state.database import State
from recon.state.run import Run, RunState
from recon.state.tables import WAITS, Instant, outbox, plan_events, runs


def since(state: State, run: Run, figures: RunFigures) -> tuple[Since, ...]:
    """By destination; none where the run had delivered all that it told, or told nothing.

    Of a run that only told of what earlier ones had left, what waits now for its domain.
    """
    lacking = {one.publisher for one in figures.delivered if one.undelivered}
    # What a run that was cut off has written down last is from before its plan went into the outbox.
    went_in = figures.plan is not None and (figures.plan.state == "enqueued" or run.state is RunState.EMITTED)
    enqueued = went_in and figures.plan is not None and figures.plan.events > 0
    if not lacking and (figures.delivered or not enqueued):
        return ()
    if not enqueued:
        waits = {one.publisher: one.count for one in Outbox(state).waiting(run.domain)}
        return tuple(Since(publisher=name, waiting=waits.get(name, 0)) for name in sorted(lacking))
    ended = run.finished_at or figures.finished_at
    found: dict[str, Since] = {name: Since(publisher=name) for name in sorted(lacking)}
    with state.read() as conn:
        for row in _rows(conn, run, ended):
            if not figures.delivered or row.publisher in lacking:
                one = found.get(row.publisher, Since(publisher=row.publisher))
                found[row.publisher] = _with(one, row)
    return tuple(found.values())


def _with(one: Since, row: Row[Any]) -> Since:
    if row.state != "sent":
        name = {"waiting": "waiting", "dead": "dead"}.get(row.state, "withdrawn")
        return replace(one, **{name: getattr(one, name) + row.number})
    by = PUBLISH if row.by is None else f"run {row.by}"
    last = row.last if one.last_at is None else max(one.last_at, row.last)
    return replace(one, delivered=one.delivered + row.number, last_at=last, by=tuple(dict.fromkeys((*one.by, by))))


def _rows(conn: Connection, run: Run, ended: datetime) -> Sequence[Row[Any]]:
    """How many events of the run's plan are in which state at which destination, in each version, but for those that it was sent by `ended`.

    One that was delivered stays so, though a later night told it again; that an earlier night had delivered it, under the same id, counts for nothing.
    """
    mine = select(plan_events.c.event_id).where(plan_events.c.run_id == run.id)
    # Each in the index of what waits and in that of what does not.
    either = or_(*(and_(outbox.c.event_id.in_(mine), state) for state in (outbox.c.state == WAITS, outbox.c.state != WAITS)))
    mine_sent = and_(outbox.c.state == "sent", outbox.c.sent_at >= run.started_at)
    sent_at = func.min(case((mine_sent, outbox.c.sent_at)), type_=Instant)
    told = select(outbox.c.publisher, func.max(outbox.c.seq).label("newest"), sent_at.label("sent_at"))
    told = told.where(either, outbox.c.replay.is_(None))
    each = told.group_by(outbox.c.event_id, outbox.c.publisher, outbox.c.version).subquery("told")
    # A night has the domain to itself, so an event was delivered by the night in whose time it was, and by hand where it was in none's.
    within = and_(
        runs.c.domain == run.domain,
        runs.c.id > run.id,
        runs.c.dry_run.is_(False),
        each.c.sent_at >= runs.c.started_at,
        or_(runs.c.finished_at.is_(None), each.c.sent_at <= runs.c.finished_at),
    )
    state = case((each.c.sent_at.is_not(None), "sent"), else_=outbox.c.state).label("state")
    last = func.max(each.c.sent_at, type_=Instant).label("last")
    query = select(each.c.publisher, state, runs.c.id.label("by"), func.count().label("number"), last)
    query = query.select_from(each.join(outbox, outbox.c.seq == each.c.newest).outerjoin(runs, within))
    query = query.where(or_(and_(each.c.sent_at.is_(None), outbox.c.state != "sent"), each.c.sent_at > ended))
    return conn.execute(query.group_by(each.c.publisher, state, runs.c.id).order_by(each.c.publisher, last)).all()
