"""PostgreSQL in bulk: COPY into Arrow through ADBC, in one read-only transaction at REPEATABLE READ.

Two connections read one state: the *desk* (psycopg) asks the catalogue, describes the statement and counts duplicates; it exports its
snapshot, and the *bulk* connection (ADBC) reads the rows in the same one.
https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import psycopg
import pyarrow as pa
from adbc_driver_postgresql import StatementOptions
from sqlalchemy import bindparam, cast, literal_column, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.types import NullType, Text

from recon.errors import StoreError, StoreMismatch
from recon.job import Sql, Table
from recon.stores import faults
from recon.stores.address import Address
from recon.stores.base import Scan, Selection, StoreHealth
from recon.stores.postgres_catalog import Connection, Relation, find_relation, is_unique, may_write, table_names, types_of
from recon.stores.postgres_faults import no_connection, translate
from recon.stores.postgres_types import PgType, finite, key_type
from recon.stores.query import Query, Shape, chunks
from recon.stores.reading import Watch, readable

BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
LIVENESS = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3", "tcp_user_timeout": "60000"}
"""A peer that vanished without a word is noticed within a minute. https://www.postgresql.org/docs/current/libpq-connect.html"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on a read. Times in seconds, `batch_bytes` the size that a batch of rows is cut at."""

    connect_timeout: float = 10.0
    statement_timeout: float = 3600.0
    lock_timeout: float = 30.0
    batch_bytes: int = 4 << 20
    #: Read only what row-level policies let through, instead of refusing.
    row_security: bool = False


@dataclass(frozen=True, slots=True)
class Shaped:
    """A query whose columns' types are known."""

    query: Query
    types: Mapping[str, PgType]
    relation: Relation | None
    shapes: Mapping[str, Shape] = field(default_factory=dict)

    @property
    def schema(self) -> pa.Schema:
        """What arrives."""
        return pa.schema([pa.field(name, self.types[name].arrow) for name in self.query.names])


