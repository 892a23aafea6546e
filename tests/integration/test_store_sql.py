"""The general store, through SQLAlchemy alone, on two real databases: the same answers as their bulk stores, value by value."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pyarrow as pa
import pytest
from sqlalchemy import types

from recon.errors import StoreMismatch, StoreUnreachable
from recon.job import Sql, Table
from recon.kind import Text
from recon.section import Section
from recon.stores.base import Selection, Store
from recon.stores.factory import open_store
from recon.stores.rows import column_for, text_of
from recon.stores.sql import SqlStore
from tests.servers.postgres import PASSWORD


def store_of(url: str, **keys: Any) -> Store:
    """The general store of a recon.toml that asks for it."""
    section = Section(name="main", file=Path("recon.toml"), path="stores.main", table={"url": url, "bulk": False, **keys}, folder=Path("/"))
    store = open_store(section)
    assert isinstance(store, SqlStore)
    return store


def selection(relation: Table | Sql, *columns: str, key_kind: Any = Text(), **expressions: str) -> Selection:
    """A selection of columns by name, and of expressions."""
    chosen: dict[str, tuple[str | None, str | None]] = {name: (name, None) for name in columns}
    chosen.update({name: (None, expression) for name, expression in expressions.items()})
    return Selection(relation=relation, columns=chosen, key_kind=key_kind)


def run(url: str, *statements: str) -> None:
    """Statements of the application's own."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
            for statement in statements:
                connection.execute(statement)
    else:
        with psycopg.connect(url) as connection:
            for statement in statements:
                connection.execute(statement.encode())


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of either kind with a table of orders."""
    if request.param == "sqlite":
        found = f"sqlite:///{tmp_path}/shop.db"
        run(found, "PRAGMA journal_mode = WAL")
    else:
        found = request.getfixturevalue("database")
    run(
        found,
        "CREATE TABLE orders (id integer PRIMARY KEY, status text, amount integer)",
        "INSERT INTO orders VALUES (1, 'paid', 10), (2, NULL, 20), (3, 'open', NULL)",
    )
    return found


def test_reads_what_is_there(url: str) -> None:
    """Rows by table and by SQL text with a parameter; the isolation is told; the key is never taken for unique without a look."""
    store = store_of(url)
    with store.scan(
        selection(
            Table(name="orders", where="amount > :least OR amount IS NULL", params={"least": 5}), "status", "amount", twice="amount * 2"
        )
    ) as scan:
        rows = sorted(scan.reader.read_all().to_pylist(), key=lambda row: str(row["key"]))
        assert scan.key_unique is False
        assert scan.duplicates(5) == []
        assert "READ ONLY" in scan.isolation
        assert abs((scan.taken_at - datetime.now(UTC)).total_seconds()) < 60
    assert [(str(row["key"]), row["status"], row["twice"]) for row in rows] == [("1", "paid", "20"), ("2", None, "40"), ("3", "open", None)]
    assert [None if row["amount"] is None else int(row["amount"]) for row in rows] == [10, 20, None]
    text = Sql(text="SELECT id AS key, status FROM orders WHERE status = :status", params={"status": "paid"})
    with store.scan(selection(text, "status")) as scan:
        assert scan.reader.read_all().to_pylist() == [{"key": "1", "status": "paid"}]
    store.close()


def test_finds_rows_by_key(url: str) -> None:
    """Keys asked for as text find integer keys; strangers find nothing; folded keys find what the job sees."""
    store = store_of(url)
    table = store.get_many(selection(Table(name="orders"), "amount"), ["1", "3", "x", "nul\0", "01"])
    assert sorted(str(key) for key in table.column("key").to_pylist()) == ["1", "3"]
    assert store.get_many(selection(Table(name="orders"), "amount"), ["x"]).num_rows == 0
    by_status = selection(Table(name="orders", key="status"), "amount", key_kind=Text(case="fold"))
    run(url, "UPDATE orders SET status = 'PAID' WHERE id = 1")
    assert store.get_many(by_status, ["paid"]).num_rows == 1


def test_reads_one_state_whatever_is_committed_meanwhile(url: str) -> None:
    """Rows committed in the middle of a read are not seen, neither in the rows nor in the duplicates."""
    run(url, "CREATE TABLE many (id integer, v text)")
    series = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i, 'old' FROM n"
    run(url, f"INSERT INTO many {series}")
    with store_of(url, batch_rows=100).scan(selection(Table(name="many"), "v")) as scan:
        assert scan.reader.read_next_batch().num_rows == 100
        run(url, "INSERT INTO many VALUES (1, 'new')", "UPDATE many SET v = 'new' WHERE id > 4000")
        rest = scan.reader.read_all()
        assert rest.num_rows == 4900
        assert set(rest.column("v").to_pylist()) == {"old"}
        assert scan.duplicates(5) == []


def test_counts_duplicates(url: str) -> None:
    """Keys that come twice are counted, before the first row is pulled as well."""
    run(
        url, "CREATE TABLE loose (id text, v text)", "INSERT INTO loose VALUES ('a', '1'), ('a', '2'), ('b', '3'), (NULL, '4'), (NULL, '5')"
    )
    with store_of(url).scan(selection(Table(name="loose"), "v")) as scan:
        assert scan.duplicates(5) == [("a", 2)]
        assert scan.reader.read_all().num_rows == 5


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (selection(Table(name="ordres"), "status"), ["no table 'ordres'", "'orders'"]),
        (selection(Table(name="orders"), "statsu"), ["'statsu'", "field statsu", "'status'"]),
        (selection(Sql(text="SELECT id AS key FROM orders"), "status"), ["the job's SQL", "'status'"]),
        (selection(Table(name="orders"), odd="nofunction(amount)"), ["nofunction"]),
        (selection(Sql(text="SELEC 1"), "status"), ["syntax error"]),
    ],
)
def test_a_job_that_does_not_fit_is_told_where(url: str, chosen: Selection, words: list[str]) -> None:
    """A table, column or function that is not there: StoreMismatch with the name and what is near it."""
    with pytest.raises(StoreMismatch) as caught, store_of(url).scan(chosen) as scan:
        scan.reader.read_all()
    for word in words:
        assert word in str(caught.value)
    health = store_of(url).health(chosen)
    assert health.readable_columns is False
    assert health.detail


def test_refuses_to_write(url: str) -> None:
    """The transaction is read-only: the store's own connection cannot change a row."""
    store = store_of(url)
    assert isinstance(store, SqlStore)
    with store._transaction(None) as (connection, _), pytest.raises(Exception, match=r"read-?only"):
        connection.exec_driver_sql("DELETE FROM orders")
    assert store.health(selection(Table(name="orders"), "status")).readable_columns is True


