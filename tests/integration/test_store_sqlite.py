"""The SQLite store: values of any type in any column, one read transaction, never a write."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from recon.errors import BadSetting, StoreMismatch, StoreUnreachable
from recon.job import Sql, Table
from recon.kind import Text
from recon.section import Section
from recon.stores.base import Selection, Store
from recon.stores.factory import open_store


def store_of(path: Path, **keys: Any) -> Store:
    """The store of a recon.toml beside the file."""
    table = {"url": f"sqlite:///{path.name}", **keys}
    return open_store(Section(name="main", file=path.parent / "recon.toml", path="stores.main", table=table, folder=path.parent))


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
def path(tmp_path: Path) -> Path:
    """A place for a database, with characters in its name that a URL could stumble on."""
    return tmp_path / "my shop #1.db"


@pytest.fixture
def sql(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of the application's own, in WAL mode."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        yield connection


def fill(sql: sqlite3.Connection, statement: str, rows: Iterable[Any]) -> None:
    """Many rows in one transaction."""
    sql.execute("BEGIN")
    sql.executemany(statement, rows)
    sql.execute("COMMIT")


def test_columns_of_one_class_come_as_that_class(path: Path, sql: sqlite3.Connection) -> None:
    """Integers, reals, texts and blobs arrive natively, big integers and NUL bytes whole, null as null."""
    sql.execute("CREATE TABLE t (id TEXT PRIMARY KEY, i INTEGER, r REAL, t TEXT, b BLOB, gone TEXT)")
    rows = [
        ("a", 2**63 - 1, 0.1 + 0.2, "nul\0inside", b"\x00\xff", None),
        ("b", -(2**63), 1e300, "täglich 🙂", b"", None),
        ("c", None, None, None, None, None),
    ]
    fill(sql, "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", rows)
    with store_of(path).scan(selection(Table(name="t"), "i", "r", "t", "b", "gone")) as scan:
        table = scan.reader.read_all()
        assert scan.key_unique
    assert [tuple(row.values()) for row in table.to_pylist()] == rows
    assert table.schema.types == [pa.string(), pa.int64(), pa.float64(), pa.string(), pa.binary(), pa.string()]


def test_a_stray_value_arrives_as_its_own_text(path: Path, sql: sqlite3.Connection) -> None:
    """A text, real or blob in row 5,000 of an integer column makes the column text: nothing fails, no digit is lost."""
    sql.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, amount INTEGER)")
    fill(sql, "INSERT INTO t VALUES (?, ?)", ((n, n * 10) for n in range(5000)))
    strays = [(5000, "12,50"), (5001, 0.1 + 0.2), (5002, b"\x00\xff"), (5003, 2**62 + 1), (5004, None), (5005, 2.5), (5006, 1e23)]
    fill(sql, "INSERT INTO t VALUES (?, ?)", strays)
    rows = {row["key"]: row["amount"] for row in read(store_of(path), selection(Table(name="t"), "amount"))}
    assert rows[7] == "70"
    assert [rows[n] for n, _ in strays] == ["12,50", "0.30000000000000004", "X'00FF'", "4611686018427387905", None, "2.5", "1.0e+23"]
    assert float("1.0e+23") == 1e23


def test_nulls_first_do_not_settle_the_type(path: Path, sql: sqlite3.Connection) -> None:
    """A column that is null for 30,000 rows and text after them is a text column."""
    sql.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, late)")
    fill(sql, "INSERT INTO t VALUES (?, ?)", ((n, None if n < 30_000 else "text") for n in range(30_010)))
    rows = read(store_of(path), selection(Table(name="t"), "late"))
    assert [row["late"] for row in rows[-10:]] == ["text"] * 10
    assert len(rows) == 30_010


VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8"), max_size=6),
    st.binary(max_size=4),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VALUES, max_size=8))
@example([0, 1.7976931348623025e308, -1.7976931348623157e308, 5e-324, 0.1 + 0.2])
def test_any_mix_of_values_is_read_without_loss(tmp_path: Path, values: list[Any]) -> None:
    """Whatever SQLite holds comes back: by class where there is one, else as a text from which the value can be had again."""
    path = tmp_path / "mix.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE IF EXISTS t")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
        connection.executemany("INSERT INTO t (v) VALUES (?)", [[value] for value in values])
    rows = read(store_of(path), selection(Table(name="t"), "v"))
    classes = {type(value) for value in values if value is not None}
    for row, value in zip(rows, values, strict=True):
        if value is None or len(classes) == 1:
            assert row["v"] == value
        elif isinstance(value, float):
            assert float(row["v"].replace("Inf", "inf")) == value
        elif isinstance(value, bytes):
            assert row["v"] == f"X'{value.hex().upper()}'"
        else:
            assert row["v"] == str(value)


def test_text_that_is_no_utf8_does_not_break_the_read(path: Path, sql: sqlite3.Connection) -> None:
    """Bytes that are no text, stored as text, arrive visibly escaped; Arrow's own check passes."""
    sql.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    sql.execute("INSERT INTO t VALUES (1, CAST(x'ff41' AS TEXT)), (2, 'fine')")
    with store_of(path).scan(selection(Table(name="t"), "v")) as scan:
        table = scan.reader.read_all()
    table.validate(full=True)
    assert table.column("v").to_pylist() == ["\\xffA", "fine"]


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_reads_one_state_whatever_is_committed_meanwhile(path: Path, sql: sqlite3.Connection, mode: str) -> None:
    """A writer's commit in the middle of a read is not seen (WAL), or waits for the read to end (rollback journal)."""
    sql.execute(f"PRAGMA journal_mode = {mode}")
    sql.execute("CREATE TABLE t (id INTEGER, v TEXT)")
    fill(sql, "INSERT INTO t VALUES (?, 'old')", ([n] for n in range(20_000)))
    sql.execute("PRAGMA busy_timeout = 50")
    with store_of(path, batch_rows=1000).scan(selection(Table(name="t"), "v")) as scan:
        assert scan.reader.read_next_batch().num_rows < 2000
        if mode == "WAL":
            sql.execute("UPDATE t SET v = 'new'")
            sql.execute("INSERT INTO t VALUES (1, 'new')")
        else:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                sql.execute("UPDATE t SET v = 'new'")
        assert set(scan.reader.read_all().column("v").to_pylist()) == {"old"}
        assert scan.duplicates(10) == []
    assert sql.execute("UPDATE t SET v = 'after'").rowcount >= 20_000


