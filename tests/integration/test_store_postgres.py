"""The PostgreSQL store against a real server: one consistent state, exact values, clear words when it goes wrong."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pytest

from recon.errors import StoreError, StoreMismatch, StoreUnreachable
from recon.job import Sql, Table
from recon.kind import Text
from recon.section import Section
from recon.stores.base import Selection, Store
from recon.stores.factory import open_store
from tests.servers.postgres import PASSWORD, PostgresServer

ROWS = 20_000


def store_of(url: str, **keys: Any) -> Store:
    """The store of a recon.toml that says so."""
    return open_store(Section(name="main", file=Path("recon.toml"), path="stores.main", table={"url": url, **keys}, folder=Path("/")))


def selection(relation: Table | Sql, *columns: str, key_kind: Any = Text(), **expressions: str) -> Selection:
    """A selection of columns by name, and of expressions."""
    chosen: dict[str, tuple[str | None, str | None]] = {name: (name, None) for name in columns}
    chosen.update({name: (None, expression) for name, expression in expressions.items()})
    return Selection(relation=relation, columns=chosen, key_kind=key_kind)


def read(store: Store, chosen: Selection) -> list[dict[str, Any]]:
    """Every row, in the order it came."""
    with store.scan(chosen) as scan:
        return scan.reader.read_all().to_pylist()


@pytest.fixture
def sql(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the application's own."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def orders(sql: psycopg.Connection[Any]) -> Table:
    """A table of enough rows that a read of it takes many batches."""
    sql.execute("CREATE TABLE orders (id bigint PRIMARY KEY, status text, note text)")
    sql.execute("INSERT INTO orders SELECT g, 'paid', repeat('x', 600) FROM generate_series(1, %s) g", [ROWS])
    return Table(name="orders")


def test_reads_one_state_whatever_is_committed_meanwhile(database: str, sql: psycopg.Connection[Any], orders: Table) -> None:
    """Rows inserted, changed and deleted by others in the middle of a read do not show, neither in the rows nor in the duplicates."""
    store = store_of(database, batch_bytes=1 << 16)
    with store.scan(selection(orders, "status", "note")) as scan:
        # Before the first row is asked for, too: the bulk connection reads in the snapshot of the one that described it.
        sql.execute("INSERT INTO orders SELECT g, 'early', '' FROM generate_series(%s::int, %s::int) g", [ROWS + 501, ROWS + 600])
        sql.execute("UPDATE orders SET status = 'early' WHERE id < 10")
        first = scan.reader.read_next_batch()
        assert first.num_rows < ROWS / 10
        sql.execute("INSERT INTO orders SELECT g, 'late', '' FROM generate_series(%s::int, %s::int) g", [ROWS + 1, ROWS + 500])
        sql.execute("UPDATE orders SET status = 'late' WHERE id > %s", [ROWS // 2])
        sql.execute("DELETE FROM orders WHERE id = %s", [ROWS - 1])
        rest = scan.reader.read_all()
        statuses = set(first.column("status").to_pylist()) | set(rest.column("status").to_pylist())
        assert first.num_rows + rest.num_rows == ROWS
        assert statuses == {"paid"}
        assert "REPEATABLE READ READ ONLY" in scan.isolation


def test_counts_duplicates_in_the_same_state(database: str, sql: psycopg.Connection[Any]) -> None:
    """A duplicate committed after the read began is not counted, before and after the rows are drained."""
    sql.execute("CREATE TABLE plain (id text, v int)")
    sql.execute("INSERT INTO plain SELECT 'k' || g / 2, g FROM generate_series(0, 9) g")
    with store_of(database).scan(selection(Table(name="plain"), "v")) as scan:
        sql.execute("INSERT INTO plain VALUES ('k0', 10), ('late', 1), ('late', 2)")
        assert scan.key_unique is False
        before = scan.duplicates(100)
        scan.reader.read_all()
        assert scan.duplicates(100) == before == [(f"k{n}", 2) for n in range(5)]
        assert len(scan.duplicates(2)) == 2


@pytest.mark.parametrize("expression", ["sneak()", "nextval('counter')"])
def test_refuses_to_write(database: str, sql: psycopg.Connection[Any], orders: Table, expression: str) -> None:
    """A statement that would write is refused by the server, and nothing is written."""
    sql.execute("CREATE SEQUENCE counter")
    sql.execute("CREATE FUNCTION sneak() RETURNS int LANGUAGE sql VOLATILE AS 'DELETE FROM orders; SELECT 1'")
    with pytest.raises(StoreMismatch, match="read-only transaction"):
        read(store_of(database), selection(orders, sneaked=expression))
    assert sql.execute("SELECT count(*) FROM orders").fetchone() == (ROWS,)


def test_values_arrive_exactly(database: str, sql: psycopg.Connection[Any]) -> None:
    """Every type arrives with its digits, its order of nesting and without padding."""
    sql.execute("CREATE TYPE mood AS ENUM ('calm', 'cross')")
    sql.execute("CREATE DOMAIN cents AS numeric(24, 4)")
    wanted = {
        "n": ("1.10::numeric", "1.10"),
        "nan": ("'NaN'::numeric", "NaN"),
        "dom": ("'12345678901234567.8900'::cents", "12345678901234567.8900"),
        "big": ("9223372036854775807::bigint", 2**63 - 1),
        "small": ("7::smallint", 7),
        "real4": ("1.1::real", "1.1"),
        "real8": ("0.1::float8", 0.1),
        "js": ("""'{"b": 1.10, "a": 1}'::json""", '{"b": 1.10, "a": 1}'),
        "jb": ("""'{"bb": 1.10, "a": 1}'::jsonb""", '{"a": 1, "bb": 1.10}'),
        "uid": ("'3a0448c5-5ad4-4ce5-9937-67c727944bb5'::uuid", "3a0448c5-5ad4-4ce5-9937-67c727944bb5"),
        "enum": ("'cross'::mood", "cross"),
        "ch": ("'eur'::char(6)", "eur"),
        "ta": ("array['a', 'b,\"c']", '["a","b,\\"c"]'),
        "ia": ("array[1, 2]", "[1,2]"),
        "nested": ("array[array[1, 2], array[3, 4]]", "[[1,2],[3,4]]"),
        "na": ("array[1.50]::numeric[]", "[1.50]"),
        "iv": ("interval '1 day 2 hours'", "P1DT2H"),
        "money": ("12.5::money", "12.50"),
        "inet": ("'127.0.0.1'::inet", "127.0.0.1/32"),
        "bits": ("B'101'", "101"),
        "raw": ("'\\x00ff'::bytea", b"\x00\xff"),
        "yes": ("true", True),
        "nothing": ("null", None),
        "day": ("'2026-11-23'::date", datetime(2026, 11, 23).date()),
        "time": ("'10:11:12.5'::time", "10:11:12.5"),
        "naive": ("'2026-11-23 10:11:12.000001'::timestamp", datetime(2026, 11, 23, 10, 11, 12, 1)),
        "aware": ("'2026-11-23 10:11:12.000001+02'::timestamptz", datetime(2026, 11, 23, 8, 11, 12, 1, tzinfo=UTC)),
    }
    chosen = selection(Sql(text="SELECT 1 AS key"), **{name: expression for name, (expression, _) in wanted.items()})
    with store_of(database).scan(chosen) as scan:
        table = scan.reader.read_all()
    assert table.schema.field("aware").type == pa.timestamp("us", tz="UTC")
    assert table.schema.field("naive").type == pa.timestamp("us")
    row = table.to_pylist()[0]
    assert {name: row[name] for name in wanted} == {name: value for name, (_, value) in wanted.items()}


def test_times_outside_the_calendar_are_no_dates(database: str) -> None:
    """infinity and its like reach the engine as infinity, where the driver alone would give the year -290,000; neighbours are untouched."""
    text = "SELECT * FROM (VALUES (1, 'infinity'::timestamptz, 'infinity'::date), (2, '-infinity', '-infinity'), (3, '2026-01-01Z', '2026-01-01'), (4, '0044-03-15 00:00Z BC', '0044-03-15 BC'), (5, null, null)) v(key, moment, day)"
    with store_of(database).scan(selection(Sql(text=text), "moment", "day")) as scan:
        engine = duckdb.connect()
        engine.execute("SET timezone = 'UTC'")
        engine.register("t", scan.reader)
        rows = engine.execute("SELECT t.moment::varchar, t.day::varchar, epoch_us(t.moment) IS NULL FROM t ORDER BY key").fetchall()
    assert rows[0] == ("infinity", "infinity", True)
    assert rows[1] == ("-infinity", "-infinity", True)
    assert rows[2] == ("2026-01-01 00:00:00+00", "2026-01-01", False)
    assert rows[3] == ("0044-03-15 (BC) 00:00:00+00", "0044-03-15 (BC)", False)
    assert rows[4] == (None, None, True)


@pytest.mark.parametrize(
    "value", ["'; DROP TABLE notes; --", "back\\slash", 'double"quote', "100%", "%(x)s", "$1", ":name", "täglich 🙂", "E'\\n"]
)
def test_parameters_are_values_and_nothing_else(database: str, sql: psycopg.Connection[Any], value: str) -> None:
    """A hostile text in a parameter finds the row that holds it, by a table's condition and by an SQL text."""
    sql.execute("CREATE TABLE notes (id int PRIMARY KEY, body text)")
    sql.execute("INSERT INTO notes VALUES (1, %s), (2, 'other')", [value])
    store = store_of(database)
    by_table = read(store, selection(Table(name="notes", where="body = :body OR body LIKE 'no%such'", params={"body": value}), "body"))
    by_text = read(store, selection(Sql(text="SELECT id AS key, body FROM notes WHERE body = :body;", params={"body": value}), "body"))
    assert by_table == by_text == [{"key": 1, "body": value}]


