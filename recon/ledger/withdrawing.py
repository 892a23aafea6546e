"""What is taken back from the outbox once a night found it otherwise, and what another destination is still owed.

The job's first destination heals: it must not be told what is no longer so. The others mirror what was told: an event that the first
has confirmed, and that healed, is still told to them, since no later night finds it again. The table of cases stands in
docs/publishers.md, and a test goes through its rows.
"""

from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, false, literal_column, or_, select, update

from recon.job import Job
from recon.report.figures import Standing
from recon.state.confirmed import confirmed_at
from recon.state.lease import hold_deliveries
from recon.state.tables import OPEN, WAITS, acks, doubts, events, findings, ledger, outbox


def withdraw(conn: Connection, run_id: str, job: Job) -> None:
    """Withdraws what this run found gone, silenced, different from what the waiting event says, or could not vouch for."""
    hold_deliveries(conn, job.domain)
    waiting = outbox.alias("waiting")
    other = waiting.c.publisher != job.publishers[0] if job.publishers else false()
    owed = told_elsewhere(waiting)
    # Each event is of one episode; one that was made before this one began is of another, which had ended.
    healed_before = events.c.created_at < findings.c.first_seen
    stale = or_(
        and_(findings.c.standing == Standing.RESOLVED, ~owed),
        and_(findings.c.standing == Standing.ACKNOWLEDGED, ~and_(owed, other, healed_before)),
        and_(findings.c.standing != Standing.RESOLVED, findings.c.event_id != events.c.id, ~and_(owed, other, healed_before)),
    )
    # From what waits, which is little, to the findings: events are kept for long and are many. A replay tells what was said, not what is.
    mine = waiting.c.domain == job.domain, waiting.c.state == WAITS, waiting.c.replay.is_(None)
    rows = select(waiting.c.seq).join(events, events.c.id == waiting.c.event_id)
    otherwise = rows.join(findings, and_(findings.c.run_id == run_id, findings.c.key == events.c.key)).where(*mine, stale)
    _take_back(conn, otherwise, f"run {run_id} found it otherwise")
    # What was in flight while this run looked must not be told the state of an earlier night; found again, it is told again.
    silenced = events.c.key.in_(select(acks.c.key).where(acks.c.domain == job.domain, acks.c.ended_at.is_(None)))
    doubtful = rows.join(doubts, and_(doubts.c.run_id == run_id, doubts.c.key == events.c.key))
    _take_back(conn, doubtful.where(*mine, ~and_(owed, other, ~silenced)), f"run {run_id} could not vouch for it")


def _take_back(conn: Connection, seqs: Any, reason: str) -> None:
    conn.execute(update(outbox).where(outbox.c.seq.in_(seqs)).values(state="withdrawn", reason=reason))


def told_elsewhere(row: Any) -> ColumnElement[bool]:
    """Whether the healing destination has confirmed the event of that row of the outbox, and the row's own never got it in its version.

    The statement has `recon_events` beside it.
    """
    sent = outbox.alias("sent")
    same = sent.c.event_id == row.c.event_id, sent.c.publisher == row.c.publisher, sent.c.version == row.c.version
    # That it does not wait stands there for the index: SQLite uses it only where it sees its condition.
    had = select(sent.c.seq).where(*same, sent.c.state != WAITS, sent.c.state == literal_column("'sent'")).correlate(row).exists()
    return and_(confirmed_at().is_not(None), ~had)


def healed_elsewhere() -> ColumnElement[bool]:
    """Whether the event of a row of the outbox healed its discrepancy through another destination, and this one is still owed it.

    Of the newest version only: whichever destination lacks that while it is confirmed is none that heals.
    """
    over = or_(ledger.c.state != OPEN, ledger.c.first_seen > events.c.created_at)
    entry = and_(ledger.c.domain == events.c.domain, ledger.c.key == events.c.key)
    found = select(events.c.id).join(ledger, entry).where(events.c.id == outbox.c.event_id, told_elsewhere(outbox), over)
    return and_(outbox.c.version <= 0, found.exists())
