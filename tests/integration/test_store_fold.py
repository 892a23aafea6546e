"""The fold store on SQLite, PostgreSQL and MariaDB: the latest state per key of a table of events, as a fold in Python would have it."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest

from recon.errors import BadSetting, StoreMismatch
from recon.job import Sql, Table
from recon.section import Section
from recon.stores.base import Selection, Store
from recon.stores.factory import open_store
from recon.stores.fold import FoldStore
from recon.versions import Version, Versions
from tests.integration.test_store_postgres import read
from tests.servers.mariadb import maria, mariadb

__all__ = ["maria", "mariadb"]

SEED = 20261125
FIELDS = {"status": "status", "total": "total", "city": "address.city", "first": "items.0.id", "odd": "we:ird name"}
LOG = Table(name="order_log", key="order_id")
Event = tuple[Any, int | None, str, Any]


class Bench:
    """A database with a log in it, and the store over it."""

    def __init__(self, url: str, execute: Callable[[str, Sequence[Any]], Any], mark: str) -> None:
        self.url = url
        self.execute = execute
        self.mark = mark

    def log(self, events: Sequence[Event], *, key: str = "text", data: str = "text") -> None:
        """A fresh log of these events: key, position, type and data."""
        if self.url.startswith("mysql"):
            key, data = {"text": "varchar(80)"}.get(key, key), data.removesuffix("b")
            data = "longtext" if data == "text" else data
        self.execute("DROP TABLE IF EXISTS order_log", [])
        self.execute(f"CREATE TABLE order_log (order_id {key}, seq bigint, type text, payload {data}, shop int DEFAULT 1)", [])
        self.execute("CREATE INDEX order_log_by_key ON order_log (order_id, seq)", [])
        for event in events:
            body = event[3] if isinstance(event[3], str) else json.dumps(event[3])
            values = ", ".join([self.mark] * 4)
            self.execute(f"INSERT INTO order_log (order_id, seq, type, payload) VALUES ({values})", [*event[:3], body])

    def store(self, **said: Any) -> Store:
        """The store that recon.toml describes."""
        table = {"type": "fold", "url": self.url, "position": "seq", "data": "payload", "deleted": ["order.deleted", "it's:gone"], **said}
        return open_store(Section(name="events", file=Path("recon.toml"), path="stores.events", table=table, folder=Path("/")))


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A bench on each database."""
    if request.param == "postgresql":
        url = request.getfixturevalue("database")
        with psycopg.connect(url, autocommit=True) as connection:
            yield Bench(url, connection.execute, "%s")  # type: ignore[arg-type] -- the tests' own statements
        return
    if request.param == "mariadb":
        url, server = request.getfixturevalue("maria"), request.getfixturevalue("mariadb")
        with closing(server.connect(url)) as connection, connection.cursor() as cursor:

            def executed(statement: str, values: Sequence[Any]) -> Any:
                cursor.execute(statement, values or None)
                return cursor.fetchall()

            yield Bench(url, executed, "%s")
        return
    path = tmp_path / "log.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        yield Bench(f"sqlite:///{path}", connection.execute, "?")


def chosen(relation: Table | Sql = LOG, **fields: str) -> Selection:
    """A selection of fields by their paths."""
    columns: dict[str, tuple[str | None, str | None]] = {name: (path, None) for name, path in (fields or FIELDS).items()}
    return Selection(relation=relation, columns=columns)


