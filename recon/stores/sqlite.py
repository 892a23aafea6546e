"""SQLite in bulk: column by column into Arrow, in one read transaction on a connection that cannot write.

It goes through Python's own SQLite, though a bulk driver with a library of its own is faster: POSIX locks belong to the process, so
two copies of SQLite in one process do not see each other's, and closing a file in one drops the locks of the other.
https://www.sqlite.org/howtocorrupt.html#_multiple_copies_of_sqlite_linked_into_the_same_application
"""

import re
import sqlite3
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from os import W_OK, access
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from sqlalchemy import bindparam, exists, literal_column, or_, select
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from recon.clock import parse_iso
from recon.errors import StoreError, StoreMismatch, StoreUnreachable
from recon.job import Table
from recon.stores import faults
from recon.stores.address import Address
from recon.stores.base import Scan, Selection, StoreHealth
from recon.stores.query import Query, Shape, chunks
from recon.stores.reading import Watch
from recon.stores.sqlite_types import ARROW, SAMPLE_ROWS, census, class_of, shape_of, stray, written

ROWID = ("rowid", "oid", "_rowid_")
NOW = "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
TABLES = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY 1"
# An index proves uniqueness only if it is whole (not partial) and on this column alone; a single-column primary key has one too,
# or is the rowid itself.
UNIQUE = """
SELECT (SELECT count(*) FROM pragma_table_xinfo(?1, ?2) WHERE pk > 0) = 1
       AND EXISTS (SELECT 1 FROM pragma_table_xinfo(?1, ?2) WHERE pk = 1 AND lower(name) = lower(?3))
    OR EXISTS (SELECT 1 FROM pragma_index_list(?1, ?2) l WHERE l."unique" = 1 AND l.partial = 0
       AND (SELECT count(*) FROM pragma_index_xinfo(l.name, ?2) x WHERE x.key = 1) = 1
       AND EXISTS (SELECT 1 FROM pragma_index_xinfo(l.name, ?2) x WHERE x.key = 1 AND x.cid >= 0 AND lower(x.name) = lower(?3)))
"""
REAL = re.compile(r"-?\d{1,17}\.\d{1,17}(e[+-]\d{1,3})?")
CONNECTION_WORDS = (
    "unable to open",
    "disk I/O",
    "is malformed",
    "malformed database",
    "locked",
    "busy",
    "not a database",
    "interrupted",
    "readonly",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on a read: seconds to wait for a writer's lock, rows of a batch."""

    busy_timeout: float = 10.0
    batch_rows: int = 4_000


@dataclass(frozen=True, slots=True)
class Shaped:
    """A query whose columns have been looked at: per column the storage classes that occur, as bits."""

    query: Query
    bits: Mapping[str, int]

    @property
    def shapes(self) -> dict[str, Shape]:
        """The columns to read as text."""
        return {name: shape for name, found in self.bits.items() if (shape := shape_of(found)) is not None}

    def storage(self, name: str) -> str:
        """The storage class that a column arrives as."""
        return class_of(self.bits[name]) or "text"

    @property
    def schema(self) -> pa.Schema:
        """What arrives."""
        return pa.schema([pa.field(name, ARROW[self.storage(name)]) for name in self.query.names])


class SqliteStore:
    """A SQLite database of ours, only ever read."""

    def __init__(self, name: str, address: Address, limits: Limits | None = None) -> None:
        self.name = name
        self.address = address
        self.limits = limits or Limits()
        self._dialect = SQLiteDialect_pysqlite(paramstyle="qmark")
        self._label = f"store {name}"

    def __repr__(self) -> str:
        return f"SqliteStore({self.name}, {self.address})"

    @contextmanager
    def scan(self, selection: Selection) -> Iterator[Scan]:
        query = Query(selection, self._dialect, store=self._label)
        with self._connected(query) as connection:
            with self._translated(query):
                self._check(connection, query)
                shaped = self._shape(connection, query)
                unique, now = self._key_unique(connection, shaped), self._now(connection)
            watch = Watch(lambda error: self._fault(error, query))
            # What the caller does inside is not translated: its errors are its own.
            with watch.held():
                yield Scan(
                    reader=watch.reader(shaped.schema, self._rows(connection, shaped, None, partial(query.select, shaped.shapes), {})),
                    key_unique=unique,
                    duplicates=lambda limit: self._duplicates(connection, query, limit),
                    isolation="one read transaction (SQLite snapshot), read-only connection",
                    taken_at=now,
                )

    def get_many(self, selection: Selection, keys: Sequence[str]) -> pa.Table:
        query = Query(selection, self._dialect, store=self._label)
        with self._connected(query) as connection, self._translated(query):
            self._check(connection, query)
            # Few rows come back, so each is read as text where its column might be mixed: what other rows hold is not looked at.
            asked = [_forms(query, some) for some in chunks(keys)]
            found = [self._census(connection, query, len(forms), partial(self._by_key, query, forms), _binds(forms)) for forms in asked]
            bits = {name: _union(part[name] for part in found) for name in query.names}
            shaped = Shaped(query, bits)
            rows = [
                row
                for forms in asked
                for row in self._rows(connection, shaped, len(forms), partial(self._by_key, query, forms, shaped.shapes), _binds(forms))
            ]
            return pa.Table.from_batches(rows, shaped.schema)

    def statements(self, selection: Selection) -> Sequence[str]:
        query = Query(selection, self._dialect, store=self._label)
        with self._connected(query) as connection, self._translated(query):
            self._check(connection, query)
            shaped = self._shape(connection, query)
            unique = self._key_unique(connection, shaped)
        looked = query.show("which storage classes occur", self._strays(query, shaped.bits))
        shown = [f"-- store {self.name}: {self.address} (mode=ro)\nBEGIN;", looked, query.show("every row", query.select(shaped.shapes))]
        if not unique:
            shown.append(query.show("keys that come twice", query.duplicates(1000, written)))
        return [*shown, query.show("the second look, by key (as many ? as keys, at most 1000)", self._by_key(query, _forms(query, ["…"])))]

    def health(self, selection: Selection | None) -> StoreHealth:
        query = Query(selection, self._dialect, store=self._label) if selection else None
        with self._connected(query) as connection, self._translated(query):
            detail, fine = "", True
            if query is not None:
                try:
                    self._check(connection, query)
                except StoreMismatch as error:
                    detail, fine = error.message, False
            version, mode = _one(connection, "SELECT sqlite_version()"), _one(connection, "PRAGMA journal_mode")
            if fine and mode != "wal":
                detail = f"journal mode {mode}: a long read holds up writers; PRAGMA journal_mode = WAL would not"
            now = self._now(connection)
        writable = access(self.address.path, W_OK)
        return StoreHealth(server=f"SQLite {version}", user=None, writable=writable, now=now, readable_columns=fine, detail=detail)

    def close(self) -> None:
        """Nothing is held between reads."""

    # The connection --------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _connected(self, query: Query | None) -> Iterator[Any]:
        path = self.address.path
        if not path.is_file():
            raise StoreUnreachable(
                f"{self._label}: there is no database file {path}",
                hint="check url in the store's section; a relative path starts from the project",
            )
        with self._translated(query):
            # The engine pulls the rows from a thread of its own; the connection is never used by two at once.
            place, patience = f"file:{quote(str(path))}?mode=ro", self.limits.busy_timeout
            connection = sqlite3.connect(place, uri=True, isolation_level=None, check_same_thread=False, timeout=patience)
        with closing(connection):
            connection.text_factory = bytes  # Arrow checks the encoding a batch at a time.
            with self._translated(query):
                connection.execute("PRAGMA query_only = ON")
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM sqlite_master").fetchall()  # BEGIN alone takes no snapshot; the first read does.
            yield connection

    @contextmanager
    def _translated(self, query: Query | None) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, pa.ArrowException) as error:
            raise self._fault(error, query) from None

    def _fault(self, error: Exception, query: Query | None) -> StoreError:
        if isinstance(error, StoreError):
            return error
        relation = query.relation if query else "the database"
        words = " ".join(str(error).split())
        if "not a database" in words:
            return StoreMismatch(f"{self._label}: {self.address.path} is not a SQLite database", hint="check url in the store's section")
        if any(word in words for word in CONNECTION_WORDS):
            hint = (
                "a writer holds the lock; try again, or switch the database to WAL"
                if "lock" in words or "busy" in words
                else "nothing was inferred from what was read; try again"
            )
            return StoreUnreachable(f"{self._label}: {self.address.path}: {relation} could not be read: {words}", hint=hint)
        return faults.refused(self._label, relation, f"the database refused the statement: {words}")

    # The statement ---------------------------------------------------------------------------------------------------------------

    def _check(self, connection: sqlite3.Connection, query: Query) -> None:
        """Raises StoreMismatch for a table, column or expression that does not serve."""
        relation = query.selection.relation
        if isinstance(relation, Table):
            names = _names(connection, "SELECT name FROM pragma_table_xinfo(?, ?)", [relation.name, relation.schema or "main"])
            if not names:
                raise faults.no_table(self._label, relation.name, _names(connection, TABLES))
        else:
            names = self._named(connection, query, query.body())
        known = {name.casefold() for name in (*names, *(ROWID if isinstance(relation, Table) else ()))}
        for column, use in faults.wanted_columns(relation.key, query.selection.columns):
            if column.casefold() not in known:
                raise faults.no_column(self._label, query.relation, column, use, names)
        for name, (plain, _) in query.selection.columns.items():
            if plain is None:
                self._named(connection, query, query.select(only=[name]), field=name)

    def _named(self, connection: sqlite3.Connection, query: Query, statement: Any, *, field: str | None = None) -> list[str]:
        """A statement's own column names, which also proves that it can be prepared."""
        text, values = query.render_positional(statement.limit(literal_column("0")))
        try:
            return [str(column[0]) for column in connection.execute(text, values).description]
        except sqlite3.Error as error:
            fault = self._fault(error, query)
            if field is not None and isinstance(fault, StoreMismatch):
                raise StoreMismatch(
                    fault.message.replace(f"{query.relation}: ", f"{query.relation}: field {field}: ", 1), hint=fault.hint
                ) from None
            raise fault from None

    def _shape(self, connection: sqlite3.Connection, query: Query) -> Shaped:
        """The query's columns with what is in them: guessed from the first rows, then proven for all, counted out only where the guess fails."""
        bits = self._census(connection, query, "first", lambda: query.select().limit(literal_column(str(SAMPLE_ROWS))), {})
        text, values = query.written(("strays", *bits.items()), partial(self._strays, query, bits), {})
        if _one(connection, text, values):
            bits = self._census(connection, query, "all", query.select, {})
        return Shaped(query, bits)

    def _strays(self, query: Query, bits: Mapping[str, int]) -> Any:
        rows = query.select().subquery("r")
        return select(exists(select(literal_column("1")).select_from(rows).where(or_(*(stray(rows.c[n], bits[n]) for n in query.names)))))

    def _census(
        self, connection: sqlite3.Connection, query: Query, sort: Hashable, build: Callable[[], Any], given: Mapping[str, Any]
    ) -> dict[str, int]:
        def counted() -> Any:
            rows = build().subquery("r")
            return select(*(census(rows.c[name]).label(name) for name in query.names))

        text, values = query.written(("census", sort), counted, given)
        found = connection.execute(text, values).fetchone()
        return {name: int(value) for name, value in zip(query.names, found, strict=True)}

    def _rows(
        self, connection: sqlite3.Connection, shaped: Shaped, sort: Hashable, build: Callable[[], Any], given: Mapping[str, Any]
    ) -> Iterator[pa.RecordBatch]:
        query = shaped.query
        text, values = query.written(("rows", sort, *shaped.bits.items()), build, given)
        classes = [shaped.storage(name) for name in query.names]
        schema = shaped.schema
        with closing(connection.execute(text, values)) as cursor:
            while rows := cursor.fetchmany(self.limits.batch_rows):
                columns = [_column(found, storage) for found, storage in zip(zip(*rows, strict=True), classes, strict=True)]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def _by_key(self, query: Query, forms: Sequence[str | int | float], shapes: Mapping[str, Shape] | None = None) -> Any:
        key = query.expression("key")
        key = key if query.exact_key else query.folded(written(key))
        return query.by_key(key.in_([bindparam(name, form) for name, form in _binds(forms).items()]), shapes)

    def _key_unique(self, connection: sqlite3.Connection, shaped: Shaped) -> bool:
        query = shaped.query
        relation = query.selection.relation
        # 5 and '5' differ for the index and are one key for us, so a column that holds both proves nothing.
        if not isinstance(relation, Table) or not query.exact_key or class_of(shaped.bits["key"]) not in {"integer", "text"}:
            return False
        return bool(_one(connection, UNIQUE, [relation.name, relation.schema or "main", relation.key]))

    def _duplicates(self, connection: sqlite3.Connection, query: Query, limit: int) -> list[tuple[str, int]]:
        text, values = query.render_positional(query.duplicates(limit, written))
        with self._translated(query):
            return [(key.decode(errors="backslashreplace"), int(count)) for key, count in connection.execute(text, values)]

    def _now(self, connection: sqlite3.Connection) -> datetime:
        return parse_iso(str(_one(connection, NOW))).astimezone(UTC)