def test_values_of_every_type_on_postgresql(database: str) -> None:
    """Declared types arrive typed, all others as exact text; JSON keeps the digits the server writes."""
    run(
        database,
        "CREATE TABLE t (id uuid PRIMARY KEY, n numeric, r float8, ok bool, at timestamptz, naive timestamp, day date, raw bytea, js jsonb, tags text[], big bigint)",
        "INSERT INTO t VALUES ('3a0448c5-5ad4-4ce5-9937-67c727944bb5', 1.10, 0.1, true, '2026-11-23 10:00+02', '2026-11-23 10:00', '2026-11-23', '\\x00ff', '{\"a\": 1.10}', '{a,b}', 9223372036854775807)",
    )
    columns = ("n", "r", "ok", "at", "naive", "day", "raw", "js", "tags", "big")
    with store_of(database).scan(selection(Table(name="t"), *columns)) as scan:
        table = scan.reader.read_all()
    assert table.schema.field("at").type == pa.timestamp("us", tz="UTC")
    assert table.to_pylist() == [
        {
            "key": "3a0448c5-5ad4-4ce5-9937-67c727944bb5",
            "n": "1.10",
            "r": 0.1,
            "ok": True,
            "at": datetime(2026, 11, 23, 8, tzinfo=UTC),
            "naive": datetime(2026, 11, 23, 10),
            "day": date(2026, 11, 23),
            "raw": b"\x00\xff",
            "js": '{"a": 1.10}',
            "tags": '["a", "b"]',
            "big": 2**63 - 1,
        }
    ]
    assert store_of(database).get_many(selection(Table(name="t"), "n"), ["3a0448c5-5ad4-4ce5-9937-67c727944bb5"]).num_rows == 1
    with store_of(database).scan(selection(Sql(text="SELECT 1 AS key, '{\"a\": 1.10}'::json AS js"), "js")) as scan:
        assert scan.reader.read_all().to_pylist() == [{"key": "1", "js": '{"a": 1.10}'}]


