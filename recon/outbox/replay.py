"""Replay: events that were told before are told again, to whoever asks: the same ids, under a replay id of its own.

The bytes are those that were stored, or, where the job has raised the version of its data since, the same raised to the newest.

A replay goes through the outbox like everything else: it survives a crash, it waits for a destination that is down, and each of its
events has its outcome. It is not withdrawn when its discrepancy is resolved: it tells what was said, not what is so.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Integer, Text, cast, func, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from recon.errors import BadRequest
from recon.outbox.outbox import waiting_row
from recon.outbox.telling import AS_STORED, NEWEST
from recon.state.database import State
from recon.state.run import new_id
from recon.state.tables import ONE_WAITING, WAITING, events, outbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which events: everything that is left out is not asked for. Times are those of the first emission, `since` included, `until` not."""

    domain: str | None = None
    key: str | None = None
    type: str | None = None
    run: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[Any]:
        """As SQL, over the table of events."""
        c = events.c
        asked = [(c.domain, self.domain), (c.key, self.key), (c.type, self.type), (c.run_id, self.run)]
        found: list[Any] = [column == value for column, value in asked if value is not None]
        if self.since is not None:
            found.append(c.created_at >= self.since)
        if self.until is not None:
            found.append(c.created_at < self.until)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What a choice comes to, of one domain and type."""

    domain: str
    type: str
    count: int
    first: datetime
    last: datetime


class Replays:
    """Replays in a state database."""

    def __init__(self, state: State) -> None:
        self.state = state

    def chosen(self, choice: Choice) -> list[Chosen]:
        """What would be told again, by domain and type."""
        c = events.c
        query = (
            select(c.domain, c.type, func.count().label("n"), func.min(c.created_at).label("first"), func.max(c.created_at).label("last"))
            .where(*choice.conditions())
            .group_by(c.domain, c.type)
            .order_by(c.domain, c.type)
        )
        with self.state.read() as conn:
            return [Chosen(domain=row.domain, type=row.type, count=row.n, first=row.first, last=row.last) for row in conn.execute(query)]

    def stored_versions(self, choice: Choice) -> dict[str, dict[int, int]]:
        """How many of the chosen events are stored in which version of their data, by domain."""
        if self.state.dialect == "sqlite":
            number = func.json_extract(cast(events.c.body, Text), "$.dataversion").label("number")
        else:
            # Not as jsonb, which refuses a NUL in a text.
            number = cast(cast(func.convert_from(events.c.body, "UTF8"), JSON).op("->>")("dataversion"), Integer).label("number")
        query = select(events.c.domain, number, func.count()).where(*choice.conditions()).group_by(events.c.domain, number)
        found: dict[str, dict[int, int]] = {}
        with self.state.read() as conn:
            for domain, version, count in conn.execute(query.order_by(events.c.domain, number)):
                found.setdefault(domain, {})[version] = count
        return found

    def begin(self, choice: Choice, publisher: str, *, as_stored: bool = False) -> tuple[str, int]:
        """Puts the chosen events into the outbox for this destination, oldest first; answers the replay's id and how many they are.

        They are told in the newest version of their data, or `as_stored`. One that waits there already is left as it is. Raises BadRequest where nothing is chosen.
        """
        with self.state.begin() as conn:
            now = self.state.now(conn)
            count = conn.execute(select(func.count()).select_from(events).where(*choice.conditions())).scalar_one()
            if not count:
                msg = "no event was ever emitted that fits what was asked for"
                raise BadRequest(
                    msg, hint="recon replay --dry-run with less said shows what there is; [retention] events says how long they are kept"
                )
            replay = new_id(now)
            # A broker that drops repeats by a token would take a replay for one. First of all, too: a night that enqueues the same events at
            # this moment writes to them as well, so that one waits for the other before either looks at what waits.
            conn.execute(update(events).where(*choice.conditions()).values(emissions=events.c.emissions + 1))
            columns = {**waiting_row(events.c.run_id, publisher, now, AS_STORED if as_stored else NEWEST), "replay": literal(replay)}
            source = select(*columns.values()).where(*choice.conditions()).order_by(events.c.created_at, events.c.id)
            inserting = sqlite.insert if self.state.dialect == "sqlite" else postgresql.insert
            statement = inserting(outbox).from_select(list(columns), source)
            conn.execute(statement.on_conflict_do_nothing(index_elements=ONE_WAITING, index_where=WAITING))
        return replay, count

    def standing(self, replay: str) -> dict[str, int]:
        """How many events of a replay are in which state."""
        query = select(outbox.c.state, func.count()).where(outbox.c.replay == replay).group_by(outbox.c.state)
        with self.state.read() as conn:
            return {row[0]: row[1] for row in conn.execute(query)}
