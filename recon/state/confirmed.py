"""When an event was first confirmed, as a delivery that counts: what the ledger and the convergence of corrections ask.

The outbox says so: a row that was sent and `heals`. Nothing else is written when an event goes out; a row is kept for as long as its
event. Revisions before 0006 wrote it beside the event, where it still stands for what was confirmed then.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, FromClause, case, func, literal_column, select

from recon.state.tables import WAITS, events, outbox


def confirmed_at(of: FromClause = events) -> ColumnElement[datetime | None]:
    """The first confirmation of an event, over a query that has the table of events, or that alias of it; NULL until there is one.

    The first: a replay, or another night's telling, confirms it again. Of two clocks the earlier counts, so that a confirmation by one
    that was ahead and has been set back since does not have to be waited for.
    """
    # That it does not wait stands there for the index.
    mine = outbox.c.event_id == of.c.id, outbox.c.state != WAITS, outbox.c.state == literal_column("'sent'"), outbox.c.heals.is_(True)
    first = select(func.min(outbox.c.sent_at)).where(*mine).correlate(of).scalar_subquery()
    earlier = of.c.confirmed_at
    return case((earlier.is_(None), first), (first < earlier, first), else_=earlier)