def _forms(query: Query, keys: Sequence[str]) -> list[str | int | float]:
    """The values that a row of these keys may have as its key."""
    if not query.exact_key:
        return list(keys)
    # Both forms of a number: a column without affinity holds 5 or '5', and tells them apart.
    return [*keys, *(number for key in keys if (number := _number(key)) is not None)]


def _binds(forms: Sequence[str | int | float]) -> dict[str, str | int | float]:
    return {f"recon_key_{n}": form for n, form in enumerate(forms)}


def _one(connection: sqlite3.Connection, statement: str, values: Sequence[Any] = ()) -> Any:
    found = connection.execute(statement, list(values)).fetchone()[0]
    return found.decode() if isinstance(found, bytes) else found


def _names(connection: sqlite3.Connection, statement: str, values: Sequence[Any] = ()) -> list[str]:
    return [name.decode(errors="replace") for (name,) in connection.execute(statement, list(values))]


def _column(values: Sequence[Any], storage: str) -> pa.Array:
    """One batch of a column; bytes that are no UTF-8 are written in hexadecimal, after a backslash."""
    if storage != "text":
        return pa.array(values, ARROW[storage])
    try:
        return pa.array(values, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([None if value is None else value.decode(errors="backslashreplace") for value in values], pa.string())


def _union(parts: Iterator[int]) -> int:
    bits = 0
    for part in parts:
        bits |= part
    return bits


def _number(key: str) -> int | float | None:
    """The number that a key writes, if it is one that SQLite could hold."""
    digits = key.removeprefix("-")
    if digits.isascii() and digits.isdigit():
        return int(key) if len(digits) < 20 and str(int(key)) == key and -(2**63) <= int(key) < 2**63 else None
    return float(key) if REAL.fullmatch(key) else None
