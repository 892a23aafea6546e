"""Another database as the third party: `type = "sql"`. Read through SQLAlchemy, in one transaction that writes nothing."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import msgspec
from sqlalchemy import (
    Connection,
    Engine,
    Select,
    String,
    TextClause,
    cast,
    column,
    create_engine,
    literal_column,
    make_url,
    select,
    table,
    text,
)
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.selectable import TableClause

from recon import End, Listing, Lookup, LookupStatus, Meter, Page, Section, Unread
from recon.clock import Clock
from recon.duration import words_of
from recon.errors import BadRequest, CursorExpired, Refused, Unreachable

ROWS = 2_000
KEYS = 500
RESOURCE_HINT = 'add [{path}.resources.orders] with table = "orders", or sql = "select …"'

REPLICA = "select case when pg_is_in_recovery() then extract(epoch from now() - pg_last_xact_replay_timestamp()) end"
"""How many seconds a replica is behind; null of one that is no replica.

https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-RECOVERY-CONTROL (read 2026-11)
"""

OF_THE_QUERY = ("syntax error", "no such", "has no column")
"""What SQLite's driver calls operational, and is a fault of the query."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One list: a table or view, or a query of one's own, and the column that holds the key."""

    key: str
    table: str | None = None
    schema: str | None = None
    sql: str | None = None
    link: str | None = None


class Sql:
    """Tables and queries of another database, each read whole from one snapshot.

    Settings: `url`, a SQLAlchemy URL or a reference; `max_lag`, how far a PostgreSQL replica may be behind (`"5m"`); `page`, rows to a page;
    a table `[….resources.NAME]` each with `table` (and `schema`) or `sql`, `key` (by default `id`) and `link`. On PostgreSQL the
    transaction is REPEATABLE READ, READ ONLY, with a cursor of the server's; elsewhere it is one transaction as the database has it.

    A record holds each column by its name: decimals and times as text, numbers and truth as themselves, JSON as it is. A row with
    bytes, NaN or infinity in it is unreadable. The proof of the end is that the query came to its end in its transaction, so a
    fetch that broke off begins anew: the snapshot is gone with its transaction.
    """

    def __init__(self, section: Section) -> None:
        self.name = section.name
        self._folder = section.folder
        self.meter = Meter()
        section.take("type", None)
        self._url: str = section.text_or_secret("url")
        self._max_lag: float = section.duration("max_lag", 300.0)
        self._rows: int = section.integer("page", ROWS, low=1)
        tables = section.mapping("resources", {})
        if not tables:
            raise section.bad("resources", "declares nothing to fetch", hint=RESOURCE_HINT.format(path=section.path))
        parent = section.sub("resources")
        self.catalogue: Mapping[str, Table] = {name: _read_table(parent.sub(name)) for name in tables}
        section.finish()
        self._made: Engine | None = None

    def resources(self) -> Sequence[str]:
        return sorted(self.catalogue)

    def key_path(self, resource: str) -> str:
        # A dot in a column's name is none of a path.
        return self._of(resource).key.replace(".", "\\.")

    def can_get(self, resource: str) -> bool:
        return resource in self.catalogue

    def link(self, resource: str, key: str) -> str | None:
        template = self._of(resource).link
        return template.replace("{key}", key) if template else None

    def scope(self, resource: str) -> Mapping[str, str]:
        """Which database is asked, as whom, and what: never a password."""
        one = self._of(resource)
        url = self._engine().url
        place = f"{url.host or ''}{f':{url.port}' if url.port else ''}/{url.database or ''}"
        return {"account": f"{url.get_backend_name()} {place}", "credential": url.username or "", "filters": one.sql or one.table or ""}

    def identity(self, resource: str) -> str:
        return repr((self.scope(resource)["account"], self._of(resource)))

    def fetch(self, listing: Listing) -> Iterator[Page]:
        """Every row, a page at a time, from one snapshot. Raises Unreachable, Refused, and CursorExpired for one that broke off."""
        if listing.resume is not None:
            msg = f"{self.name} {listing.resource}: the snapshot that it was read from is gone with its transaction"
            raise CursorExpired(msg)
        with self._faults(listing.resource), self._reading() as connection, ExitStack() as opened:
            self.meter.requests += 1
            result = opened.enter_context(connection.execute(self._query(listing.resource)))
            names, count = list(result.keys()), 0
            previous: tuple[list[bytes], tuple[Unread, ...]] | None = None
            for rows in result.partitions(self._rows):
                if previous is not None:
                    yield Page(items=previous[0], unread=previous[1], next={"rows": count}, bytes_read=sum(map(len, previous[0])))
                previous = _records(names, rows)
                count += len(rows)
            items, unread = previous or ([], ())
            proof = f"the query came to its end after {count:,} rows, in one {self._isolation(connection)}"
            yield Page(items=items, unread=unread, end=End(proof), total=count, bytes_read=sum(map(len, items)))

    def get_many(self, resource: str, keys: Sequence[str], *, clock: Clock) -> Iterator[Lookup]:
        """Each key's row as it is now; what the database has not is not there."""
        del clock
        for start in range(0, len(keys), KEYS):
            part = keys[start : start + KEYS]
            with self._faults(resource), self._reading() as connection:
                self.meter.requests += 1
                result = connection.execute(self._query(resource, part))
                names = list(result.keys())
                found = {_text(row[names.index(self._of(resource).key)]): row for row in result}
            for key in part:
                row = found.get(key)
                items, unread = _records(names, [row]) if row is not None else ([], ())
                if items:
                    yield Lookup(key=key, status=LookupStatus.FOUND, item=items[0])
                elif unread:
                    yield Lookup(key=key, status=LookupStatus.UNKNOWN, why=unread[0].why)
                else:
                    yield Lookup(key=key, status=LookupStatus.NOT_FOUND, why="no row has this key")

    def close(self) -> None:
        if self._made is not None:
            self._made.dispose()
            self._made = None

    # -- the database ------------------------------------------------------------------------------------------------------

    def _of(self, resource: str) -> Table:
        if resource not in self.catalogue:
            msg = f"provider {self.name} has no resource {resource!r}; it has {', '.join(sorted(self.catalogue))}"
            raise BadRequest(msg)
        return self.catalogue[resource]

    def _engine(self) -> Engine:
        if self._made is None:
            url = make_url(self._url.replace("postgresql://", "postgresql+psycopg://"))
            if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
                # Beside recon.toml, wherever the command was given; and SQLite would make an empty database of a file that is not there.
                file = self._folder / url.database
                if not file.is_file():
                    msg = f"{self.name}: there is no file {file}"
                    raise Refused(msg, hint="correct url in the provider's table of recon.toml; it is relative to the project's folder")
                url = url.set(database=str(file))
            try:
                self._made = create_engine(url, poolclass=NullPool)
            except ModuleNotFoundError as error:
                msg = f"{self.name}: {url.drivername!r} needs the Python package {error.name!r}, which is not installed"
                raise Refused(
                    msg, hint=f"install it beside this program, or name another driver in url ({url.drivername}+DRIVER://…)"
                ) from None
        return self._made

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """One transaction that writes nothing, and is rolled back."""
        engine = self._engine()
        options: dict[str, Any] = {"stream_results": True}
        if engine.dialect.name == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with engine.connect().execution_options(**options) as connection:
            if engine.dialect.name == "sqlite":
                connection.execute(text("pragma query_only = on"))
            if engine.dialect.name == "postgresql":
                self._refuse_far_behind(connection.execute(text(REPLICA)).scalar_one())
            yield connection

    def _refuse_far_behind(self, behind: Any) -> None:
        if behind is not None and float(behind) > self._max_lag:
            msg = f"{self.name}: this replica is {words_of(float(behind))} behind, and max_lag allows {words_of(self._max_lag)}"
            raise Refused(msg, hint="wait until it has caught up, ask the primary, or raise max_lag in the provider's table of recon.toml")

    def _isolation(self, connection: Connection) -> str:
        read_only = connection.dialect.name in {"postgresql", "sqlite"}
        level = "repeatable read" if connection.dialect.name == "postgresql" else "transaction"
        return f"{level}{' transaction' if level != 'transaction' else ''}{', read only' if read_only else ''}"

    def _query(self, resource: str, keys: Sequence[str] | None = None) -> Select[Any]:
        one = self._of(resource)
        source: TextClause | TableClause = (
            text(f"({one.sql}) as listed") if one.sql is not None else table(one.table or "", schema=one.schema)
        )
        query: Select[Any] = select(literal_column("*")).select_from(source)
        # As texts: what type the column has, the job's keys do not know.
        return query if keys is None else query.where(cast(column(one.key), String).in_(list(keys)))

    @contextmanager
    def _faults(self, resource: str) -> Iterator[None]:
        """The database's own errors in our words; a URL is never quoted."""
        where = f"{self.name} {resource}"
        try:
            yield
        except NoSuchModuleError as error:
            raise Refused(
                f"{where}: no driver for this URL is installed: {error}", hint="install the database's driver for SQLAlchemy"
            ) from None
        except DBAPIError as error:
            said = str(error.orig).splitlines()[0][:200] if str(error.orig) else type(error.orig).__name__
            kind = type(error.orig).__name__
            if error.connection_invalidated or (
                kind in {"OperationalError", "InterfaceError"} and not any(words in said for words in OF_THE_QUERY)
            ):
                raise Unreachable(f"{where}: the database gave no whole answer: {said}") from None
            raise Refused(f"{where}: the database refuses the query: {said}", hint="correct table, key or sql of the resource") from None
        except SQLAlchemyError as error:
            raise Refused(f"{where}: {type(error).__name__}: {str(error).splitlines()[0][:200]}") from None