def test_parameters_take_the_type_of_where_they_stand(database: str, sql: psycopg.Connection[Any]) -> None:
    """A text serves as a timestamp, a number as a numeric, null as null, true as true, without a cast."""
    sql.execute("CREATE TABLE t (id int PRIMARY KEY, at timestamptz, n numeric, ok boolean, gone text)")
    sql.execute("INSERT INTO t VALUES (1, '2026-01-02Z', 1.5, true, null), (2, '2025-01-01Z', 9, false, 'x')")
    where = "at >= :since AND n < :most AND ok = :ok AND gone IS NOT DISTINCT FROM :gone"
    params = {"since": "2026-01-01T00:00:00Z", "most": 2.5, "ok": True, "gone": None}
    assert read(store_of(database), selection(Table(name="t", where=where, params=params), "ok")) == [{"key": 1, "ok": True}]


@pytest.mark.parametrize(
    ("ddl", "key_kind", "unique"),
    [
        ("CREATE TABLE t (id int PRIMARY KEY)", Text(), True),
        ("CREATE TABLE t (id int UNIQUE)", Text(), True),
        ("CREATE TABLE t (id int NOT NULL, other int); CREATE UNIQUE INDEX ON t (id) INCLUDE (other)", Text(), True),
        ("CREATE TABLE t (id text PRIMARY KEY)", Text(case="fold"), False),
        ("CREATE TABLE t (id int NOT NULL)", Text(), False),
        ("CREATE TABLE t (id int, other int, PRIMARY KEY (id, other))", Text(), False),
        ("CREATE TABLE t (id int NOT NULL, live bool); CREATE UNIQUE INDEX ON t (id) WHERE live", Text(), False),
        ("CREATE TABLE t (id text NOT NULL); CREATE UNIQUE INDEX ON t (lower(id))", Text(), False),
        ("CREATE TABLE t (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)", Text(), False),
        ("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE child () INHERITS (t)", Text(), False),
        ("CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE p PARTITION OF t DEFAULT", Text(), True),
        ("CREATE TABLE base (id int PRIMARY KEY); CREATE VIEW t AS SELECT * FROM base", Text(), False),
    ],
)
def test_only_a_real_guarantee_makes_a_key_unique(
    database: str, sql: psycopg.Connection[Any], ddl: str, key_kind: Any, unique: bool
) -> None:
    """The catalogue's word is taken only from an index that excludes every duplicate as the job sees keys."""
    sql.execute(ddl)
    with store_of(database).scan(selection(Table(name="t"), key_kind=key_kind, one="1")) as scan:
        assert scan.key_unique is unique


