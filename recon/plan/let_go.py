"""What came to be known only by a plan that a person let go: it proves nothing of the listing that it came from.

A listing of somebody else's account is held, and nobody but a person can tell that it is one. Once such a plan was approved, the
stranger's items are on both sides; were they taken for known ones, the same listing would vouch for itself, and every item of one's own
would be gone by two looks that agree. So an item that an approved plan told of stands beside no absence for seven days, and
items that were known before the doubt are asked for as well.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from recon.plan.rolling import WEEK
from recon.state.database import State
from recon.state.runs import Runs
from recon.state.tables import plan_events, plans, runs


@dataclass(frozen=True, slots=True, kw_only=True)
class LetGo:
    """The keys that approved plans told of in the last seven days, and controls of the believed nights before them."""

    keys: tuple[str, ...] = ()
    known_before: tuple[str, ...] = ()


def let_go(state: State, domain: str, *, most: int) -> LetGo:
    """What the last seven days' approvals brought, by the database's clock; `most` controls of earlier nights, the newest first.

    A plan before which no night was ever believed is left out: nothing was known before it that could be held against it, as when a
    store is filled for the first time.
    """
    first = Runs(state).first_whole(domain)
    if first is None:
        return LetGo()
    decided = plans.c.decided_by.is_not(None), plans.c.state.in_(["approved", "enqueued"])
    with state.read() as conn:
        recent = plans.c.decided_at >= state.now(conn) - WEEK, runs.c.id != first.id, runs.c.started_at >= first.started_at
        approved = (
            select(runs.c.id, runs.c.started_at).join(plans, plans.c.run_id == runs.c.id).where(runs.c.domain == domain, *decided, *recent)
        )
        found = conn.execute(approved.order_by(runs.c.started_at, runs.c.id)).all()
        if not found:
            return LetGo()
        keys = select(plan_events.c.key).where(plan_events.c.run_id.in_([row.id for row in found])).distinct()
        return LetGo(keys=tuple(conn.execute(keys).scalars()), known_before=_known_before(state, domain, found[0].started_at, most))


def _known_before(state: State, domain: str, moment: datetime, most: int) -> tuple[str, ...]:
    known: dict[str, None] = {}
    for run in Runs(state).whole_before(domain, moment, limit=most):
        known |= dict.fromkeys((run.figures or {}).get("controls") or ())
    return tuple(known)[:most]
