"""`type = "table"`: events as rows of a table in a database of the user's, inserted once per id."""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Connection, DateTime, Integer, MetaData, String, Table, Text, exc, func, inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from recon.errors import DeliveryError
from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
from recon.publishers.database import Database, Late
from recon.publishers.rounds import in_rounds
from recon.section import Section

CHANNEL_LIMIT = 63
"""PostgreSQL cuts longer names off. https://www.postgresql.org/docs/current/sql-notify.html"""
HEALTH_SECONDS = 10.0


def events_table(name: str, schema: str | None) -> Table:
    """The table, as `create = true` makes it."""
    return Table(
        name,
        MetaData(),
        Column("id", String(64), primary_key=True),
        Column("type", String(128), nullable=False),
        Column("subject", Text, nullable=False),
        Column("partitionkey", Text, nullable=False),
        Column("body", Text, nullable=False),
        Column("dedupe", Text, nullable=False),
        Column("emission", Integer, nullable=False),
        Column("inserted_at", DateTime(timezone=True), nullable=False, server_default=func.current_timestamp()),
        schema=schema,
    )


class TablePublisher:
    """Rows in a table. CONFIRMED means committed; an id that is there already is a duplicate and is left as it stands.
    An older version of an event, sent beside the newest, has the id `<id>:v<version>` in its row; in its body the id is the event's.

    Keys: `url`, `table` (default `recon_events`), `schema`, `create` (make the table where it is not there, default true), `notify` (PostgreSQL: a
    channel to NOTIFY, as a wake-up only), `connect_timeout`. A batch is one transaction; where a row in it is refused, the batch is
    halved until the one is alone, so that each event has an outcome of its own.
    """

    capabilities = Capabilities(batch=500)

    def __init__(self, section: Section) -> None:
        self.name = section.name
        self.database = Database(section)
        self.table = events_table(section.text("table", "recon_events"), section.text("schema", None))
        self.create: bool = section.flag("create", True)
        self.channel: str | None = section.text("notify", None)
        if self.channel is not None and not (self.database.is_postgres and 0 < len(self.channel.encode()) <= CHANNEL_LIMIT):
            raise section.bad("notify", f"names a channel of PostgreSQL, of 1 to {CHANNEL_LIMIT} bytes")
        section.finish()
        self._ready = False

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        until = time.monotonic() + deadline
        # Half a batch may be refused and the other half not: those of one key go one after another.
        return in_rounds(batch, lambda part: self._published(part, until))

    def _published(self, batch: Sequence[Message], until: float) -> Sequence[Outcome]:
        try:
            with self.database.connected(until) as connection:
                self._make(connection, until)
                return self._insert(connection, batch, until)
        except (exc.SQLAlchemyError, Late) as error:
            # Nothing was sent but the connection and the table: what follows has answers of its own.
            reason = "the deadline passed before it was tried" if isinstance(error, Late) else self.database.words(error)
            return [Outcome(kind=OutcomeKind.RETRY, reason=reason)] * len(batch)

    def health(self) -> str:
        try:
            with self.database.connected(time.monotonic() + HEALTH_SECONDS) as connection:
                found = self._columns(connection)
        except exc.SQLAlchemyError as error:
            raise self.database.unreachable(error, hint="check the publisher's url, and that the server runs") from None
        missing = [column.name for column in self.table.columns if column.name not in found]
        if not found and self.create:
            return f"events are inserted into {self.table.fullname} at {self.database.address}, which will be created"
        if missing:
            what = f"there is no table {self.table.fullname}" if not found else f"{self.table.fullname} lacks {', '.join(missing)}"
            raise DeliveryError(
                f"publisher {self.name}: {self.database.address}: {what}", hint=f"create = true makes it, or run: {self.ddl()}"
            )
        return f"events are inserted into {self.table.fullname} at {self.database.address}"

    def close(self) -> None:
        """Nothing is kept open."""

    def ddl(self) -> str:
        """The statement that makes the table."""
        dialect = postgresql.dialect() if self.database.is_postgres else sqlite.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy types no dialect's constructor.
        return " ".join(str(CreateTable(self.table, if_not_exists=True).compile(dialect=dialect)).split())

    def _columns(self, connection: Connection) -> set[str]:
        try:
            return {str(column["name"]) for column in inspect(connection).get_columns(self.table.name, schema=self.table.schema)}
        except exc.NoSuchTableError:
            return set()

    def _make(self, connection: Connection, until: float) -> None:
        if self._ready or not self.create or self._columns(connection):
            self._ready = True
            connection.rollback()
            return
        connection.rollback()
        try:
            with self.database.transaction(connection, until):
                connection.execute(CreateTable(self.table, if_not_exists=True))
                connection.commit()
        except exc.DBAPIError:
            # Two at once: PostgreSQL's IF NOT EXISTS looks before it locks, and it is chance whether its key, its type or its name is in the way.
            if connection.invalidated:
                raise
            connection.rollback()
            if not self._columns(connection):
                raise
            connection.rollback()  # The other one made it.
        self._ready = True

    def _insert(self, connection: Connection, batch: Sequence[Message], until: float) -> list[Outcome]:
        """Each event's outcome; halves the batch around whatever is refused."""
        committing = False
        try:
            with self.database.transaction(connection, until):
                fresh = self._rows(connection, batch)
                if self.channel is not None and fresh:
                    connection.execute(select(func.pg_notify(self.channel, "")))
                committing = True
                connection.commit()
        except Late as error:
            return [self.database.outcome(error)] * len(batch)
        except exc.SQLAlchemyError as error:
            outcome = self.database.outcome(error)
            if outcome.kind is OutcomeKind.REJECTED and len(batch) > 1:
                middle = len(batch) // 2
                return self._insert(connection, batch[:middle], until) + self._insert(connection, batch[middle:], until)
            if committing and outcome.kind is not OutcomeKind.REJECTED:
                outcome = Outcome(kind=OutcomeKind.UNKNOWN, reason=f"the commit was not answered: {outcome.reason}")
            return [outcome] * len(batch)
        seen: set[str] = set()
        outcomes = []
        for message in batch:
            outcomes.append(Outcome(kind=OutcomeKind.CONFIRMED, duplicate=message.copy not in fresh or message.copy in seen))
            seen.add(message.copy)
        return outcomes

    def _rows(self, connection: Connection, batch: Sequence[Message]) -> set[str]:
        """Inserts what is not there, in one statement; answers the ids that were new."""
        insert: Any = postgresql.insert if self.database.is_postgres else sqlite.insert
        rows = {message.copy: _row(message) for message in reversed(batch)}  # Twice in one batch: the first one's bytes win.
        ordered = [rows[key] for key in dict.fromkeys(message.copy for message in batch)]
        statement = insert(self.table).values(ordered).on_conflict_do_nothing(index_elements=["id"]).returning(self.table.c.id)
        return {str(found[0]) for found in connection.execute(statement)}


def _row(message: Message) -> dict[str, Any]:
    return {
        "id": message.copy,
        "type": message.type,
        "subject": message.subject,
        "partitionkey": message.partitionkey,
        "body": message.body.decode(),
        "dedupe": message.dedupe,
        "emission": message.emission,
    }