def _read_table(section: Section) -> Table:
    """The list that a table of recon.toml declares; BadSetting where it declares none that can be."""
    table = section.text("table", None)
    sql = section.text("sql", None)
    schema = section.text("schema", None)
    key = section.text("key", "id")
    link = section.text("link", None)
    section.finish()
    if (table is None) == (sql is None):
        raise section.bad(
            "table", "exactly one of table and sql is wanted", hint='table = "orders", or sql = "select id, status from orders"'
        )
    if schema is not None and table is None:
        raise section.bad("schema", "goes together with table")
    if link is not None and "{key}" not in link:
        raise section.bad("link", f"is {link!r}, which has no {{key}} in it")
    return Table(key=key, table=table, schema=schema, sql=None if sql is None else sql.strip().rstrip(";"), link=link)


def _records(names: Sequence[str], rows: Sequence[Any]) -> tuple[list[bytes], tuple[Unread, ...]]:
    """Rows as JSON objects, and those that cannot be."""
    items: list[bytes] = []
    unread: list[Unread] = []
    for row in rows:
        why = next((why for name, value in zip(names, row, strict=True) if (why := _unfit(name, value))), None)
        if why is None:
            items.append(msgspec.json.encode(dict(zip(names, row, strict=True)), enc_hook=str))
        else:
            readable = {name: value for name, value in zip(names, row, strict=True) if not _unfit(name, value)}
            unread.append(Unread(raw=msgspec.json.encode(readable, enc_hook=str), why=why))
    return items, tuple(unread)


def _unfit(name: str, value: Any) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return f"column {name} holds {value}, which JSON has not"
    if isinstance(value, bytes | memoryview):
        return f"column {name} holds bytes; leave it out, or read it as text in sql"
    return None


def _text(value: Any) -> str:
    return str(value)