def test_folded_keys_are_found_and_counted_as_the_job_sees_them(database: str, sql: psycopg.Connection[Any]) -> None:
    """Where the job folds case, ABC answers to abc, and abc beside ABC is a duplicate."""
    sql.execute("CREATE TABLE t (id text PRIMARY KEY, v int)")
    sql.execute("INSERT INTO t VALUES ('ABC', 1), ('abc', 2), (' Def ', 3)")
    chosen = selection(Table(name="t"), "v", key_kind=Text(case="fold", trim=True))
    store = store_of(database)
    with store.scan(chosen) as scan:
        assert scan.duplicates(10) == [("abc", 2)]
    assert sorted(row["v"] for row in store.get_many(chosen, ["def", "abc"]).to_pylist()) == [1, 2, 3]


@pytest.mark.parametrize(
    ("kind", "keys", "asked", "found"),
    [
        ("bigint", ["1", "-5"], ["1", "-5", "01", "x", "", "9" * 40, "1.0"], ["-5", "1"]),
        (
            "uuid",
            ["3a0448c5-5ad4-4ce5-9937-67c727944bb5"],
            ["3a0448c5-5ad4-4ce5-9937-67c727944bb5", "no", "-" * 36],
            ["3a0448c5-5ad4-4ce5-9937-67c727944bb5"],
        ),
        (
            "text",
            ["a", "it's", '{"x"}', "NULL", "", "a,b", "\\"],
            ["a", "it's", '{"x"}', "NULL", "", "a,b", "\\", "z", "nul\0", "\ud800"],
            ["", '{"x"}', "NULL", "\\", "a", "a,b", "it's"],
        ),
        ("char(6)", ["eur"], ["eur", "usd"], ["eur"]),
        ("numeric", ["1.50"], ["1.50", "1.5", "x"], ["1.50"]),
    ],
)
def test_rows_by_key(
    database: str, sql: psycopg.Connection[Any], *, kind: str, keys: list[str], asked: list[str], found: list[str]
) -> None:
    """Exactly the rows of the keys asked for come, whatever else is asked, with the same columns as a scan."""
    sql.execute(f"CREATE TABLE t (id {kind} PRIMARY KEY, v numeric)")  # type: ignore[arg-type]  # A literal of this test.
    with sql.cursor() as cursor:
        cursor.executemany("INSERT INTO t VALUES (%s, 1.10)", [[key] for key in keys])
    chosen = selection(Table(name="t"), "v")
    store = store_of(database)
    table = store.get_many(chosen, asked)
    assert sorted(str(key) for key in table.column("key").to_pylist()) == sorted(found)
    with store.scan(chosen) as scan:
        assert table.schema == scan.reader.schema
        assert scan.reader.read_all().num_rows == len(keys)


