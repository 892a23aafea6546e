"""What stands still: keys whose oldest event was tried and not taken, and what waits behind them so that no key's events change places."""

from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select

from recon.outbox.manner import Manners
from recon.outbox.telling import NEWEST
from recon.report.figures import Parked
from recon.state.database import State
from recon.state.tables import WAITS, events, outbox


def parked(state: State, publisher: str, domain: str | None, manners: Manners) -> Parked | None:
    """The keys that stand still at a destination, of one domain or of all; None where none does. `manners` says how a key may be shown."""
    here: list[Any] = [outbox.c.publisher == publisher, outbox.c.state == WAITS]
    here += [] if domain is None else [outbox.c.domain == domain]
    stuck = outbox.alias("stuck")
    same = [stuck.c.publisher == publisher, stuck.c.state == WAITS, *([] if domain is None else [stuck.c.domain == domain])]
    keys = select(stuck.c.domain, stuck.c.partitionkey, _lane(stuck).label("lane")).where(*same, stuck.c.attempts > 0).distinct().subquery()
    mine = and_(outbox.c.domain == keys.c.domain, outbox.c.partitionkey == keys.c.partitionkey, _lane(outbox) == keys.c.lane)
    oldest = select(outbox.c.domain, events.c.key, outbox.c.enqueued_at, outbox.c.attempts, outbox.c.reason)
    oldest = oldest.join(events, events.c.id == outbox.c.event_id).where(*here, outbox.c.attempts > 0).order_by(outbox.c.seq).limit(1)
    with state.read() as conn:
        first = conn.execute(oldest).one_or_none()
        if first is None:
            return None
        count = conn.execute(select(func.count()).select_from(keys)).scalar_one()
        waiting = conn.execute(select(func.count()).select_from(outbox.join(keys, mine)).where(*here)).scalar_one()
    veil = manners(first.domain).veil
    return Parked(
        keys=count,
        behind=waiting - count,
        domain=first.domain,
        key=first.key if veil is None else veil.key(first.key),
        since=first.enqueued_at,
        attempts=first.attempts,
        reason=first.reason or "",
    )


def _lane(rows: Any) -> ColumnElement[int]:
    """The line within a key that a row stands in, as `lane_of` has it."""
    return case((rows.c.version > NEWEST, rows.c.version), else_=NEWEST)