def whole(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Numbers as numbers: the general way has no type for what a statement computes, and reads it as text."""
    return [
        {name: int(value) if str(value).isdigit() and name in {"key", "place"} else value for name, value in row.items()} for row in rows
    ]


def test_the_latest_state_per_key(bench: Bench) -> None:
    """The newest event by position has the state; a removed key is not there, and is again when it came back."""
    bench.log(
        [
            ("a", 1, "order.created", {"status": "open", "total": 1}),
            ("b", 2, "order.created", {"status": "open", "total": 2}),
            ("a", 4, "order.updated", {"status": "paid", "total": 1}),
            ("a", 3, "order.updated", {"status": "late", "total": 9}),
            ("b", 5, "order.deleted", None),
            ("c", 6, "it's:gone", {}),
            ("c", 7, "order.created", {"status": "back", "total": 3}),
            (None, 8, "order.created", {"status": "no key"}),
        ]
    )

    rows = read(bench.store(), chosen(status="status", total="total"))

    assert sorted(rows, key=lambda row: row["key"] or "") == [
        {"key": None, "status": "no key", "total": None},
        {"key": "a", "status": "paid", "total": "1"},
        {"key": "c", "status": "back", "total": "3"},
    ]


@pytest.mark.parametrize("data", ["text", "json", "jsonb"])
def test_values_come_with_all_their_digits(bench: Bench, data: str) -> None:
    """Numbers beyond a double, decimals with their zeros, nested and odd names, null and nothing, truth, lists and objects as JSON."""
    body = (
        '{"state": {"total": 12345678901234567890, "rate": 1.10, "status": "it\'s \\u00e9:x", "none": null, "yes": true, '
        '"tags": ["a", 1.10], "address": {"city": "Ulm"}, "items": [{"id": 7}], "we:ird name": "odd"}}'
    )
    # SQLite has one type for all of them: what is declared says nothing there, and is taken all the same.
    bench.log([("a", 1, "x", body)], data=data)
    paths = {**FIELDS, "rate": "rate", "none": "none", "gone": "gone", "yes": "yes", "tags": "tags"}

    (row,) = read(bench.store(state="state"), chosen(**paths))

    assert row.pop("tags").replace(" ", "") == '["a",1.10]'
    assert row == {
        "key": "a", "status": "it's é:x", "total": "12345678901234567890", "city": "Ulm", "first": "7", "odd": "odd", "rate": "1.10",
        "none": None, "gone": None, "yes": "true",
    }  # fmt: skip


def folded(events: Sequence[Event], fold: str) -> dict[str, dict[str, Any]]:
    """The fold in Python, an event at a time."""
    states: dict[str, dict[str, Any]] = {}
    for key, _, op, data in sorted(events, key=lambda event: event[1]):
        if op == "order.deleted":
            states.pop(key, None)
        else:
            states[key] = {**states.get(key, {}), **data} if fold == "merge" else data
    return states


@pytest.mark.parametrize("fold", ["replace", "merge"])
def test_it_folds_as_a_loop_would(bench: Bench, fold: str) -> None:
    """Random logs in random order: every key's state is that of a fold in Python, by the whole read and by key."""
    print(f"seed {SEED}")
    chance = Random(SEED)
    members: list[tuple[str, Callable[[], Any]]] = [
        ("status", lambda: chance.choice(["open", "paid", None])),
        ("total", lambda: chance.choice([1, 2.5, None])),
        ("address", lambda: chance.choice([{"city": "Ulm"}, {"zip": "89073"}, None])),
        ("items", lambda: chance.choice([[{"id": 1}], []])),
        ("we:ird name", lambda: "odd"),
    ]
    for _ in range(2 if bench.url.startswith("mysql") else 6):  # Its general way takes a second for each.
        events: list[Event] = []
        for position in chance.sample(range(1000), 120):
            body = {name: made() for name, made in members if chance.random() < 0.6}
            op = "order.deleted" if chance.random() < 0.2 else "order.updated"
            events.append((f"k{chance.randrange(20)}", position, op, body))
        bench.log(events)
        expected = [
            {
                "key": key,
                "status": state.get("status"),
                "total": None if state.get("total") is None else str(state["total"]),
                "city": (state.get("address") or {}).get("city"),
                "first": "1" if state.get("items") else None,
                "odd": state.get("we:ird name"),
            }
            for key, state in sorted(folded(events, fold).items())
        ]
        store = bench.store(fold=fold)

        assert sorted(read(store, chosen()), key=lambda row: row["key"]) == expected
        asked = [f"k{number}" for number in range(0, 24, 2)]
        by_key = sorted(store.get_many(chosen(), asked).to_pylist(), key=lambda row: row["key"])
        assert by_key == [row for row in expected if row["key"] in asked]


@pytest.mark.parametrize("fold", ["replace", "merge"])
def test_two_events_in_one_place_are_told_as_a_duplicate(bench: Bench, fold: str) -> None:
    """Which of them is the newest nobody can say; an event without a place is older than any with one."""
    bench.log(
        [
            ("a", 1, "x", {"status": "open"}),
            ("a", 2, "x", {"status": "paid"}),
            ("a", 2, "x", {"status": "late"}),
            ("b", 1, "x", {"status": "open"}),
            ("b", None, "x", {"status": "lost"}),
        ]
    )

    with bench.store(fold=fold).scan(chosen(status="status")) as scan:
        rows = scan.reader.read_all().to_pylist()
        assert scan.key_unique is False
        assert scan.duplicates(10) == [("a", 2)]

    assert [row["key"] for row in rows].count("a") == 2
    assert [row["status"] for row in rows if row["key"] == "b"] == ["open"]


def test_a_condition_a_statement_and_an_expression(bench: Bench) -> None:
    """The log may be narrowed with bound parameters, be a statement of the job's, and have a field that is an expression over the row."""
    bench.log([(n % 3, n, "x", {"status": f"s{n}"}) for n in range(9)], key="bigint")
    table = Table(name="order_log", key="order_id", where="seq < :most -- and no more", params={"most": 6})
    text = Sql(text="SELECT order_id AS k, seq, type, payload FROM order_log WHERE seq >= :least;", key="k", params={"least": 8})
    columns: dict[str, tuple[str | None, str | None]] = {"status": ("status", None), "place": (None, "seq * 10")}

    rows = read(bench.store(), Selection(relation=table, columns=columns))
    only = read(bench.store(), chosen(text, status="status"))

    assert sorted(whole(rows), key=lambda row: row["key"]) == [{"key": n, "status": f"s{n + 3}", "place": (n + 3) * 10} for n in range(3)]
    assert whole(only) == [{"key": 2, "status": "s8"}]
    assert whole(bench.store().get_many(Selection(relation=table, columns=columns), ["1", "x"]).to_pylist()) == [
        {"key": 1, "status": "s4", "place": 40}
    ]
    with pytest.raises(StoreMismatch, match="field place is an SQL expression"):
        read(bench.store(fold="merge"), Selection(relation=table, columns=columns))


def test_a_look_by_key_does_not_read_the_whole_log(bench: Bench) -> None:
    """The database finds a key's events by the index, and folds no others."""
    bench.log([(f"k{n % 500}", n, "x", {"status": "s"}) for n in range(2_000)])
    (shown,) = [one for one in bench.store().statements(chosen(status="status")) if "the second look" in one]
    statement = "\n".join(line for line in shown.splitlines() if not line.startswith("--")).rstrip(";")
    if bench.mark == "?":
        plan = " ".join(row[3] for row in bench.execute(f"EXPLAIN QUERY PLAN {statement}", ["k1"]))
    elif bench.url.startswith("mysql"):
        bench.execute("ANALYZE TABLE order_log", [])
        for name in ("recon_key_0", "recon_exact_0"):
            statement = statement.replace(f"%({name})s", "'k1'")
        plan = " ".join(f"{row[6]} {row[4]}" for row in bench.execute(f"EXPLAIN {statement}", []))
    else:
        bench.execute("ANALYZE order_log", [])
        statement = statement.replace("%(recon_keys)s", "'{k1}'")
        plan = " ".join(row[0] for row in bench.execute(f"EXPLAIN {statement}", []))

    assert "order_log_by_key" in plan, plan
    assert "SCAN order_log" not in plan, plan
    assert "Seq Scan" not in plan, plan


def test_health_looks_for_the_fields_in_the_newest_events(bench: Bench) -> None:
    """A path that none of them has is told, with the column; an empty log tells nothing, and a log that is not there is named."""
    bench.log([])
    assert bench.store().health(chosen()).readable_columns
    bench.log([("a", 1, "x", {"status": "open", "total": None})])

    health = bench.store().health(chosen(status="status", total="total", staus="staus"))

    assert health.readable_columns
    assert health.detail == "none of the newest 1,000 events of the log order_log has field staus (staus) in its column payload"
    assert not bench.store().health(chosen(status="status", total="total")).detail
    absent = bench.store().health(chosen(Table(name="oder_log", key="order_id"), status="status"))
    assert not absent.readable_columns
    assert "oder_log" in absent.detail


def test_an_event_that_is_no_json_ends_the_read(bench: Bench) -> None:
    """Nothing is inferred from a log that cannot be read: the statement is refused with the database's words."""
    bench.log([("a", 1, "x", {"status": "open"}), ("b", 2, "x", "{torn")])

    with pytest.raises(StoreMismatch, match="the log order_log"):
        read(bench.store(), chosen(status="status"))


def test_reads_one_state_whatever_is_committed_meanwhile(bench: Bench) -> None:
    """What is appended in the middle of a read shows neither in the rows nor in the duplicates."""
    bench.log([(f"k{n}", n, "x", {"status": "open"}) for n in range(50)])
    with bench.store().scan(chosen(status="status")) as scan:
        bench.execute("INSERT INTO order_log (order_id, seq, type, payload) VALUES ('k1', 99, 'order.deleted', '{}')", [])
        bench.execute("INSERT INTO order_log (order_id, seq, type, payload) VALUES ('k2', 2, 'x', '{}')", [])
        rows = scan.reader.read_all().to_pylist()
        assert scan.duplicates(10) == []

    assert {row["key"]: row["status"] for row in rows} == {f"k{n}": "open" for n in range(50)}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"fold": "merged"}, "did you mean 'merge'?"),
        ({"type": "folded"}, "did you mean 'fold'?"),
        ({"deleted": [1]}, "wants a list of texts"),
        ({"fold": "merge", "version": "v"}, "members of several versions cannot be merged"),
        ({"deletd": ["x"]}, "did you mean 'deleted'"),
        ({"url": "oracle://u@h/d"}, '"fold" reads PostgreSQL, SQLite and MariaDB, not oracle'),
    ],
)
def test_a_wrong_setting_is_named(said: dict[str, Any], words: str) -> None:
    """Each mistake is a BadSetting with the way out."""
    with pytest.raises(BadSetting) as caught:
        Bench("sqlite:///x.db", lambda *_: None, "?").store(**said)

    assert words in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("state", ["data.state", "state", ""])
