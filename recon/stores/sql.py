"""Any database that SQLAlchemy speaks: streamed row by row, in one transaction, as consistent as the dialect has it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from sqlalchemy import (
    BindParameter,
    Connection,
    Engine,
    String,
    Text,
    and_,
    bindparam,
    cast,
    create_engine,
    event,
    exc,
    inspect,
    literal_column,
    true,
    types,
)
from sqlalchemy.pool import NullPool

from recon.errors import BadSetting, StoreError, StoreMismatch, StoreUnreachable
from recon.job import Table
from recon.stores import faults, mysql
from recon.stores.address import Address
from recon.stores.base import Scan, Selection, StoreHealth
from recon.stores.postgres_faults import translate
from recon.stores.query import Query, Shape, chunks
from recon.stores.reading import Watch
from recon.stores.rows import Column, column_for

LEVELS: Mapping[str, tuple[str, str | None]] = {
    "postgresql": ("REPEATABLE READ", None),
    "mysql": ("REPEATABLE READ", mysql.SNAPSHOT),
    "mariadb": ("REPEATABLE READ", mysql.SNAPSHOT),
    "oracle": ("SERIALIZABLE", None),
    "mssql": ("SNAPSHOT", None),
    "sqlite": ("SERIALIZABLE", "BEGIN"),
}
"""Per dialect the isolation level that makes a whole transaction one state, and the statement that begins it if the driver's own does not."""

NOW: Mapping[str, str] = {
    "postgresql": "SELECT now()",
    "mysql": "SELECT UTC_TIMESTAMP(6)",
    "mariadb": "SELECT UTC_TIMESTAMP(6)",
    "oracle": "SELECT SYS_EXTRACT_UTC(SYSTIMESTAMP) FROM DUAL",
    "mssql": "SELECT SYSUTCDATETIME()",
    "sqlite": "SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')",
}
TIMEOUT_WORD = {"psycopg": "connect_timeout", "pysqlite": "timeout"}

STREAMING = "recon_streaming"
"""What a connection's `info` says while it is busy with rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on a read, and what goes to the driver's own `connect`."""

    connect_timeout: float = 10.0
    batch_rows: int = 10_000
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shaped:
    """A query whose columns' declared types have been looked up, None where there is none."""

    query: Query
    declared: Mapping[str, Any]
    unique: bool

    @property
    def shapes(self) -> dict[str, Shape]:
        """JSON is read as the server writes it: through Python, 1.10 becomes 1.1."""
        return {name: _as_text for name, kind in self.declared.items() if isinstance(kind, types.JSON)}

    @property
    def columns(self) -> dict[str, Column]:
        """How each column arrives."""
        dialect = self.query.dialect.name
        return {name: column_for(self.declared[name], dialect) for name in self.query.names}

    @property
    def schema(self) -> pa.Schema:
        """What arrives."""
        return pa.schema([pa.field(name, column.arrow) for name, column in self.columns.items()])