def test_the_callers_own_errors_stay_its_own(path: Path, sql: sqlite3.Connection) -> None:
    """An error of the engine, or of the caller's own database, inside a scan leaves as it is."""
    sql.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    with pytest.raises(sqlite3.OperationalError, match="of the caller"), store_of(path).scan(selection(Table(name="t"))):
        raise sqlite3.OperationalError("of the caller")


def test_refuses_to_write(path: Path, sql: sqlite3.Connection) -> None:
    """The connection cannot write, and a file that is not there is not made."""
    sql.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    store = store_of(path)
    assert "read-only" in _isolation(store)
    from recon.stores.sqlite import SqliteStore

    assert isinstance(store, SqliteStore)
    with store._connected(None) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("INSERT INTO t VALUES (1)")
    absent = path.with_name("absent.db")
    with pytest.raises(StoreUnreachable, match=r"absent\.db"):
        read(store_of(absent), selection(Table(name="t")))
    assert not absent.exists()


def _isolation(store: Store) -> str:
    with store.scan(selection(Table(name="t"))) as scan:
        return scan.isolation


@pytest.mark.parametrize(
    ("ddl", "key_kind", "unique"),
    [
        ("CREATE TABLE t (id INTEGER PRIMARY KEY)", Text(), True),
        ("CREATE TABLE t (ID TEXT PRIMARY KEY)", Text(), True),
        ("CREATE TABLE t (id TEXT UNIQUE)", Text(), True),
        ("CREATE TABLE t (id TEXT PRIMARY KEY) WITHOUT ROWID", Text(), True),
        ("CREATE TABLE t (id TEXT PRIMARY KEY)", Text(trim=True), False),
        ("CREATE TABLE t (id TEXT)", Text(), False),
        ("CREATE TABLE t (id TEXT, other TEXT, PRIMARY KEY (id, other))", Text(), False),
        ("CREATE TABLE t (id TEXT, other TEXT); CREATE UNIQUE INDEX u ON t (id) WHERE other IS NOT NULL", Text(), False),
        ("CREATE TABLE t (id TEXT); CREATE UNIQUE INDEX u ON t (lower(id))", Text(), False),
        ("CREATE TABLE b (id TEXT PRIMARY KEY); CREATE VIEW t AS SELECT * FROM b", Text(), False),
    ],
)
def test_only_a_real_guarantee_makes_a_key_unique(path: Path, sql: sqlite3.Connection, ddl: str, key_kind: Any, unique: bool) -> None:
    """The schema's word is taken only from an index that excludes every duplicate as the job sees keys."""
    sql.executescript(ddl)
    with store_of(path).scan(selection(Table(name="t"), key_kind=key_kind, one="1")) as scan:
        assert scan.key_unique is unique


