"""What stands still: keys whose oldest event was tried and not taken, and what waits behind them so that no key's events change places."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import and_, func, select

from recon.personal import Veil
from recon.report.figures import Parked
from recon.state.database import State
from recon.state.tables import WAITS, events, outbox


def parked(state: State, publisher: str, domain: str | None, veils: Callable[[str], Veil] | None) -> Parked | None:
    """The keys that stand still at a destination, of one domain or of all; None where none does. `veils` says how a key may be shown."""
    here: list[Any] = [outbox.c.publisher == publisher, outbox.c.state == WAITS]
    here += [] if domain is None else [outbox.c.domain == domain]
    stuck = outbox.alias("stuck")
    same = [stuck.c.publisher == publisher, stuck.c.state == WAITS, *([] if domain is None else [stuck.c.domain == domain])]
    keys = select(stuck.c.domain, stuck.c.partitionkey, stuck.c.version).where(*same, stuck.c.attempts > 0).distinct().subquery()
    mine = and_(outbox.c.domain == keys.c.domain, outbox.c.partitionkey == keys.c.partitionkey, outbox.c.version == keys.c.version)
    oldest = select(outbox.c.domain, events.c.key, outbox.c.enqueued_at, outbox.c.attempts, outbox.c.reason)
    oldest = oldest.join(events, events.c.id == outbox.c.event_id).where(*here, outbox.c.attempts > 0).order_by(outbox.c.seq).limit(1)
    with state.read() as conn:
        first = conn.execute(oldest).one_or_none()
        if first is None:
            return None
        count = conn.execute(select(func.count()).select_from(keys)).scalar_one()
        waiting = conn.execute(select(func.count()).select_from(outbox.join(keys, mine)).where(*here)).scalar_one()
    return Parked(
        keys=count,
        behind=waiting - count,
        domain=first.domain,
        key=first.key if veils is None else veils(first.domain).key(first.key),
        since=first.enqueued_at,
        attempts=first.attempts,
        reason=first.reason or "",
    )
