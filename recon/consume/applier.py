"""The application's end: corrections into its table, in any order and however often they come."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, exc, inspect

from recon.clock import Clock, SystemClock
from recon.consume.applied import Applied, AppliedKind
from recon.consume.beside import DeadLetter, DeadLetters, Disputed, Inbox, prune
from recon.consume.facts import fact_of, prints_of, settles
from recon.consume.guard import Guard
from recon.consume.incoming import events_of
from recon.consume.order import wired
from recon.consume.ruling import Fact, Ruling
from recon.consume.tables import Tables
from recon.duration import seconds_of
from recon.errors import StoreMismatch
from recon.event import Event, decode
from recon.event.cloudevents import PREFIX, STRUCTURED
from recon.stores.mysql import TURNED_AWAY as TURNED_AWAY_BY_MYSQL
from recon.stores.mysql import code, is_mysql
from recon.upsert.change import Change, Conflict, Unfit
from recon.upsert.fault import unfit
from recon.upsert.rows import Absent, Rows, reflected
from recon.upsert.savepoint import savepoint
from recon.versions import UnknownVersion, Versions

Effect = Callable[[Connection, Event], Any]
"""A side effect of the application's own, in the transaction that applies its event."""

T = TypeVar("T")

TRIES = 3
TURNED_AWAY = ("40001", "40P01")
"""SQLSTATEs of a transaction that met another one: it is tried again. https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html"""
KINDS = {
    Ruling.WRITE: AppliedKind.APPLIED,
    Ruling.ALREADY: AppliedKind.ALREADY,
    Ruling.OLDER: AppliedKind.OLDER,
    Ruling.CONFLICT: AppliedKind.CONFLICT,
}