def test_five_and_the_text_five_are_one_key(path: Path, sql: sqlite3.Connection) -> None:
    """A unique column without a type may hold 5 and '5'; they are counted as a duplicate, and both are found by key."""
    sql.execute("CREATE TABLE t (id UNIQUE, v TEXT)")
    fill(sql, "INSERT INTO t VALUES (?, ?)", [(5, "number"), ("5", "text"), (2.5, "real"), ("x", "word"), (None, "null"), (None, "null")])
    store, chosen = store_of(path), selection(Table(name="t"), "v")
    with store.scan(chosen) as scan:
        assert scan.key_unique is False
        assert scan.duplicates(10) == [("5", 2)]
    found = store.get_many(chosen, ["5", "2.5", "x", "05", "nul\0", "\ud800"]).to_pylist()
    assert sorted((row["key"], row["v"]) for row in found) == [("2.5", "real"), ("5", "number"), ("5", "text"), ("x", "word")]


def test_rows_by_key(path: Path, sql: sqlite3.Connection) -> None:
    """More keys than one statement carries are answered once each; strangers and hostile ones find nothing."""
    sql.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    fill(sql, "INSERT INTO t VALUES (?, 'v')", ([n] for n in range(2000)))
    store, chosen = store_of(path), selection(Table(name="t"), "v")
    table = store.get_many(chosen, [str(n) for n in range(1300)] * 2 + ["x", "'; DROP TABLE t; --", "9" * 30])
    assert sorted(table.column("key").to_pylist()) == list(range(1300))
    assert store.get_many(chosen, []).num_rows == 0
    folded = selection(Table(name="t"), "v", key_kind=Text(case="fold"))
    assert store.get_many(folded, ["7"]).num_rows == 1


def test_parameters_are_values_and_nothing_else(path: Path, sql: sqlite3.Connection) -> None:
    """A hostile text in a parameter, used twice, finds the row that holds it."""
    value = "'; DROP TABLE t; -- %s ? :x"
    sql.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    sql.execute("INSERT INTO t VALUES (1, ?), (2, 'other')", [value])
    by_table = selection(Table(name="t", where="v = :v OR v || 'x' = :v -- or", params={"v": value}), "v")
    by_text = selection(Sql(text="SELECT id AS key, v FROM t WHERE v = :v; ", params={"v": value}), "v")
    assert read(store_of(path), by_table) == read(store_of(path), by_text) == [{"key": 1, "v": value}]


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (selection(Table(name="ordres"), "status"), ["no table 'ordres'", "did you mean 'orders'"]),
        (selection(Table(name="orders"), "statsu"), ["table orders", "'statsu'", "field statsu", "'status'"]),
        (selection(Table(name="orders", key="reference"), "status"), ["'reference'", "the key", "there are: id, status"]),
        (selection(Table(name="orders"), "status", worth="stauts || 'x'"), ["field worth", "no such column: stauts"]),
        (selection(Table(name="orders", where="nope = 1"), "status"), ["no such column: nope"]),
        (selection(Sql(text="SELECT id AS key, status FROM orders"), "sttus"), ["the job's SQL", "'sttus'", "field sttus", "'status'"]),
        (selection(Sql(text="SELEC 1"), "status"), ["syntax error"]),
        (selection(Table(name="orders", where="id > :least"), "status"), [":least", "params does not give it"]),
    ],
)
def test_a_job_that_does_not_fit_is_told_where(path: Path, sql: sqlite3.Connection, chosen: Selection, words: list[str]) -> None:
    """A table, column, expression or parameter that is not there: the message names it, what for, and the real ones near it."""
    sql.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT)")
    with pytest.raises(StoreMismatch) as caught:
        read(store_of(path), chosen)
    for word in words:
        assert word in str(caught.value)


