"""How each destination stood when it was last asked: a night that finds it down has the next one ask with a single event.

Kept in `recon_meta`, shared by all domains, processes and hosts. It decides how much is sent at first, and never whether.
"""

from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from recon.state.database import State
from recon.state.tables import meta

MARKER = "destination:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A destination that did not answer: how often in a row, since when, and what it said last."""

    publisher: str
    failures: int
    since: datetime
    reason: str = ""


def standings(state: State) -> dict[str, Standing]:
    """The destinations that were down when they were last asked, by name."""
    with state.read() as conn:
        rows = conn.execute(select(meta.c.name, meta.c.value).where(meta.c.name.startswith(MARKER, autoescape=True)).order_by(meta.c.name))
        found = [msgspec.json.decode(value, type=Standing) for _, value in rows]
    return {one.publisher: one for one in found}


def remember(state: State, publisher: str, failures: int, reason: str, before: Standing | None) -> None:
    """Writes down how it stands now; with no failure, that it is well. `before` is how it stood."""
    if not failures and before is None:
        return
    insert = sqlite.insert if state.dialect == "sqlite" else postgresql.insert
    with state.begin() as conn:
        if not failures:
            conn.execute(meta.delete().where(meta.c.name == MARKER + publisher))
            return
        since = before.since if before is not None else state.now(conn)
        value = msgspec.json.encode(Standing(publisher=publisher, failures=failures, since=since, reason=reason)).decode()
        new = insert(meta).values(name=MARKER + publisher, value=value)
        conn.execute(new.on_conflict_do_update(index_elements=["name"], set_={"value": value}))