class Applier:
    """Brings events into one table, each in one transaction.

    `version` is the field by which an item's source says how new it is (a time or a number); it needs a column. `columns` says which
    field goes to which column where the names differ (an empty text leaves the field out), `scale` how many digits a money column
    has after the point. `fingerprint` is a column that holds the fingerprint of what was applied last, if there is one. `versions`
    are the versions of the events' data that can be read, by default version 1 alone. `inbox` is for how long an event's side effect is
    known to have run, `tombstones` for how long it is remembered that an item was deleted (by default for ever). The tables beside
    the application's own begin with `prefix` and lie in `schema`.

    Every method that writes raises SQLAlchemyError where the database cannot take it now: then nothing of it was written, and the same may be tried
    again. StoreMismatch says that a table or column is not there.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        table: str | Table,
        key: str = "id",
        version: str | None = None,
        columns: Mapping[str, str] | None = None,
        scale: Mapping[str, int] | None = None,
        schema: str | None = None,
        fingerprint: str | None = None,
        versions: Versions | None = None,
        consumer: str | None = None,
        inbox: str | float = "30d",
        tombstones: str | float | None = None,
        prefix: str = "recon_",
        clock: Clock | None = None,
    ) -> None:
        self.engine = engine
        self.table, self.schema = (table.name, table.schema) if isinstance(table, Table) else (table, schema)
        self.key = key
        self.consumer = consumer or self.table
        self.versions = versions or Versions(1)
        self._columns, self._scale = dict(columns or {}), dict(scale or {})
        self._version = None if version is None else self._columns.get(version, version)
        self._fingerprint = fingerprint
        self._inbox_seconds = seconds_of(inbox)
        self._tombstone_seconds = None if tombstones is None else seconds_of(tombstones)
        self._clock = clock or SystemClock()
        self._tables = Tables(prefix=prefix, schema=self.schema)
        self._inbox = Inbox(self._tables, self.consumer)
        self._dead = DeadLetters(self._tables, self.consumer)
        self._made: Guard | None = None

    # Events.

    def apply(self, body: bytes, *, headers: Mapping[str, str] | None = None, effect: Effect | None = None) -> Applied:
        """One event as it came in, in whichever form; `headers` by any case of their names, none for a structured one.

        `effect` runs in the same transaction when the event changes something, once for its id within the window; what it raises is
        raised, and nothing was written. Raises ValueError for a batch: that is for `apply_all`.
        """
        found = self.apply_all(body, headers=headers, effect=effect)
        if len(found) != 1:
            msg = f"a batch of {len(found)} events; apply_all takes it"
            raise ValueError(msg)
        return found[0]

    def apply_all(
        self, body: bytes, *, headers: Mapping[str, str] | None = None, effect: Effect | None = None, prefix: str = PREFIX
    ) -> list[Applied]:
        """Every event of a message, each in a transaction of its own, in order; `prefix` is that of CloudEvents' attributes among the headers."""
        named = {name.lower(): value for name, value in (headers or {"content-type": STRUCTURED}).items()}
        try:
            events = events_of(body, named, prefix=prefix)
        except ValueError as error:
            reason = str(error)
            return [self._transaction(lambda connection: self._buried(connection, body, named, None, reason))]
        return [self.apply_event(event, effect=effect) for event in events]

    def apply_event(self, event: Event, *, effect: Effect | None = None) -> Applied:
        """One event, in a transaction of its own."""
        return self._transaction(lambda connection: self.apply_in(connection, event, effect=effect))

    def apply_in(self, connection: Connection, event: Event, *, effect: Effect | None = None) -> Applied:
        """One event, in the application's own transaction, which commits it."""
        guard = self._guard(connection)
        guard.begin(connection)
        try:
            newest = replace(event, data=self.versions.raised(event.data, event.dataversion), dataversion=self.versions.current)
        except UnknownVersion as error:
            return self._buried(connection, event.encode(), STRUCTURED_HEADERS, event, str(error))
        except Exception as error:  # noqa: BLE001 -- A step from one version to the next is the application's code and may raise anything.
            reason = f"version {event.dataversion} could not be raised to {self.versions.current}: {type(error).__name__}: {error}"
            return self._buried(connection, event.encode(), STRUCTURED_HEADERS, event, reason)
        return self._settled(connection, guard, event, newest, effect)

    # The door for the application's ordinary webhooks.

    def upsert(self, key: str, state: Mapping[str, Any], version: Any, *, connection: Connection | None = None) -> Applied:
        """An ordinary webhook's word on an item: written if its version is newer than what is there, and than a deletion.

        `state` by field names, like an event's; times, decimals and UUIDs may be Python's own. With `connection` in its transaction.
        """
        return self._through(key, "updated", state, version, connection)

    def delete(self, key: str, version: Any, *, connection: Connection | None = None) -> Applied:
        """An ordinary webhook's word that an item is gone, as of a version: the row goes unless it is newer, and a tombstone stays."""
        return self._through(key, "deleted", {}, version, connection)

    def allows(self, key: str, version: Any, *, connection: Connection | None = None) -> bool:
        """Whether a state of this version may be written, for a handler that writes by itself.

        Within `connection` that stays so until its transaction ends; without, it is so at this moment only.
        """

        def asked(connection: Connection) -> bool:
            guard = self._guard(connection)
            guard.begin(connection)
            fact = Fact(change=Change("updated", key, {}, None), version=wired(version))
            return guard.look(connection, fact)[0] is Ruling.WRITE

        self._versioned()
        return asked(connection) if connection is not None else self._transaction(asked)

    # Upkeep.

    def create_tables(self) -> None:
        """Makes the tables beside the application's own where they are not there."""
        self._tables.create(self.engine)

    def ddl(self) -> str:
        """The statements that make them, for those who migrate by themselves."""
        return self._tables.ddl(self.engine.dialect)

    def check(self) -> str:
        """A sentence on what is applied where; raises StoreMismatch where a table or column is not there, SQLAlchemyError without a connection."""
        with self.engine.connect() as connection:
            self._made = None
            self._guard(connection)
            there = set(inspect(connection).get_table_names(schema=self.schema))
            missing = [table.name for table in self._tables.metadata.sorted_tables if table.name not in there]
        if missing:
            raise StoreMismatch(
                f"{self.table}: there is no table {', '.join(missing)}",
                hint="applier.create_tables() makes them, or run the statements of applier.ddl()",
            )
        return f"events are applied to {self.table}, by {self.key}" + (f" and version {self._version}" if self._version else "")

    def conflicts(self, key: str | None = None) -> list[Disputed]:
        """The conflicts that nothing has settled yet, of one item or of all, oldest first."""
        return self._transaction(lambda connection: self._guard(connection).conflicts.open(connection, key))

    def dead_letters(self) -> list[DeadLetter]:
        """What could not be taken, oldest first."""
        return self._transaction(self._dead.all)

    def retry_dead(self, *, effect: Effect | None = None) -> list[Applied]:
        """Takes every dead letter once more, as after an upgrade; what is taken, or is a conflict, is no dead letter any more."""
        found: list[Applied] = []
        for letter in self.dead_letters():
            answers = self.apply_all(letter.body, headers=letter.headers, effect=effect, prefix=_prefix(letter.headers))
            if all(one.kind is not AppliedKind.DEAD for one in answers):
                self.drop_dead(letter.digest)
            found += answers
        return found

    def drop_dead(self, digest: str) -> None:
        """Throws a dead letter away."""
        self._transaction(lambda connection: self._dead.drop(connection, digest))

    def bury(self, body: bytes, headers: Mapping[str, str], reason: str) -> Applied:
        """Keeps a message among the dead letters."""
        return self._transaction(lambda connection: self._buried(connection, body, headers, None, reason))

    def prune(self) -> int:
        """Deletes what is older than its window: ids of the inbox, conflicts, tombstones where they have one. Answers how many rows.

        A conflict that is as old as that has been looked at by as many nights, whether or not one of them had anything to correct.
        """
        tables, now = self._tables, self._clock.now()
        old = now - timedelta(seconds=self._inbox_seconds)

        def work(connection: Connection) -> int:
            gone = prune(connection, tables.inbox, tables.inbox.c.at, old, tables.inbox.c.consumer == self.consumer)
            target = self._guard(connection).target
            gone += prune(connection, tables.conflicts, tables.conflicts.c.at, old, tables.conflicts.c.target == target)
            if self._tombstone_seconds is not None:
                forgotten = now - timedelta(seconds=self._tombstone_seconds)
                gone += prune(connection, tables.marks, tables.marks.c.at, forgotten, tables.marks.c.target == target)
            return gone

        return self._transaction(work)

    # Within.

    def _settled(self, connection: Connection, guard: Guard, event: Event, newest: Event, effect: Effect | None) -> Applied:
        """An event of the newest version, in a transaction that is begun."""
        body, prints = event.encode(), prints_of(newest.data)
        try:
            fact = fact_of(guard.rows, newest, version=self._version, lesser=event.dataversion < newest.dataversion)
            with savepoint(connection):
                ruling, reason = guard.take(connection, fact, prints=prints, at=self._clock.now())
        except Conflict as error:
            ruling, reason = Ruling.CONFLICT, str(error)
        except Unfit as error:
            return self._buried(connection, body, STRUCTURED_HEADERS, event, str(error))
        except (exc.DBAPIError, OverflowError, UnicodeError) as error:
            if isinstance(error, exc.DBAPIError) and not unfit(error):
                raise
            return self._buried(connection, body, STRUCTURED_HEADERS, event, _first_line(error))
        answer = Applied(kind=KINDS[ruling], id=event.id, key=newest.partitionkey, reason=reason)
        if ruling is Ruling.CONFLICT:
            guard.conflicts.record(connection, fact, body, reason, self._clock.now())
            return answer
        answer = self._with_effect(connection, newest, answer, effect)
        if ruling in {Ruling.WRITE, Ruling.ALREADY}:
            self._reconsider(connection, guard, fact, effect)
        return answer

    def _with_effect(self, connection: Connection, event: Event, answer: Applied, effect: Effect | None) -> Applied:
        """The side effect runs where something was changed, once for an id."""
        if effect is None or answer.kind is AppliedKind.OLDER:
            return answer
        if self._inbox.has(connection, event.id):
            return replace(answer, kind=AppliedKind.SEEN) if answer.kind is AppliedKind.ALREADY else answer
        if answer.kind is not AppliedKind.APPLIED:
            return answer
        effect(connection, event)
        self._inbox.put(connection, event.id, self._clock.now())
        return replace(answer, effect=True)

    def _reconsider(self, connection: Connection, guard: Guard, fact: Fact, effect: Effect | None) -> None:
        """What was in conflict about this item: settled by this, or, where it was found later than this, tried again."""
        found = guard.conflicts.open(connection, fact.change.key)
        if not found:
            return
        settled = [one.id for one in found if settles(fact, one)]
        later = [
            (one.observed, one.body)
            for one in found
            if fact.observed is not None and one.body is not None and one.observed is not None and one.observed > fact.observed
        ]
        if settled:
            guard.conflicts.settle(connection, settled, self._clock.now())
        if later:
            self.apply_in(connection, decode(max(later)[1]), effect=effect)

    def _through(self, key: str, op: str, state: Mapping[str, Any], version: Any, connection: Connection | None) -> Applied:
        """An ordinary webhook through the guard."""
        column = self._versioned()
        told = wired(version)
        if told is None:
            msg = f"{self.table} {key}: an ordinary webhook through the guard has a version; it is compared by {column}"
            raise ValueError(msg)

        def work(connection: Connection) -> Applied:
            guard = self._guard(connection)
            guard.begin(connection)
            wanted = {} if op == "deleted" else {**guard.rows.by_column(wired(state)), column: told}
            fact = Fact(change=Change(op, key, wanted, None), version=told)
            now = self._clock.now()
            try:
                with savepoint(connection):
                    ruling, reason = guard.take(connection, fact, prints=(None, None), at=now)
            except Conflict as error:
                ruling, reason = Ruling.CONFLICT, str(error)
            if ruling is Ruling.CONFLICT:
                guard.conflicts.record(connection, fact, None, reason, now)
            elif ruling is not Ruling.OLDER:
                self._reconsider(connection, guard, fact, None)
            return Applied(kind=KINDS[ruling], key=key, reason=reason)

        return work(connection) if connection is not None else self._transaction(work)

    def _buried(self, connection: Connection, body: bytes, headers: Mapping[str, str], event: Event | None, reason: str) -> Applied:
        self._guard(connection).begin(connection)
        self._dead.put(connection, body, headers, event=event, reason=reason, at=self._clock.now())
        return Applied(kind=AppliedKind.DEAD, id=event.id if event else "", key=event.partitionkey if event else "", reason=reason)

    def _versioned(self) -> str:
        if self._version is None:
            msg = f'{self.table}: ordinary webhooks are guarded by an item\'s own version; name its field: Applier(…, version="updated_at")'
            raise ValueError(msg)
        return self._version

    def _guard(self, connection: Connection) -> Guard:
        if self._made is None:
            needed = [self.key, *filter(None, self._columns.values()), *filter(None, (self._version, self._fingerprint))]
            try:
                table = reflected(connection, self.table, schema=self.schema, needed=needed)
            except Absent as error:
                raise StoreMismatch(
                    f"{self.table}: {error}", hint="mend table, key, version, fingerprint or columns of the Applier"
                ) from None
            rows = Rows(table, key=self.key, columns=self._columns, scale=self._scale)
            self._made = Guard(rows, self._tables, version=self._version, fingerprint=self._fingerprint)
        return self._made

    def _transaction(self, work: Callable[[Connection], T]) -> T:
        """`work` in a transaction of its own; once more where another transaction was in the way."""
        if self._made is None:
            with self.engine.connect() as connection:
                if _commits_by_itself(connection):
                    hint = "give the Applier an engine of its own, with transactions"
                    raise StoreMismatch(f"{self.table}: the engine commits every statement by itself", hint=hint)
                self._guard(connection)
        for _ in range(TRIES - 1):
            try:
                with self._begun() as connection:
                    return work(connection)
            except exc.DBAPIError as error:
                if not _turned_away(error):
                    raise
        with self._begun() as connection:
            return work(connection)

    @contextmanager
    def _begun(self) -> Iterator[Connection]:
        with self.engine.begin() as connection:
            if is_mysql(connection.dialect.name):
                # For this transaction: each look is at the present, and no gap between rows is locked. https://mariadb.com/kb/en/set-transaction/
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            yield connection


STRUCTURED_HEADERS = {"content-type": STRUCTURED}


def _commits_by_itself(connection: Connection) -> bool:
    """Whether there are no transactions on it, by SQLAlchemy's options or the driver's."""
    driver: Any = connection.connection.dbapi_connection
    if is_mysql(connection.dialect.name) and hasattr(driver, "get_autocommit") and driver.get_autocommit():
        return True
    return connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT" or getattr(driver, "autocommit", None) is True


def _turned_away(error: exc.DBAPIError) -> bool:
    """Whether another transaction was in the way."""
    number = code(error)
    return number in TURNED_AWAY_BY_MYSQL if number is not None else getattr(error.orig, "sqlstate", None) in TURNED_AWAY


def _prefix(headers: Mapping[str, str]) -> str:
    """Of CloudEvents' attributes among the headers that a dead letter came with."""
    return next((name.removesuffix("specversion") for name in headers if name.endswith("specversion")), PREFIX)


def _first_line(error: Exception) -> str:
    """A database's own words without the row that they go on to quote."""
    return (str(getattr(error, "orig", None) or error).splitlines() or [type(error).__name__])[0][:300]