def test_many_keys_come_in_several_statements(database: str, orders: Table) -> None:
    """More keys than one statement carries are all answered, once each, repeats and strangers aside."""
    keys = [str(n) for n in range(1, 1300)]
    table = store_of(database).get_many(selection(orders, "status"), [*keys, *keys, "no", "-1"])
    assert sorted(table.column("key").to_pylist()) == list(range(1, 1300))
    assert store_of(database).get_many(selection(orders, "status"), []).num_rows == 0


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (selection(Table(name="ordres"), "status"), ["no table 'ordres'", "did you mean 'orders'"]),
        (selection(Table(name="orders", schema="shop"), "status"), ["no table 'shop.orders'", "'orders'"]),
        (selection(Table(name="orders"), "statsu"), ["table orders", "'statsu'", "field statsu", "did you mean 'status'"]),
        (selection(Table(name="orders", key="reference"), "status"), ["'reference'", "the key", "there are: id, note, status"]),
        (selection(Table(name="orders"), "status", worth="stauts || 'x'"), ["field worth", 'column "stauts" does not exist']),
        (selection(Table(name="orders", where="nope = 1"), "status"), ["table orders", 'column "nope" does not exist']),
        (
            selection(Sql(text="SELECT id AS key, status FROM orders"), "sttus"),
            ["the job's SQL has no column 'sttus'", "field sttus", "'status'"],
        ),
        (selection(Sql(text="SELECT id, status FROM orders"), "status"), ["no column 'key'", "the key"]),
        (selection(Sql(text="SELEC 1"), "status"), ["syntax error"]),
        (selection(Table(name="orders", where="id > :least"), "status"), [":least", "params does not give it"]),
        (selection(Table(name="orders", params={"x": 1}), "status"), ["'x'", "does not use it"]),
    ],
)
def test_a_job_that_does_not_fit_is_told_where(database: str, orders: Table, chosen: Selection, words: list[str]) -> None:
    """A table, column, expression or parameter that is not there: the message names it, what for, and the real ones near it."""
    with pytest.raises(StoreMismatch) as caught:
        read(store_of(database), chosen)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.exit_code == 2
    assert "store main" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((f":{PASSWORD}@", ":wr0ng-password@"), "password authentication failed"),
        (("127.0.0.1:", "127.0.0.1:1/db?host="), "refused"),
        (("/db", "/nosuch"), "does not exist"),
        (("127.0.0.1", "no-such-host.invalid"), "no-such-host.invalid"),
    ],
)
def test_a_store_that_cannot_be_reached_says_so_without_its_password(database: str, change: tuple[str, str], words: str) -> None:
    """Wrong password, refused, no such database, no such host: StoreUnreachable with the address masked."""
    url = database.replace(*change)
    if "/db?host=" in url:
        url = database.rsplit("@", 1)[0] + "@127.0.0.1:1/db"
    store = store_of(url)
    with pytest.raises(StoreUnreachable) as caught:
        read(store, selection(Table(name="t"), "v"))
    said = f"{caught.value} {caught.value.hint} {caught.value!r} {store!r} {caught.value.__cause__!r}"
    assert words in said
    assert "***" in said
    assert PASSWORD not in said
    assert "wr0ng-password" not in said