class SqlStore:
    """A database of ours behind SQLAlchemy, only ever read."""

    def __init__(self, name: str, address: Address, limits: Limits | None = None) -> None:
        """Raises sqlalchemy.exc.NoSuchModuleError for a dialect nobody knows, ModuleNotFoundError for a driver that is not installed."""
        self.name = name
        self.address = address
        self.limits = limits or Limits()
        self._label = f"store {name}"
        self._engine = self._made_engine()

    def __repr__(self) -> str:
        return f"SqlStore({self.name}, {self.address})"

    @contextmanager
    def scan(self, selection: Selection) -> Iterator[Scan]:
        query = Query(selection, self._engine.dialect, store=self._label)
        with self._transaction(query) as (connection, isolation):
            with self._translated(query):
                shaped, now = self._shape(connection, query), self._now(connection)
                state = self._told(connection, query, isolation)
            watch = Watch(lambda error: self._fault(error, query, reading=True))
            # What the caller does inside is not translated: its errors are its own.
            with watch.held():
                yield Scan(
                    reader=watch.reader(shaped.schema, self._rows(connection, shaped, query.select(shaped.shapes))),
                    key_unique=shaped.unique,
                    duplicates=lambda limit: self._duplicates(connection, query, limit),
                    isolation=state,
                    taken_at=now,
                )

    def get_many(self, selection: Selection, keys: Sequence[str]) -> pa.Table:
        query = Query(selection, self._engine.dialect, store=self._label)
        with self._transaction(query) as (connection, _), self._translated(query):
            shaped = self._shape(connection, query)
            statements = [self._by_key(shaped, asked) for asked in chunks(keys)]
            batches = [batch for statement in statements for batch in self._rows(connection, shaped, statement)]
            return pa.Table.from_batches(batches, shaped.schema)

    def statements(self, selection: Selection) -> Sequence[str]:
        query = Query(selection, self._engine.dialect, store=self._label)
        with self._transaction(query) as (connection, isolation), self._translated(query):
            shaped = self._shape(connection, query)
        shown = [f"-- store {self.name}: {self.address}\n-- {isolation}", query.show("every row", query.select(shaped.shapes))]
        if not shaped.unique:
            shown.append(query.show("keys that come twice", query.duplicates(1000)))
        return [*shown, query.show("the second look, by key (at most 500 at a time)", self._by_key(shaped, ["1"]))]

    def health(self, selection: Selection | None) -> StoreHealth:
        query = Query(selection, self._engine.dialect, store=self._label) if selection else None
        detail, fine = "", True
        with self._transaction(query) as (connection, _), self._translated(query):
            if query is not None:
                try:
                    shaped = self._shape(connection, query)
                    connection.execute(query.select(shaped.shapes).limit(1)).all()
                except StoreMismatch as error:
                    detail, fine = error.message, False
                except exc.DBAPIError as error:
                    detail, fine = self._fault(error, query).message, False
            version = ".".join(str(part) for part in getattr(connection.dialect, "server_version_info", None) or ())
            now = datetime.now(UTC) if not fine else self._now(connection)
            writable = mysql.writable(connection) if mysql.is_mysql(self.address.dialect) else None
            server = f"{mysql.product(connection.dialect)} {version}".strip()
        return StoreHealth(server=server, user=self.address.url.username, writable=writable, now=now, readable_columns=fine, detail=detail)

    def close(self) -> None:
        self._engine.dispose()

    # The connection --------------------------------------------------------------------------------------------------------------

    def _made_engine(self) -> Engine:
        url = self.address.engine_url
        word = TIMEOUT_WORD.get(url.get_driver_name())
        arguments: dict[str, Any] = {word: max(2, round(self.limits.connect_timeout))} if word else {}
        if word is None and mysql.is_mysql(self.address.dialect):
            arguments.update(mysql.words(connect=self.limits.connect_timeout))
        arguments.update(self.limits.options)
        if self.address.dialect == "sqlite":
            url = url.set(database=f"file:{self.address.path}", query={"mode": "ro", "uri": "true"})
            arguments["check_same_thread"] = False  # The engine pulls from a thread of its own.
        engine = create_engine(url, poolclass=NullPool, connect_args=arguments, hide_parameters=True)
        if self.address.dialect == "postgresql":
            event.listen(engine, "connect", _json_as_text)
        return mysql.tune(engine) if mysql.is_mysql(self.address.dialect) else engine

    @contextmanager
    def _transaction(self, query: Query | None) -> Iterator[tuple[Connection, str]]:
        try:
            connection = self._engine.connect()
        except exc.DBAPIError as error:
            words = self.address.scrub(error.orig)
            hint = "check the store's url, and that the server runs"
            if mysql.is_mysql(self.address.dialect) and mysql.code(error) in mysql.ACCESS:
                hint = "check user, password and database in the store's url, and the user's rights"
            raise StoreUnreachable(f"{self._label}: no connection to {self.address}: {words}", hint=hint) from None
        except (TypeError, ValueError, OSError) as error:
            # Of the driver's own connect, before it asked any server: a word that it does not know, a value, a file that is not there.
            raise self._refused(error) from None
        with connection:
            with self._translated(query):
                isolation = self._begin(connection)
            try:
                yield connection, isolation
            finally:
                if not connection.invalidated and connection.info.get(STREAMING):
                    mysql.let_go(connection)

    def _refused(self, error: Exception) -> BadSetting:
        given = ", ".join(f"options.{name}" for name in self.limits.options) or "what url says"
        driver = self._engine.dialect.driver
        msg = f"recon.toml [stores.{self.name}]: the driver {driver} does not take {given}: {self.address.scrub(error)}"
        return BadSetting(msg, hint=f"use the words that the connect of {driver} knows; a file is looked for from the working folder")

    @contextmanager
    def _translated(self, query: Query | None) -> Iterator[None]:
        try:
            yield
        except (exc.SQLAlchemyError, pa.ArrowException) as error:
            raise self._fault(error, query) from None

    def _begin(self, connection: Connection) -> str:
        dialect = connection.dialect.name
        level, statement = LEVELS.get(dialect, (None, None))
        if level is not None:
            try:
                connection.execution_options(isolation_level=level, **({"postgresql_readonly": True} if dialect == "postgresql" else {}))
            except (exc.DBAPIError, exc.ArgumentError):  # SQL Server has SNAPSHOT only where it was allowed for the database.
                level = None
        if dialect == "sqlite":
            connection.exec_driver_sql("PRAGMA query_only = ON")
        if statement is not None:
            connection.exec_driver_sql(statement)
        called = mysql.product(connection.dialect)
        read_only = " READ ONLY" if dialect in {"postgresql", "mysql", "mariadb", "sqlite"} else ""
        if level is None:
            return f"one transaction at {connection.get_isolation_level()}: each statement is one state, {called} promises no more"
        return f"{level}{read_only} ({called})"

    def _told(self, connection: Connection, query: Query, isolation: str) -> str:
        """The isolation, unless the table's own engine has none."""
        relation = query.selection.relation
        if not isinstance(relation, Table) or not mysql.is_mysql(connection.dialect.name):
            return isolation
        try:
            engine = mysql.loose_engine(inspect(connection).get_table_options(relation.name, schema=relation.schema))
        except exc.NoSuchTableError:  # A view has none.
            return isolation
        return f"one statement: {engine} has no transactions" if engine else isolation

    def _fault(self, error: Exception, query: Query | None, *, reading: bool = False) -> StoreError:
        if isinstance(error, StoreError):
            return error
        relation = query.relation if query else "the database"
        cause = getattr(error, "orig", None) or error
        words = self.address.scrub(cause)
        if self.address.dialect == "postgresql":
            return translate(cause, self._label, self.address, doing="the read", relation=relation)
        passing = mysql.is_mysql(self.address.dialect) and mysql.code(error) in mysql.PASSING
        if reading or passing or getattr(error, "connection_invalidated", False):
            return StoreUnreachable(
                f"{self._label}: {relation}: the read broke off: {words}",
                hint="nothing was inferred from the part that was read; try again",
            )
        denied = mysql.is_mysql(self.address.dialect) and mysql.code(error) in mysql.ACCESS
        hint = "GRANT SELECT on it to the store's user" if denied else None
        return faults.refused(self._label, relation, f"the database refused the statement: {words}", hint=hint)

    # The statement ---------------------------------------------------------------------------------------------------------------

    def _shape(self, connection: Connection, query: Query) -> Shaped:
        relation = query.selection.relation
        if not isinstance(relation, Table):
            names = list(connection.execute(query.body().limit(literal_column("0"))).keys())
            self._require(query, names)
            return Shaped(query, dict.fromkeys(query.names), unique=False)
        inspector = inspect(connection)
        try:
            reflected = {str(column["name"]): column["type"] for column in inspector.get_columns(relation.name, schema=relation.schema)}
        except exc.NoSuchTableError:
            reflected = {}
        if not reflected:
            tables = [*inspector.get_table_names(schema=relation.schema), *inspector.get_view_names(schema=relation.schema)]
            raise faults.no_table(self._label, f"{relation.schema}.{relation.name}" if relation.schema else relation.name, tables)
        self._require(query, list(reflected))
        declared = {"key": reflected.get(relation.key)}
        declared.update({name: reflected.get(plain) if plain else None for name, (plain, _) in query.selection.columns.items()})
        return Shaped(query, declared, unique=query.exact_key and self._is_unique(inspector, relation))

    def _require(self, query: Query, names: Sequence[str]) -> None:
        for column, use in faults.wanted_columns(query.selection.relation.key, query.selection.columns):
            if column not in names:
                raise faults.no_column(self._label, query.relation, column, use, names)

    def _is_unique(self, inspector: Any, relation: Table) -> bool:
        """Whether the primary key, or a unique constraint, is on this column alone; what the dialect cannot tell counts as no."""
        if self.address.dialect in {"sqlite", "postgresql"}:
            return False  # Values of several types, inheriting tables: their own stores look closer, and the count is always right.
        try:
            found = [inspector.get_pk_constraint(relation.name, schema=relation.schema)["constrained_columns"]]
            found += [each["column_names"] for each in inspector.get_unique_constraints(relation.name, schema=relation.schema)]
        except (RuntimeError, exc.SQLAlchemyError):  # A dialect that cannot tell says so in either way.
            return False
        return [relation.key] in found

    def _by_key(self, shaped: Shaped, keys: Sequence[str]) -> Any:
        query = shaped.query
        key = query.expression("key")
        declared = shaped.declared["key"]
        forms: list[str | int] = list(keys)
        if query.exact_key and isinstance(declared, types.Integer) and query.dialect.name != "sqlite":
            forms = [int(each) for each in keys if _is_integer(each, digits=20 if getattr(declared, "unsigned", False) else 19)]
            return query.by_key(key.in_(_bound(forms)), shaped.shapes)
        indexed = isinstance(declared, types.String) or mysql.is_mysql(query.dialect.name)
        if not (query.exact_key and indexed):
            return query.by_key(query.compared(query.folded(cast(key, Text()))).in_(_bound(forms)), shaped.shapes)
        found = key.in_(_bound(forms))
        # The first condition finds them by the index, the second tells `a` from `A` and from `a `.
        exactly = mysql.exact(key).in_(_bound(forms, "exact")) if mysql.is_mysql(query.dialect.name) else true()
        return query.by_key(and_(found, exactly), shaped.shapes)

    def _rows(self, connection: Connection, shaped: Shaped, statement: Any) -> Iterator[pa.RecordBatch]:
        columns, schema, size = list(shaped.columns.values()), shaped.schema, self.limits.batch_rows
        with self._translated(shaped.query):
            # Refused before the first row is the statement's fault; what breaks later is the server's.
            result = connection.execute(statement, execution_options={"stream_results": True, "yield_per": size})
        with result, self._streaming(connection):
            for part in result.partitions(size):
                values = zip(*part, strict=True)
                yield pa.RecordBatch.from_arrays(
                    [column.array(found) for column, found in zip(columns, values, strict=True)], schema=schema
                )

    @contextmanager
    def _streaming(self, connection: Connection) -> Iterator[None]:
        """While rows are streamed: on MySQL the connection is busy, and one that is left before its end is ended."""
        if not mysql.is_mysql(connection.dialect.name):
            yield
            return
        connection.info[STREAMING] = True
        try:
            yield
        except BaseException:
            mysql.let_go(connection)
            raise
        connection.info[STREAMING] = False

    def _duplicates(self, connection: Connection, query: Query, limit: int) -> list[tuple[str, int]]:
        if not connection.invalidated and connection.info.get(STREAMING):
            raise StoreError(f"{self._label}: {query.relation}: keys are counted before the rows are read, or after: not in the middle")
        try:
            found = connection.execute(query.duplicates(limit)).all()
            return [(key.decode() if isinstance(key, bytes) else str(key), int(count)) for key, count in found]
        except exc.SQLAlchemyError as error:
            raise self._fault(error, query) from None

    def _now(self, connection: Connection) -> datetime:
        statement = NOW.get(connection.dialect.name)
        if statement is None:
            return datetime.now(UTC)  # No common way to ask for an instant in UTC.
        found = connection.exec_driver_sql(
            statement.replace("%", "%%") if connection.dialect.paramstyle in {"format", "pyformat"} else statement
        ).scalar_one()
        moment = datetime.fromisoformat(found) if isinstance(found, str) else found
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _as_text(expression: Any) -> Any:
    return cast(expression, Text())


def _json_as_text(connection: Any, _record: Any) -> None:
    from psycopg.types.string import TextLoader

    for name in ("json", "jsonb"):
        connection.adapters.register_loader(name, TextLoader)


def _bound(forms: Sequence[str | int], prefix: str = "key") -> list[BindParameter[Any]]:
    # Texts stay texts, whatever they are compared with.
    kinds = [String() if isinstance(form, str) else None for form in forms]
    return [bindparam(f"recon_{prefix}_{n}", form, type_=kind) for n, (form, kind) in enumerate(zip(forms, kinds, strict=True))]


def _is_integer(key: str, *, digits: int) -> bool:
    figures = key.removeprefix("-")
    return figures.isascii() and figures.isdigit() and len(figures) <= digits and str(int(key)) == key
