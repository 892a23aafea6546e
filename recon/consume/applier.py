"""The application's end: corrections into its table, in any order and however often they come."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Engine, Table, exc, inspect

from recon.clock import Clock, SystemClock
from recon.consume.applied import Applied, AppliedKind
from recon.consume.batch import CHUNK, Batch, Item, behind, refused
from recon.consume.beside import DeadLetter, DeadLetters, Disputed, Inbox, prune
from recon.consume.effects import DoorEffect, Effect, Effects, words_about
from recon.consume.guard import Guard
from recon.consume.incoming import REPLAY, events_of
from recon.consume.order import wired
from recon.consume.ruling import Fact, Ruling
from recon.consume.tables import Tables
from recon.consume.taking import Taking
from recon.duration import seconds_of
from recon.errors import StoreMismatch
from recon.event import Event
from recon.event.cloudevents import PREFIX, STRUCTURED
from recon.stores.mysql import TURNED_AWAY as TURNED_AWAY_BY_MYSQL
from recon.stores.mysql import code, is_mysql
from recon.upsert.change import Change
from recon.upsert.fault import unfit
from recon.upsert.rows import Absent, Rows, reflected
from recon.versions import Versions

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")

TRIES = 3
TURNED_AWAY = ("40001", "40P01")
"""SQLSTATEs of a transaction that met another one: it is tried again. https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html"""
TIES = ("conflict", "later arrival")


class Applier:
    """Brings events into one table, each in one transaction or many in one.

    `version` is the field by which an item's source says how new it is (a time or a number); it needs a column. `sequence` is a field that
    orders what is of one version, `ties` what becomes of two ordinary webhooks that nothing orders: "conflict", or "later arrival". `columns` says which
    field goes to which column where the names differ (an empty text leaves the field out), `scale` how many digits a money column
    has after the point. `fingerprint` is a column that holds the fingerprint of what was applied last, if there is one. `versions`
    are the versions of the events' data that can be read, by default version 1 alone. `inbox` is for how long an event's side effect is
    known to have run; `effect` is the one of calls that name none, and `ordinary` says whether a row that something else than a correction
    wrote still owes it: "owed" or "done". `tombstones` for how long it is remembered that an item was deleted (by default for ever). The tables beside
    the application's own begin with `prefix` and lie in `schema`.

    Every method that writes raises SQLAlchemyError where the database cannot take it now: then nothing of it was written, and the same may be tried
    again. StoreMismatch says that a table or column is not there.
    """

    def __init__(
        self,
        engine: "Engine | AsyncEngine",
        *,
        table: str | Table,
        key: str = "id",
        version: str | None = None,
        sequence: str | None = None,
        ties: str = "conflict",
        columns: Mapping[str, str] | None = None,
        scale: Mapping[str, int] | None = None,
        schema: str | None = None,
        fingerprint: str | None = None,
        versions: Versions | None = None,
        consumer: str | None = None,
        effect: Effect | None = None,
        ordinary: str = "owed",
        inbox: str | float = "30d",
        tombstones: str | float | None = None,
        prefix: str = "recon_",
        clock: Clock | None = None,
    ) -> None:
        #: One of an asynchronous engine's own: whoever has a connection of it can use the applier within `run_sync`.
        self.asynchronous = not isinstance(engine, Engine)
        self.engine: Engine = engine if isinstance(engine, Engine) else engine.sync_engine
        self.table, self.schema = (table.name, table.schema) if isinstance(table, Table) else (table, schema)
        self.key = key
        self.consumer = consumer or self.table
        self.versions = versions or Versions(1)
        self.effect = effect
        if ties not in TIES:
            msg = f'{self.table}: ties is "conflict" or "later arrival", not {ties!r}'
            raise ValueError(msg)
        self._later = ties == "later arrival"
        self._columns, self._scale = dict(columns or {}), dict(scale or {})
        self._version, self._sequence = (None if name is None else self._columns.get(name, name) for name in (version, sequence))
        self._fingerprint = fingerprint
        self._inbox_seconds = seconds_of(inbox)
        self._tombstone_seconds = None if tombstones is None else seconds_of(tombstones)
        self._clock = clock or SystemClock()
        self._tables = Tables(prefix=prefix, schema=self.schema)
        self._dead = DeadLetters(self._tables, self.consumer)
        effects = Effects(Inbox(self._tables, self.consumer), ordinary=ordinary, seconds=self._inbox_seconds, clock=self._clock)
        self._taking = Taking(
            guard_of=self._guard, versions=self.versions, effects=effects, dead=self._dead, clock=self._clock, effect=effect
        )
        self._batch = Batch(self._taking, self._transaction)
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
            return [self.bury(body, named, str(error))]
        return [self.apply_event(event, effect=effect, replayed=REPLAY in named) for event in events]

    def apply_many(
        self, events: Sequence[Event], *, effect: Effect | None = None, replayed: bool = False, within: float | None = None
    ) -> list[Applied]:
        """An answer for each of many events, in few transactions: what becomes of them is what one by one would make of them.

        A transaction takes up to 500 events; with an effect, it takes no more once `within` seconds have passed. An event whose effect raises is
        FAILED, with those behind it in its key; the rest is applied. Where the database does not take one, that and all behind it are FAILED, and
        those before it are applied. Raises StoreMismatch.
        """
        items = [Item(event, replayed) for event in events]
        answers: list[Applied] = []
        stuck: set[str] = set()
        while len(answers) < len(items) and not any(refused(one) for one in answers[-CHUNK:]):
            answers += self.take_some(items[len(answers) : len(answers) + CHUNK], stuck=stuck, effect=effect, within=within)
        return [*answers, *(behind(item) for item in items[len(answers) :])]

    def take_some(
        self,
        items: Sequence[Item],
        *,
        stuck: set[str],
        effect: Effect | None = None,
        within: float | None = None,
        enough: Callable[[], bool] = lambda: False,
    ) -> list[Applied]:
        """One transaction of `apply_many`: answers for the first of them, at least for one; `enough` ends it early.

        Items of a key in `stuck` are not tried; the keys of those that fail join it.
        """
        return self._batch.some(items, stuck=stuck, effect=effect or self.effect, within=within, enough=enough)

    def apply_event(self, event: Event, *, effect: Effect | None = None, replayed: bool = False) -> Applied:
        """One event, in a transaction of its own; `replayed` says that it was sent again on demand, and owes no effect for what is so already."""
        return self._transaction(lambda connection: self.apply_in(connection, event, effect=effect, replayed=replayed))

    def apply_in(self, connection: Connection, event: Event, *, effect: Effect | None = None, replayed: bool = False) -> Applied:
        """One event, in the application's own transaction, which commits it."""
        return self._taking.event(connection, event, effect=effect or self.effect, replayed=replayed)

    # The door for the application's ordinary webhooks.

    def upsert(
        self,
        key: str,
        state: Mapping[str, Any],
        version: Any,
        *,
        connection: Connection | None = None,
        effect: DoorEffect | None = None,
    ) -> Applied:
        """An ordinary webhook's word on an item: written if its version is newer than what is there, and than a deletion.

        `state` by field names, like an event's; times, decimals and UUIDs may be Python's own. With `connection` in its transaction. `effect` is
        called with the connection in the same transaction, once for the item and its version; "done" says that the handler has it by itself.
        """
        return self._through(key, "updated", state, version, connection=connection, effect=effect)

    def delete(self, key: str, version: Any, *, connection: Connection | None = None, effect: DoorEffect | None = None) -> Applied:
        """An ordinary webhook's word that an item is gone, as of a version: the row goes unless it is newer, and a tombstone stays."""
        return self._through(key, "deleted", {}, version, connection=connection, effect=effect)

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

    def create_tables(self, connection: Connection | None = None) -> None:
        """Makes the tables beside the application's own where they are not there; with `connection` in its transaction."""
        if connection is None:
            self._synchronous()
        self._tables.create(self.engine if connection is None else connection)

    def ddl(self) -> str:
        """The statements that make them, for those who migrate by themselves."""
        return self._tables.ddl(self.engine.dialect)

    def check(self) -> str:
        """A sentence on what is applied where; raises StoreMismatch where a table or column is not there, SQLAlchemyError without a connection."""
        self._synchronous()
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
            try:
                answers = self.apply_all(letter.body, headers=letter.headers, effect=effect, prefix=_prefix(letter.headers))
            except exc.SQLAlchemyError as error:
                if not unfit(error):
                    raise
                # What breaks a constraint that is looked at as late as at the commit stays what it is, and the others are taken.
                answers = [Applied(kind=AppliedKind.DEAD, id=letter.id or "", reason=words_about(error))]
            if all(one.kind is not AppliedKind.DEAD for one in answers):
                self.drop_dead(letter.digest)
            found += answers
        return found

    def drop_dead(self, digest: str) -> None:
        """Throws a dead letter away."""
        self._transaction(lambda connection: self._dead.drop(connection, digest))

    def bury(self, body: bytes, headers: Mapping[str, str], reason: str) -> Applied:
        """Keeps a message among the dead letters."""
        return self._transaction(lambda connection: self._taking.buried(connection, body, headers, None, reason))

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

    def _through(
        self, key: str, op: str, state: Mapping[str, Any], version: Any, *, connection: Connection | None, effect: DoorEffect | None
    ) -> Applied:
        """An ordinary webhook through the guard."""
        column = self._versioned()
        told = wired(version)
        if told is None:
            msg = f"{self.table} {key}: an ordinary webhook through the guard has a version; it is compared by {column}"
            raise ValueError(msg)

        def fact(guard: Guard) -> Fact:
            wanted = {} if op == "deleted" else {**guard.rows.by_column(wired(state)), column: told}
            order = None if self._sequence is None else wanted.get(self._sequence)
            return Fact(change=Change(op, key, wanted, None), version=told, sequence=order, stands=self._later)

        def work(connection: Connection) -> Applied:
            return self._taking.webhook(connection, fact, effect)

        return work(connection) if connection is not None else self._transaction(work)

    def _synchronous(self) -> None:
        """Whether a transaction can be opened from here."""
        if self.asynchronous:
            hint = (
                "give the Applier a synchronous engine for the same database, or call what takes a connection within one of yours: "
                "await connection.run_sync(applier.apply_in, event)"
            )
            raise StoreMismatch(f"{self.table}: its engine is asynchronous, and this opens a transaction of its own", hint=hint)

    def _versioned(self) -> str:
        if self._version is None:
            msg = f'{self.table}: ordinary webhooks are guarded by an item\'s own version; name its field: Applier(…, version="updated_at")'
            raise ValueError(msg)
        return self._version

    def _guard(self, connection: Connection) -> Guard:
        if self._made is None:
            needed = [self.key, *filter(None, self._columns.values()), *filter(None, (self._version, self._sequence, self._fingerprint))]
            try:
                table = reflected(connection, self.table, schema=self.schema, needed=needed)
            except Absent as error:
                raise StoreMismatch(
                    f"{self.table}: {error}", hint="mend table, key, version, sequence, fingerprint or columns of the Applier"
                ) from None
            rows = Rows(table, key=self.key, columns=self._columns, scale=self._scale)
            self._made = Guard(rows, self._tables, version=self._version, sequence=self._sequence, fingerprint=self._fingerprint)
        return self._made

    def _transaction(self, work: Callable[[Connection], T]) -> T:
        """`work` in a transaction of its own; once more where another transaction was in the way."""
        self._synchronous()
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
