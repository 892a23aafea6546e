"""What waits in the outbox for a destination: its rows in their order, and which of them may go."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import BigInteger, Row, func, select, type_coerce

from recon.outbox.telling import Due, lane_of
from recon.state.database import State
from recon.state.tables import WAITS, outbox

LINE = outbox.c.seq, outbox.c.partitionkey, outbox.c.version, outbox.c.attempts, type_coerce(outbox.c.due_at, BigInteger).label("due")
"""What is read of a row to tell whether it may go."""

WIDEST = 8000
"""At most so many rows are looked at together."""


def alone(rows: Sequence[Due]) -> bool:
    """Whether each row is the only one of its key: as it mostly is, and told sooner of all than of each."""
    return len({row.partitionkey for row in rows}) == len(rows)


def oldest(rows: Iterable[Any]) -> Iterator[Any]:
    """Of each key, in each version, the first row; of rows that have both."""
    places: set[tuple[str, int]] = set()
    for row in rows:
        place = row.partitionkey, lane_of(row.version)
        if place not in places:
            places.add(place)
            yield row


def probe(able: Iterable[Row[Any]]) -> list[int]:
    """The one to ask a destination with: what was tried least, so that one that is refused each time is not all that it is ever asked."""
    found: Row[Any] | None = None
    for row in islice(able, WIDEST):
        if found is None or row.attempts < found.attempts:
            found = row
        if not found.attempts:
            break
    return [] if found is None else [found.seq]


def waiting_for(name: str, domain: str | None) -> list[Any]:
    """The conditions of what waits for it, of one domain or of all."""
    conditions = [outbox.c.publisher == name, outbox.c.state == WAITS]
    return conditions if domain is None else [*conditions, outbox.c.domain == domain]


def left_of(state: State, name: str, domain: str | None) -> Counter[int]:
    """How many wait, by the line that they wait in."""
    found: Counter[int] = Counter()
    query = select(outbox.c.version, func.count()).where(*waiting_for(name, domain)).group_by(outbox.c.version)
    with state.read() as conn:
        for version, count in conn.execute(query):
            found[lane_of(version)] += count
    return found


def domains_of(state: State, name: str) -> Sequence[str]:
    """The domains of which something waits for it."""
    with state.read() as conn:
        return conn.execute(select(outbox.c.domain).where(*waiting_for(name, None)).distinct().order_by(outbox.c.domain)).scalars().all()