def test_a_quoted_name_that_is_no_column_is_not_read_as_its_own_text(path: Path, sql: sqlite3.Connection) -> None:
    """SQLite takes "Nope" for the text Nope where there is no such column; the store does not."""
    sql.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    with pytest.raises(StoreMismatch, match="'Nope'"):
        read(store_of(path), selection(Table(name="t"), "Nope"))


def test_a_file_cut_short_mid_read_never_looks_like_an_end(path: Path, sql: sqlite3.Connection) -> None:
    """The database file loses its second half during a read: StoreUnreachable, not fewer rows."""
    sql.execute("PRAGMA journal_mode = DELETE")
    sql.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    fill(sql, "INSERT INTO t VALUES (?, ?)", ((n, "x" * 500) for n in range(40_000)))

    def broken() -> int:
        with store_of(path, batch_rows=500).scan(selection(Table(name="t"), "v")) as scan:
            rows = scan.reader.read_next_batch().num_rows
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size // 2)
            return rows + scan.reader.read_all().num_rows

    with pytest.raises(StoreUnreachable, match="could not be read"):
        broken()


def test_a_file_that_is_no_database_is_told_so(path: Path) -> None:
    """A text file under the name: told as such, exit code 2."""
    path.write_text("this is no database, though it is long enough to be looked at " * 50)
    with pytest.raises(StoreMismatch, match="is not a SQLite database"):
        read(store_of(path), selection(Table(name="t")))


def test_a_locked_database_is_unreachable(path: Path, sql: sqlite3.Connection) -> None:
    """A writer that holds the lock for longer than busy_timeout: try again, with the way out."""
    sql.execute("PRAGMA journal_mode = DELETE")
    sql.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    sql.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnreachable, match="locked") as caught:
        read(store_of(path, busy_timeout="50ms"), selection(Table(name="t")))
    assert "WAL" in (caught.value.hint or "")


def test_a_memory_database_is_no_store(path: Path) -> None:
    """sqlite:// and :memory: hold nothing for another process."""
    for url in ("sqlite://", "sqlite:///:memory:"):
        with pytest.raises(BadSetting, match="names no SQLite file"):
            open_store(Section(name="main", file=Path("recon.toml"), path="stores.main", table={"url": url}, folder=path.parent))


def test_health_tells_version_clock_and_rights(path: Path, sql: sqlite3.Connection) -> None:
    """The version, the clock, whether the file can be written, and what is wrong with the selection."""
    sql.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    health = store_of(path).health(selection(Table(name="t"), "v"))
    assert health.server.startswith("SQLite 3.")
    assert (health.writable, health.readable_columns, health.detail) == (True, True, "")
    assert abs(health.now - datetime.now(UTC)) < timedelta(minutes=1)
    assert "did you mean 'v'" not in store_of(path).health(None).detail
    wrong = store_of(path).health(selection(Table(name="t"), "nope"))
    assert wrong.readable_columns is False
    assert "'nope'" in wrong.detail
    sql.execute("PRAGMA journal_mode = DELETE")
    assert "WAL" in store_of(path).health(selection(Table(name="t"), "v")).detail


def test_what_is_shown_is_what_runs(path: Path, sql: sqlite3.Connection) -> None:
    """Every statement shown runs as it stands, with its parameters beside it."""
    sql.execute("CREATE TABLE t (id TEXT, v)")
    fill(sql, "INSERT INTO t VALUES (?, ?)", [("a", 1), ("b", "x")])
    shown = store_of(path).statements(selection(Table(name="t", where="id < :least", params={"least": "z"}), "v"))
    assert any("-- least = 'z'" in text for text in shown)
    texts = [text for text in shown if "SELECT" in text]
    assert len(texts) == 4
    for text in texts:
        body = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
        values = [
            json.loads(line.split(" = ")[1].replace("'", '"')) for line in text.splitlines() if " = " in line and line.startswith("--")
        ]
        assert sql.execute(body.rstrip(";"), [*values, 0][: body.count("?")]).fetchall() is not None