def test_mixed_values_cannot_break_a_read_of_sqlite(tmp_path: Path) -> None:
    """Every value of SQLite comes as its own text, whatever the column was declared as."""
    url = f"sqlite:///{tmp_path}/mix.db"
    run(
        url,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER)",
        "INSERT INTO t VALUES (1, 5), (2, 'five'), (3, 0.1), (4, x'00ff'), (5, NULL)",
    )
    with store_of(url).scan(selection(Table(name="t"), "v")) as scan:
        assert [row["v"] for row in scan.reader.read_all().to_pylist()] == ["5", "five", "0.1", "\\x00ff", None]


def test_a_server_that_goes_away_mid_read_never_looks_like_an_end(database: str) -> None:
    """The backend is ended in the middle: StoreUnreachable."""
    run(database, "CREATE TABLE t AS SELECT g AS id, repeat('x', 1000) AS v FROM generate_series(1, 20000) g")

    def broken() -> None:
        with store_of(database, batch_rows=100).scan(selection(Table(name="t"), "v")) as scan:
            scan.reader.read_next_batch()
            with psycopg.connect(database, autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
                )
            scan.reader.read_all()

    with pytest.raises(StoreUnreachable):
        broken()


def test_no_connection_names_no_password(database: str) -> None:
    """A wrong password: StoreUnreachable with the address masked."""
    store = store_of(database.replace(PASSWORD, "wr0ng-password"))
    with pytest.raises(StoreUnreachable) as caught, store.scan(selection(Table(name="t"), "v")):
        pass
    said = f"{caught.value} {caught.value.hint} {caught.value!r} {store!r}"
    assert "wr0ng-password" not in said
    assert "***" in said


def test_what_is_shown_has_its_parameters_beside_it(url: str) -> None:
    """Statements for --show-sql name the isolation and each parameter."""
    shown = "\n".join(store_of(url).statements(selection(Table(name="orders", where="id > :least", params={"least": 5}), "status")))
    assert "-- least = 5" in shown
    assert "READ ONLY" in shown
    assert PASSWORD not in shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1.10"), "1.10"),
        (Decimal("1E+3"), "1000"),
        (Decimal("NaN"), "NaN"),
        (0.1 + 0.2, "0.30000000000000004"),
        (True, "true"),
        (5, "5"),
        (datetime(2026, 11, 23, 10, tzinfo=UTC), "2026-11-23T10:00:00+00:00"),
        (date(2026, 11, 23), "2026-11-23"),
        (b"\x00\xff", "\\x00ff"),
        (memoryview(b"a"), "\\x61"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        ([1, Decimal("1.10"), None], '[1, "1.10", null]'),
        ({"a": date(2026, 1, 1)}, '{"a": "2026-01-01"}'),
        ({"b", "a"}, '["a", "b"]'),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_any_value_has_an_exact_text(value: Any, text: str) -> None:
    """What has no declared type is written so that nothing is lost."""
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("declared", "dialect", "arrow"),
    [
        (types.BigInteger(), "mssql", pa.int64()),
        (types.Numeric(), "mssql", pa.string()),
        (types.DateTime(), "mssql", pa.timestamp("us")),
        (types.DateTime(), "mysql", pa.string()),
        (types.Date(), "mysql", pa.string()),
        (types.Integer(), "sqlite", pa.string()),
        (types.Boolean(), "mysql", pa.bool_()),
        (None, "oracle", pa.string()),
    ],
)
def test_types_that_a_dialect_does_not_keep_to_come_as_text(declared: Any, dialect: str, arrow: Any) -> None:
    """MySQL's 0000-00-00 and SQLite's anything are read as text; a strict dialect's types as they are."""
    assert column_for(declared, dialect).arrow == arrow