def test_a_log_of_several_versions_is_raised_before_it_is_read(bench: Bench, state: str) -> None:
    """What is old has the new names and all its digits; an expression is the row's own; by key it is the same; a version nobody knows ends it."""

    def event(body: dict[str, Any]) -> dict[str, Any]:
        return {"data.state": {"data": {"key": "k", "state": body}}, "state": {"state": body}, "": body}[state]

    def up(data: dict[str, Any]) -> dict[str, Any]:
        old = data["state"]
        return {**data, "state": {"amount": old["total"], "address": {"city": old["city"]}, "tags": [old["rate"]], "open": True}}

    old = json.dumps(event({"total": 12345678901234567890, "city": "Ulm", "rate": 0.5})).replace("0.5", "1.10")
    bench.log(
        [
            ("a", 1, "x", old),
            ("b", 2, "x", event({"total": 1, "city": "Bonn", "rate": 2})),
            ("b", 3, "x", event({"amount": 7, "address": {"city": "Kiel"}, "tags": [], "open": None})),
            ("c", 4, "order.deleted", event({})),
        ]
    )
    bench.execute("UPDATE order_log SET shop = CASE WHEN seq < 3 THEN 1 ELSE 2 END", [])
    columns: dict[str, tuple[str | None, str | None]] = {
        **{name: (path, None) for name, path in {"amount": "amount", "city": "address.city", "tags": "tags", "open": "open"}.items()},
        "first": ("tags.0", None),
        "place": (None, "seq * 10"),
    }
    versions = Versions(2, [Version(number=1, up=up)])
    store, asked = bench.store(state=state, version="shop"), Selection(relation=LOG, columns=columns, versions=versions)
    expected = [
        {"key": "a", "amount": "12345678901234567890", "city": "Ulm", "tags": "[1.10]", "open": "true", "first": "1.10", "place": 10},
        {"key": "b", "amount": "7", "city": "Kiel", "tags": "[]", "open": None, "first": None, "place": 30},
    ]

    assert sorted(whole(read(store, asked)), key=lambda row: row["key"]) == expected
    assert whole(store.get_many(asked, ["b", "c", "d"]).to_pylist()) == expected[1:]
    assert store.health(replace(asked, columns={"amount": ("amount", None), "city": ("address.city", None)})).detail == ""
    assert "field nowhere (" in store.health(Selection(relation=LOG, columns={"nowhere": ("nowhere", None)}, versions=versions)).detail
    broken = Versions(2, [Version(number=1, up=lambda data: data["no such"])])
    with pytest.raises(StoreMismatch, match="has an event in version 1 that could not be raised: KeyError"):
        read(store, replace(asked, versions=broken))
    bench.execute("UPDATE order_log SET shop = 9 WHERE order_id = 'a'", [])
    with pytest.raises(StoreMismatch, match="version 9 is not known here; known are 1, 2"):
        read(store, asked)


def test_the_general_way_folds_as_well(bench: Bench) -> None:
    """`bulk = false` reads the same statement through SQLAlchemy."""
    bench.log([("a", 1, "x", {"status": "open"}), ("a", 2, "x", {"status": "paid"})])
    store = bench.store(bulk=False)

    assert isinstance(store, FoldStore)
    assert read(store, chosen(status="status")) == [{"key": "a", "status": "paid"}]
    store.close()
