"""What was in flight on earlier nights, from night to night: a clock that is wrong must not hide an item for ever."""

from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection, delete, insert, select

from recon.state.database import State
from recon.state.tables import meta

PREFIX = "in_flight/"


def flights_of(state: State, domain: str) -> dict[str, tuple[str, str]]:
    """Key to the night on which it was first in flight as it is, and a fingerprint of how that was."""
    with state.read() as conn:
        text = conn.execute(select(meta.c.value).where(meta.c.name == PREFIX + domain)).scalar_one_or_none()
    return {} if text is None else msgspec.json.decode(text, type=dict[str, tuple[str, str]])


def keep_in(conn: Connection, domain: str, flights: Mapping[str, tuple[str, str]]) -> None:
    """Writes down what is in flight tonight, in place of what was before."""
    conn.execute(delete(meta).where(meta.c.name == PREFIX + domain))
    if flights:
        conn.execute(insert(meta).values(name=PREFIX + domain, value=msgspec.json.encode(flights).decode()))