def _kill_backends(sql: psycopg.Connection[Any]) -> None:
    sql.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nightly-recon'")


@pytest.mark.parametrize("way", ["terminated", "restarted"])
def test_a_server_that_goes_away_mid_read_never_looks_like_an_end(
    postgres: PostgresServer, database: str, sql: psycopg.Connection[Any], orders: Table, way: str
) -> None:
    """The backend ended or the server restarted in the middle: StoreUnreachable, through the engine that was reading too."""
    store = store_of(database, batch_bytes=1 << 16)
    sql.execute("INSERT INTO orders SELECT g, 'paid', repeat('x', 2000) FROM generate_series(%s::int, %s::int) g", [ROWS + 1, ROWS * 2])

    def broken() -> None:
        with store.scan(selection(orders, "status", "note")) as scan:
            assert scan.reader.read_next_batch().num_rows > 0
            _kill_backends(sql) if way == "terminated" else postgres.restart()
            engine = duckdb.connect()
            engine.register("rows", scan.reader)
            engine.execute("SELECT count(*) FROM rows").fetchall()
            pytest.fail("a broken read looked whole")

    with pytest.raises(StoreUnreachable, match="went away during the read of table orders"):
        broken()


def test_a_fault_that_the_engine_swallowed_still_leaves_the_scan(database: str, sql: psycopg.Connection[Any], orders: Table) -> None:
    """Whoever reads and loses the error meets it again at the end of the scan."""
    sql.execute("INSERT INTO orders SELECT g, 'paid', repeat('x', 2000) FROM generate_series(%s::int, %s::int) g", [ROWS + 1, ROWS * 2])

    def swallow() -> None:
        with store_of(database, batch_bytes=1 << 16).scan(selection(orders, "note")) as scan:
            scan.reader.read_next_batch()
            _kill_backends(sql)
            try:
                scan.reader.read_all()
            except Exception:
                return

    with pytest.raises(StoreUnreachable):
        swallow()


