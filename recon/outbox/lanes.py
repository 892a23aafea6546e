"""The lines that what waits stands in, brought to what the job and the destination are now.

Rows of older versions are made when an event is enqueued. What waited before an older version was sent beside the newest has none, and its
readers would never get it; what waits in an older version for a destination that takes none any more would still be sent.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, exists, literal, null, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from recon.outbox.telling import NEWEST
from recon.state.database import State
from recon.state.tables import ONE_WAITING, WAITING, WAITS, outbox


def add_older(state: State, conn: Connection, publisher: str, domain: str, versions: Iterable[int]) -> int:
    """Puts what waits there in its newest version into the outbox in these older ones too, where it never was in them; answers how many rows.

    In the order in which it waits, and before anything newer is enqueued, so that no key's events change places. A replay tells the newest alone.
    """
    insert = sqlite.insert if state.dialect == "sqlite" else postgresql.insert
    added = 0
    for version in versions:
        columns = {**_columns(), "due_at": literal(state.now(conn), outbox.c.due_at.type), "version": literal(version)}
        other = outbox.alias("other")
        same = other.c.event_id == outbox.c.event_id, other.c.publisher == outbox.c.publisher, other.c.version == version
        # Asked twice, since there is an index of what waits and one of what does not.
        there = or_(*(exists().where(*same, state_) for state_ in (other.c.state == WAITS, other.c.state != WAITS)))
        lacking = [*_waiting(publisher, domain), outbox.c.version == NEWEST, outbox.c.replay.is_(None), ~there]
        source = select(*columns.values()).where(*lacking).order_by(outbox.c.seq)
        statement = insert(outbox).from_select(list(columns), source).execution_options(preserve_rowcount=True)
        added += conn.execute(statement.on_conflict_do_nothing(index_elements=ONE_WAITING, index_where=WAITING)).rowcount
    return added


def drop_older(conn: Connection, publisher: str, domain: str) -> int:
    """Takes back what waits there in an older version, since the destination takes none any more; answers how many rows."""
    reason = f"{publisher} takes no older version any more; the newest is told"
    older = update(outbox).where(*_waiting(publisher, domain), outbox.c.version > NEWEST)
    return conn.execute(older.values(state="withdrawn", reason=reason)).rowcount


def _waiting(publisher: str, domain: str) -> tuple[Any, ...]:
    return outbox.c.publisher == publisher, outbox.c.domain == domain, outbox.c.state == WAITS


def _columns() -> dict[str, Any]:
    """A row beside the one that it is made from, by column."""
    kept = ("event_id", "run_id", "domain", "publisher", "partitionkey", "emission", "enqueued_at")
    fresh = {"state": literal("waiting"), "attempts": literal(0), "duplicate": literal(value=False), "replay": null()}
    return {**{name: outbox.c[name] for name in kept}, **fresh}