class PostgresStore:
    """A PostgreSQL database of ours, only ever read."""

    def __init__(self, name: str, address: Address, limits: Limits | None = None) -> None:
        self.name = name
        self.address = address
        self.limits = limits or Limits()
        self._dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]  # SQLAlchemy types no dialect's constructor.
        self._label = f"store {name}"

    def __repr__(self) -> str:
        return f"PostgresStore({self.name}, {self.address})"

    @contextmanager
    def scan(self, selection: Selection) -> Iterator[Scan]:
        query = Query(selection, self._dialect, store=self._label)
        with self._desk(query) as desk:
            with self._translated(query, "the read"):
                shaped = self._shape(desk, query)
                unique = self._key_unique(desk, shaped)
                snapshot, now = _row(desk, "SELECT pg_export_snapshot(), now()")
            with self._bulk(query, snapshot=snapshot) as bulk:
                watch = Watch(lambda error: translate(error, self._label, self.address, doing="the read", relation=query.relation))
                # What the caller does inside is not translated: its errors are its own.
                with watch.held():
                    yield Scan(
                        reader=watch.reader(shaped.schema, self._rows(desk, bulk, shaped, query.select(shaped.shapes))),
                        key_unique=unique,
                        duplicates=lambda limit: self._duplicates(desk, query, limit),
                        isolation="REPEATABLE READ READ ONLY, one exported snapshot",
                        taken_at=now.astimezone(UTC),
                    )

    def get_many(self, selection: Selection, keys: Sequence[str]) -> pa.Table:
        query = Query(selection, self._dialect, store=self._label)
        with self._desk(query) as desk, self._translated(query, "the read by key"):
            shaped = self._shape(desk, query)
            (snapshot,) = _row(desk, "SELECT pg_export_snapshot()")
            statements = [self._by_key(shaped, asked) for asked in chunks(keys)]
            with self._bulk(query, snapshot=snapshot) as bulk:
                batches = [batch for each in statements if each is not None for batch in self._rows(desk, bulk, shaped, each)]
            return pa.Table.from_batches(batches, shaped.schema)

    def statements(self, selection: Selection) -> Sequence[str]:
        query = Query(selection, self._dialect, store=self._label)
        with self._desk(query) as desk, self._translated(query, "the look at its columns"):
            shaped = self._shape(desk, query)
        shown = [f"-- store {self.name}: {self.address}\n{BEGIN};", query.show("every row, by COPY", query.select(shaped.shapes))]
        if not self._claims_unique(query):
            shown.append(query.show("keys that come twice, unless a unique index excludes them", query.duplicates(1000)))
        return [*shown, query.show("the second look, by key", self._key_statement(shaped, [], self._asked_as(shaped)))]

    def health(self, selection: Selection | None) -> StoreHealth:
        query = Query(selection, self._dialect, store=self._label) if selection else None
        with self._desk(query) as desk:
            with self._translated(query, "the look at the server"):
                version, user, now = _row(desk, "SELECT current_setting('server_version'), current_user, now()")
            writable, readable_columns, detail = None, True, ""
            if query is not None:
                try:
                    shaped = self._shape(desk, query)
                    if shaped.relation is not None:
                        writable = may_write(desk, shaped.relation)
                except StoreMismatch as error:
                    readable_columns, detail = False, error.message
        server, now = f"PostgreSQL {version.split()[0]}", now.astimezone(UTC)
        return StoreHealth(server=server, user=user, writable=writable, now=now, readable_columns=readable_columns, detail=detail)

    def close(self) -> None:
        """Nothing is held between reads."""

    # Connections -----------------------------------------------------------------------------------------------------------------

    def _conninfo(self) -> dict[str, str]:
        timeout = str(max(2, round(self.limits.connect_timeout)))  # libpq takes whole seconds, two at least.
        return {"connect_timeout": timeout, "application_name": "nightly-recon", **LIVENESS, **self.address.conninfo()}

    def _settings(self) -> list[str]:
        # SET LOCAL: a pooled server connection goes back as it came.
        limits = self.limits
        return [
            "SET LOCAL timezone = 'UTC'",
            "SET LOCAL datestyle = 'ISO, MDY'",
            "SET LOCAL intervalstyle = 'iso_8601'",
            "SET LOCAL extra_float_digits = 1",
            "SET LOCAL standard_conforming_strings = on",
            f"SET LOCAL row_security = {'on' if limits.row_security else 'off'}",
            f"SET LOCAL statement_timeout = {round(limits.statement_timeout * 1000)}",
            f"SET LOCAL lock_timeout = {round(limits.lock_timeout * 1000)}",
            "SET LOCAL idle_in_transaction_session_timeout = 0",
        ]

    @contextmanager
    def _desk(self, query: Query | None) -> Iterator[Connection]:
        """The connection that asks, inside its transaction."""
        try:
            # No prepared statements: a pooler between us may hand the next one to another server process.
            desk: Connection = psycopg.connect(**self._conninfo(), autocommit=True, prepare_threshold=None, client_encoding="UTF8")  # type: ignore[arg-type]  # libpq's words are texts.
        except psycopg.Error as error:
            raise no_connection(error, self._label, self.address) from None
        with closing(desk):
            with self._translated(query, "the start of the read"):
                for statement in (BEGIN, *self._settings()):
                    desk.execute(statement.encode())
            yield desk

    @contextmanager
    def _bulk(self, query: Query, *, snapshot: str) -> Iterator[Any]:
        """The connection that carries the rows, in the desk's snapshot."""
        try:
            bulk = adbc.connect(psycopg.conninfo.make_conninfo(**{**self._conninfo(), "client_encoding": "UTF8"}), autocommit=True)
        except adbc.Error as error:
            raise no_connection(error, self._label, self.address) from None
        try:
            with self._translated(query, "the start of the read"), bulk.cursor() as cursor:
                cursor.execute(BEGIN)
                # The name is the server's own, hexadecimal digits and dashes; SET takes no parameters.
                cursor.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
                for statement in self._settings():
                    cursor.execute(statement)
            yield bulk
        finally:
            with suppress(adbc.Error, pa.ArrowException, OSError):  # It may be broken already; what broke it has been told.
                bulk.close()

    @contextmanager
    def _translated(self, query: Query | None, doing: str) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, adbc.Error, pa.ArrowException) as error:
            relation = query.relation if query else "the database"
            raise translate(error, self._label, self.address, doing=doing, relation=relation) from None

    # The statement ---------------------------------------------------------------------------------------------------------------

    def _shape(self, desk: Connection, query: Query) -> Shaped:
        """The query's columns described by the server, and so how each is to be read; raises StoreMismatch where it does not fit."""
        relation = self._relation(desk, query) if isinstance(query.selection.relation, Table) else None
        oids = self._described(desk, query, relation)
        kinds = types_of(desk, oids.values())
        types = {name: kinds[oid] for name, oid in oids.items()}
        shapes = {name: shape for name, kind in types.items() if (shape := kind.shape) is not None}
        return Shaped(query, types, relation, shapes)

    def _relation(self, desk: Connection, query: Query) -> Relation:
        wanted = query.selection.relation
        assert isinstance(wanted, Table)
        quoted = self._dialect.identifier_preparer.format_table(query.source)
        found = find_relation(desk, quoted)
        if found is None:
            raise faults.no_table(self._label, f"{wanted.schema}.{wanted.name}" if wanted.schema else wanted.name, table_names(desk))
        for column, use in faults.wanted_columns(wanted.key, query.selection.columns):
            if column not in found.columns:
                raise faults.no_column(self._label, query.relation, column, use, found.columns)
        return found

    def _described(self, desk: Connection, query: Query, relation: Relation | None) -> dict[str, int]:
        try:
            return self._describe(desk, query, query.select())
        except psycopg.Error as error:
            culprit = self._culprit(desk, query, relation)
            raise culprit or translate(error, self._label, self.address, doing="the statement", relation=query.relation) from None

    def _describe(self, desk: Connection, query: Query, statement: Any) -> dict[str, int]:
        written, binds = query.render(statement.limit(literal_column("0")))
        with desk.transaction():
            description = desk.execute(written.encode(), binds).description
        return {column.name: column.type_code for column in description or ()}

    def _culprit(self, desk: Connection, query: Query, relation: Relation | None) -> StoreError | None:
        """Which of the job's fields the statement fails on, found by asking for each alone."""
        if desk.broken:
            return None
        if relation is None:
            try:
                names = self._describe(desk, query, query.body())
            except psycopg.Error:
                return None  # The text itself is at fault, and the first error says how.
            wanted = query.selection.relation
            for column, use in faults.wanted_columns(wanted.key, query.selection.columns):
                if column not in names:
                    return faults.no_column(self._label, query.relation, column, use, names)
        for name in query.names:
            try:
                self._describe(desk, query, query.select(only=[name]))
            except psycopg.Error as single:
                field_name = None if name == "key" else name
                return translate(single, self._label, self.address, doing="it", relation=query.relation, field=field_name)
        return None

    def _asked_as(self, shaped: Shaped) -> str | None:
        """The type that asked keys are cast to; None where the keys are compared as the job's kind of key writes them."""
        return key_type(shaped.types["key"].oid) if shaped.query.exact_key else None

    def _by_key(self, shaped: Shaped, keys: Sequence[str]) -> Any:
        """The statement for these keys, None where none of them can be a key of this type."""
        wanted = self._asked_as(shaped)
        fit = [key for key in keys if wanted is None or _fits(key, wanted)]
        return self._key_statement(shaped, fit, wanted) if fit else None

    def _key_statement(self, shaped: Shaped, keys: Sequence[str], wanted: str | None) -> Any:
        key = shaped.query.expression("key")
        compared = key if wanted else shaped.query.folded(cast(key, Text()))
        return shaped.query.by_key(compared.op("=")(_any(keys, wanted or "text")), shaped.shapes)

    def _rows(self, desk: Connection, bulk: Any, shaped: Shaped, statement: Any) -> Iterator[pa.RecordBatch]:
        written, binds = shaped.query.render(statement)
        if binds or "%%" in written:
            # COPY takes no parameters, so psycopg binds them here, quoted by libpq for this connection.
            written = psycopg.ClientCursor(desk).mogrify(written.encode(), binds)
        schema = shaped.schema
        with bulk.cursor() as cursor:
            cursor.adbc_statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(self.limits.batch_bytes)})
            cursor.execute(written)
            for batch in cursor.fetch_record_batch():
                columns = [readable(finite(column)) for column in batch.columns]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def _claims_unique(self, query: Query) -> bool:
        return isinstance(query.selection.relation, Table) and query.exact_key

    def _key_unique(self, desk: Connection, shaped: Shaped) -> bool:
        query = shaped.query
        relation = query.selection.relation
        if shaped.relation is None or isinstance(relation, Sql) or not self._claims_unique(query):
            return False
        return is_unique(desk, shaped.relation, relation.key)

    def _duplicates(self, desk: Connection, query: Query, limit: int) -> list[tuple[str, int]]:
        written, binds = query.render(query.duplicates(limit))
        with self._translated(query, "the count of duplicates"):
            return [(str(key), int(count)) for key, count in desk.execute(written.encode(), binds)]


def _row(desk: Connection, statement: str) -> tuple[Any, ...]:
    found = desk.execute(statement.encode()).fetchone()
    assert found is not None
    return found


def _any(keys: Sequence[str], type_name: str) -> Any:
    # The type is one of a handful of our own words; the keys are bound.
    return text(f"ANY (CAST(:recon_keys AS {type_name}[]))").bindparams(bindparam("recon_keys", list(keys), type_=NullType()))


def _fits(key: str, type_name: str) -> bool:
    """Whether a value of this type can be written so: `01` and `x` are no bigint."""
    if type_name == "bigint":
        digits = key.removeprefix("-")
        return digits.isascii() and digits.isdigit() and str(int(key)) == key and -(2**63) <= int(key) < 2**63
    if type_name == "uuid":
        return len(key) == 36 and key.replace("-", "").isalnum() and _is_hex(key.replace("-", ""))
    return True


def _is_hex(digits: str) -> bool:
    try:
        return len(digits) == 32 and int(digits, 16) >= 0
    except ValueError:
        return False