def test_a_bad_value_met_in_the_middle_is_a_mismatch(database: str, orders: Table) -> None:
    """A division by zero in row 15,000 is the statement's fault, not the server's."""
    with pytest.raises(StoreMismatch, match="division by zero"):
        read(store_of(database, batch_bytes=1 << 16), selection(orders, "note", odd="1 / (id - 15000)"))


def test_a_read_does_not_outlast_its_timeouts(database: str, sql: psycopg.Connection[Any], orders: Table) -> None:
    """A statement that takes too long, and a lock that is not let go, end as StoreUnreachable with the setting to raise."""
    with pytest.raises(StoreUnreachable, match="statement timeout") as slow:
        read(store_of(database, statement_timeout="200ms"), selection(Table(name="orders", where="id < 3"), nap="pg_sleep(5)::text"))
    assert "statement_timeout" in (slow.value.hint or "")
    with sql.transaction():
        sql.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnreachable, match="lock") as locked:
            read(store_of(database, lock_timeout="100ms"), selection(orders, "status"))
    assert "lock_timeout" in (locked.value.hint or "")


def test_rows_hidden_by_a_policy_are_refused_not_missed(
    postgres: PostgresServer, database: str, sql: psycopg.Connection[Any], orders: Table
) -> None:
    """Row-level security that would hide rows stops the read; with row_security = true the visible ones come."""
    sql.execute("DROP ROLE IF EXISTS tenant")
    sql.execute("CREATE ROLE tenant LOGIN PASSWORD 'tenant-secret'")
    try:
        sql.execute("GRANT SELECT ON orders TO tenant")
        sql.execute("ALTER TABLE orders ENABLE ROW LEVEL SECURITY")
        sql.execute("CREATE POLICY few ON orders USING (id < 4)")
        url = postgres.url(database.rpartition("/")[2], user="tenant", password="tenant-secret")
        with pytest.raises(StoreMismatch, match="row-level security") as caught:
            read(store_of(url), selection(orders, "status"))
        assert "BYPASSRLS" in (caught.value.hint or "")
        assert len(read(store_of(url, row_security=True), selection(orders, "status"))) == 3
    finally:
        sql.execute("DROP OWNED BY tenant")
        sql.execute("DROP ROLE tenant")


def test_health_knows_who_may_write(postgres: PostgresServer, database: str, sql: psycopg.Connection[Any], orders: Table) -> None:
    """The owner may write, a reader may not, a stranger reads nothing; version, user and clock are the server's."""
    sql.execute("DROP ROLE IF EXISTS reader")
    sql.execute("CREATE ROLE reader LOGIN PASSWORD 'reader-secret'")
    try:
        url = postgres.url(database.rpartition("/")[2], user="reader", password="reader-secret")
        stranger = store_of(url).health(selection(orders, "status"))
        assert (stranger.readable_columns, stranger.writable) == (False, None)
        assert "permission denied" in stranger.detail
        sql.execute("GRANT SELECT ON orders TO reader")
        reader = store_of(url).health(selection(orders, "status"))
        assert (reader.readable_columns, reader.writable, reader.user) == (True, False, "reader")
        sql.execute("GRANT UPDATE (note) ON orders TO reader")
        assert store_of(url).health(selection(orders, "status")).writable is True
    finally:
        sql.execute("DROP OWNED BY reader")
        sql.execute("DROP ROLE reader")
    owner = store_of(database).health(selection(orders, "status"))
    assert owner.writable is True
    assert owner.server.startswith("PostgreSQL 1")
    assert abs(owner.now - datetime.now(UTC)) < timedelta(minutes=1)
    missing = store_of(database).health(selection(orders, "statsu"))
    assert missing.readable_columns is False
    assert "'status'" in missing.detail


