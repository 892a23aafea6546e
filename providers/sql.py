"""Another database as the third party: `type = "sql"`. Read through SQLAlchemy, in one transaction that writes nothing."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    String,
    TextClause,
    bindparam,
    cast,
    column,
    create_engine,
    event,
    literal_column,
    select,
    table,
    text,
)
from sqlalchemy.exc import DBAPIError, InterfaceError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.selectable import TableClause

from recon import End, Listing, Lookup, LookupStatus, Meter, Page, Section, Unread
from recon.clock import Clock
from recon.duration import words_of
from recon.errors import BadRequest, CursorExpired, Refused, Unreachable
from recon.fetch.sql_rows import exact_postgres, exact_sqlite, records, twice
from recon.stores import mysql
from recon.stores.address import Address
from recon.stores.query import chunks

ROWS = 2_000
CONNECT_SECONDS = 10
RESOURCE_HINT = 'add [{path}.resources.orders] with table = "orders", or sql = "select …"'

REPLICA = "select pg_is_in_recovery(), extract(epoch from now() - pg_last_xact_replay_timestamp())"
"""Whether it is a replica, and how many seconds it is behind: null of one that has replayed nothing since it began.

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

    Settings: `url`, a SQLAlchemy URL or a reference; `max_lag`, how far a PostgreSQL replica may be behind (`"5m"`); `timeout`, for how long
    PostgreSQL, MariaDB or MySQL may work on one answer (`"5m"`); `page`, rows to a page;
    a table `[….resources.NAME]` each with `table` (and `schema`) or `sql`, `key` (by default `id`) and `link`. On PostgreSQL the
    transaction is REPEATABLE READ, READ ONLY, with a cursor of the server's; on MariaDB and MySQL it is the same, streamed, and keys are
    compared as bytes; elsewhere it is one transaction as the database has it.

    A record holds each column by its name: decimals and times as text, numbers and truth as themselves, JSON as it is. A row with
    bytes, NaN, infinity or a text that is none in it is unreadable. The proof of the end is that the query came to its end in its transaction, so a
    fetch that broke off begins anew: the snapshot is gone with its transaction.
    """

    def __init__(self, section: Section) -> None:
        self.name = section.name
        self.meter = Meter()
        section.take("type", None)
        self._address = Address.of(section)
        self._max_lag: float = section.duration("max_lag", 300.0)
        self._timeout: float = section.duration("timeout", 300.0)
        if self._timeout <= 0:
            raise section.bad("timeout", "must be longer than nothing: an answer that never comes would hold up the night")
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
        url = self._address.url
        place = f"{url.host or ''}{f':{url.port}' if url.port else ''}/{url.database or ''}"
        return {"account": f"{url.get_backend_name()} {place}", "credential": url.username or "", "filters": one.sql or one.table or ""}

    def identity(self, resource: str) -> str:
        return repr((self.scope(resource)["account"], self._of(resource)))

    def fetch(self, listing: Listing) -> Iterator[Page]:
        """Every row, a page at a time, from one snapshot. Raises Unreachable, Refused, and CursorExpired for one that broke off."""
        if listing.resume is not None:
            msg = f"{self.name} {listing.resource}: the snapshot that it was read from is gone with its transaction"
            raise CursorExpired(msg)
        if listing.params:
            msg = f"{self.name} {listing.resource}: the job gives params ({', '.join(sorted(listing.params))}), and a table or query takes none"
            raise BadRequest(msg, hint="take params out of the job, and write the condition into sql of the resource")
        with self._faults(listing.resource), self._reading() as connection, ExitStack() as opened:
            self.meter.requests += 1
            result = opened.enter_context(connection.execute(self._query(listing.resource)))
            names, count = self._names(listing.resource, result), 0
            previous: tuple[list[bytes], tuple[Unread, ...]] | None = None
            if self._is_mysql:
                opened.push(lambda *failed: mysql.let_go(connection) if failed[0] is not None else None)
            for rows in result.partitions(self._rows):
                if previous is not None:
                    yield Page(items=previous[0], unread=previous[1], next={"rows": count}, bytes_read=sum(map(len, previous[0])))
                previous = records(names, rows)
                count += len(rows)
            items, unread = previous or ([], ())
            proof = f"the query came to its end after {count:,} rows, in one {self._isolation(connection)}"
            yield Page(items=items, unread=unread, end=End(proof), total=count, bytes_read=sum(map(len, items)))

    def get_many(self, resource: str, keys: Sequence[str], *, clock: Clock) -> Iterator[Lookup]:
        """Each key's row as it is now; what the database has not is not there."""
        del clock
        key_column = self._of(resource).key
        asked = chunks(keys)
        for part in asked:
            with self._faults(resource), self._reading() as connection:
                self.meter.requests += 1
                result = connection.execute(self._query(resource, part))
                names = self._names(resource, result)
                found: dict[str, list[Any]] = {}
                for row in result.all():
                    found.setdefault(str(row[names.index(key_column)]), []).append(row)
            yield from (_lookup(key, names, found.get(key, [])) for key in part)
        for key in sorted(set(keys).difference(*asked)):
            yield Lookup(key=key, status=LookupStatus.UNKNOWN, why="a key that cannot be asked for: no text of a database holds it")

    def close(self) -> None:
        if self._made is not None:
            self._made.dispose()
            self._made = None

    # -- the database ------------------------------------------------------------------------------------------------------

    @property
    def _is_mysql(self) -> bool:
        return mysql.is_mysql(self._address.dialect)

    def _of(self, resource: str) -> Table:
        if resource not in self.catalogue:
            msg = f"provider {self.name} has no resource {resource!r}; it has {', '.join(sorted(self.catalogue))}"
            raise BadRequest(msg)
        return self.catalogue[resource]

    def _engine(self) -> Engine:
        if self._made is None:
            address = self._address
            if address.dialect == "sqlite" and not address.path.is_file():
                # SQLite would make an empty database of a file that is not there.
                msg = f"{self.name}: there is no file {address.path}"
                raise Refused(msg, hint="correct url in the provider's table of recon.toml; it is relative to the project's folder")
            try:
                self._made = create_engine(address.engine_url, poolclass=NullPool, connect_args=self._driver_words(), hide_parameters=True)
            except ModuleNotFoundError as error:
                drivername = address.url.drivername
                msg = f"{self.name}: {drivername!r} needs the Python package {error.name!r}, which is not installed"
                other = f"name another driver in url ({address.dialect}+DRIVER://…)"
                raise Refused(msg, hint=f"install it beside this program ({address.installing(error.name)}), or {other}") from None
            except NoSuchModuleError:
                msg = f"{self.name}: no driver here speaks {address.url.drivername!r}"
                raise Refused(msg, hint="install the database's driver for SQLAlchemy, or correct url in the provider's table") from None
            exact = {"postgresql": exact_postgres, "sqlite": exact_sqlite}.get(address.dialect)
            if exact is not None:
                event.listen(self._made, "connect", exact)
            if self._is_mysql:
                mysql.tune(self._made)
        return self._made

    def _driver_words(self) -> dict[str, Any]:
        """What psycopg, PyMySQL and mysqlclient are told: a line that has died is known to be dead, and a server that takes no call is not waited for.

        https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS (read 2026-11)
        """
        if self._is_mysql:
            return mysql.words(connect=CONNECT_SECONDS, read=self._timeout)
        if self._address.dialect != "postgresql":
            return {}
        return {"connect_timeout": CONNECT_SECONDS, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}

    def _connected(self, engine: Engine) -> Connection:
        try:
            return engine.connect()
        except (TypeError, ValueError, OSError) as error:
            # Of the driver's own connect, before it asked any server: a word of the url that it does not know, a file that is not there.
            msg = f"{self.name}: the driver {engine.dialect.driver} does not take what url says: {self._address.scrub(error)[:200]}"
            raise Refused(
                msg, hint="correct the words after ? in url of the provider; a file is looked for from the working folder"
            ) from None

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """One transaction that writes nothing, and is rolled back."""
        engine = self._engine()
        options: dict[str, Any] = {"stream_results": True}
        if engine.dialect.name == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        if self._is_mysql:
            options |= {"isolation_level": "REPEATABLE READ"}
        with self._connected(engine).execution_options(**options) as connection:
            if engine.dialect.name == "sqlite":
                connection.execute(text("pragma query_only = on"))
            if self._is_mysql:
                connection.exec_driver_sql(mysql.SNAPSHOT)
            if engine.dialect.name == "postgresql":
                # A cursor of the server's is asked for a page at a time, so the bound is for a page, not for the list.
                bound = {"ms": str(max(1, round(self._timeout * 1000)))}
                connection.execute(text("select set_config('statement_timeout', :ms, true)"), bound).one()
                self._refuse_far_behind(*connection.execute(text(REPLICA)).one())
            yield connection

    def _refuse_far_behind(self, replica: bool, behind: Any) -> None:
        if replica and behind is None:
            msg = f"{self.name}: this replica has replayed nothing since it began, so nothing says how far it is behind"
            raise Refused(msg, hint="wait until the primary has written something, or ask the primary")
        if replica and float(behind) > self._max_lag:
            msg = f"{self.name}: this replica is {words_of(float(behind))} behind, and max_lag allows {words_of(self._max_lag)}"
            raise Refused(msg, hint="wait until it has caught up, ask the primary, or raise max_lag in the provider's table of recon.toml")

    def _names(self, resource: str, result: Any) -> list[str]:
        """The columns' names, of which each is one and one is the key."""
        names, key = [str(name) for name in result.keys()], self._of(resource).key  # noqa: SIM118 - a result is no mapping
        double = twice(names)
        if double is not None:
            msg = f"{self.name} {resource}: two columns are called {double!r}, and a record would keep one of them"
            raise Refused(msg, hint=f"name them apart in sql of the resource: select a.{double} as …")
        if key not in names:
            msg = f"{self.name} {resource}: no column is called {key!r}; there are {', '.join(names)}"
            raise Refused(msg, hint="correct key of the resource")
        return names

    def _isolation(self, connection: Connection) -> str:
        read_only = self._is_mysql or connection.dialect.name in {"postgresql", "sqlite"}
        level = "repeatable read" if self._is_mysql or connection.dialect.name == "postgresql" else "transaction"
        return f"{level}{' transaction' if level != 'transaction' else ''}{', read only' if read_only else ''}"

    def _query(self, resource: str, keys: Sequence[str] | None = None) -> Select[Any]:
        one = self._of(resource)
        source: TextClause | TableClause = (
            text(_literal(f"({one.sql}\n) as listed")) if one.sql is not None else table(one.table or "", schema=one.schema)
        )
        query: Select[Any] = select(literal_column("*")).select_from(source)
        if keys is None:
            return query
        # As texts: what type the column has, the job's keys do not know.
        key: ColumnElement[Any] = cast(column(one.key), String)
        return query.where((mysql.exact(key) if self._is_mysql else key).in_([bindparam(None, each, type_=String()) for each in keys]))

    @contextmanager
    def _faults(self, resource: str) -> Iterator[None]:
        """The database's own errors in our words; a URL is never quoted."""
        where = f"{self.name} {resource}"
        try:
            yield
        except DBAPIError as error:
            said = self._address.scrub(error.orig)[:200] or type(error.orig).__name__
            # By its class, not by its name: what a driver derives from it (a query cancelled on a standby) passes as well.
            passing = isinstance(error, OperationalError | InterfaceError) and not any(words in said for words in OF_THE_QUERY)
            number = mysql.code(error) if self._is_mysql else None
            if number in mysql.ACCESS:
                hint = "correct user, password or database in url of the provider, or grant its user SELECT"
                raise Refused(f"{where}: the database lets nobody in by this url: {said}", hint=hint) from None
            if number is not None:
                passing = number in mysql.PASSING
            if error.connection_invalidated or passing:
                raise Unreachable(f"{where}: the database gave no whole answer: {said}") from None
            raise Refused(f"{where}: the database refuses the query: {said}", hint="correct table, key or sql of the resource") from None
        except SQLAlchemyError as error:
            raise Refused(f"{where}: {type(error).__name__}: {self._address.scrub(error)[:200]}") from None


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


def _lookup(key: str, names: Sequence[str], rows: Sequence[Any]) -> Lookup:
    """What the rows of one key prove."""
    if len(rows) > 1:
        return Lookup(key=key, status=LookupStatus.UNKNOWN, why=f"{len(rows):,} rows have this key, so none of them is its record")
    items, unread = records(names, rows)
    if unread:
        return Lookup(key=key, status=LookupStatus.UNKNOWN, why=unread[0].why)
    if items:
        return Lookup(key=key, status=LookupStatus.FOUND, item=items[0])
    return Lookup(key=key, status=LookupStatus.NOT_FOUND, why="no row has this key")


def _literal(sql: str) -> str:
    """A query in which no colon names a parameter: `'at 12 :00'` is a text, and nobody gives parameters here."""
    return sql.replace(":", "\\:")