def test_what_is_shown_is_what_runs(database: str, sql: psycopg.Connection[Any], orders: Table) -> None:
    """The statement of --show-sql is the one the server executes, and parameters stand beside it."""
    store = store_of(database, batch_bytes=1 << 16)
    chosen = selection(orders, "status", "note", odd="id % 2 = 1")
    shown = store.statements(chosen)
    with store.scan(chosen) as scan:
        scan.reader.read_next_batch()
        running = sql.execute(
            "SELECT query FROM pg_stat_activity WHERE application_name = 'nightly-recon' AND query LIKE 'COPY%'"
        ).fetchone()
        assert running is not None
    copied = running[0].removeprefix("COPY (").partition(") TO STDOUT")[0]
    assert any(" ".join(copied.split()) in " ".join(text.split()) for text in shown)
    with_params = "\n".join(store.statements(selection(Table(name="orders", where="id > :least", params={"least": 5}), "status")))
    assert "%(least)s" in with_params
    assert "-- least = 5" in with_params
    assert PASSWORD not in with_params


def test_names_are_quoted(database: str, sql: psycopg.Connection[Any]) -> None:
    """Capitals, blanks, quotes and reserved words in names reach the right schema, table and columns."""
    sql.execute('CREATE SCHEMA "My Shop"; CREATE TABLE "My Shop"."Order" ("Id" int PRIMARY KEY, "select" text, "a""b" text)')
    sql.execute("INSERT INTO \"My Shop\".\"Order\" VALUES (1, 'x', 'y')")
    chosen = Selection(relation=Table(name="Order", schema="My Shop", key="Id"), columns={"s": ("select", None), "q": ('a"b', None)})
    assert read(store_of(database), chosen) == [{"key": 1, "s": "x", "q": "y"}]


@pytest.mark.parametrize("scheme", ["postgres://", "postgresql+psycopg://", "postgresql+psycopg2://", "postgresql+asyncpg://"])
def test_any_spelling_of_the_scheme_serves(database: str, orders: Table, scheme: str) -> None:
    """The URL an application has for its own driver serves as it is."""
    store = store_of(database.replace("postgresql://", scheme))
    assert store.get_many(selection(orders, "status"), ["7"]).to_pylist() == [{"key": 7, "status": "paid"}]


MEMORY = """
import resource, sys
from tests.integration.test_store_postgres import selection, store_of
from recon.job import Table
store = store_of(sys.argv[1])
store.get_many(selection(Table(name="wide"), "body"), ["1"])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with store.scan(selection(Table(name="wide"), "body")) as scan:
    rows = sum(batch.num_rows for batch in scan.reader)
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_stays_flat(database: str, sql: psycopg.Connection[Any]) -> None:
    """A read of 240 MB raises the process's peak by a few batches, not by the table."""
    sql.execute("CREATE UNLOGGED TABLE wide (id int PRIMARY KEY, body text)")
    sql.execute("INSERT INTO wide SELECT g, repeat('y', 1200) FROM generate_series(1, 200000) g")
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, database], capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    rows, kilobytes = map(int, done.stdout.split())
    assert rows == 200_000
    assert kilobytes < 64 * 1024, f"the peak rose by {kilobytes / 1024:.0f} MB"


def test_every_error_is_a_leaf(database: str, orders: Table) -> None:
    """Whatever a driver raises leaves as one of ours."""
    for chosen in (
        selection(orders, "nope"),
        selection(Sql(text="("), "x"),
        selection(Sql(text="SELECT 1 AS key) TO STDOUT; DROP TABLE orders; --"), odd="1"),
    ):
        with pytest.raises(StoreError):
            read(store_of(database), chosen)
    assert store_of(database).get_many(selection(orders, "status"), ["1"]).num_rows == 1
