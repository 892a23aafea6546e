"""The apply publisher against real PostgreSQL, MariaDB and SQLite: it makes the row what the event wants, and overwrites nothing it does not expect."""

import sqlite3
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from recon.errors import BadSetting, DeliveryError
from recon.event import Event
from recon.publishers.apply import ApplyPublisher
from recon.publishers.base import Message, Outcome, OutcomeKind, Publisher
from recon.section import Section
from recon.upsert.wire import same
from tests.servers.mariadb import maria, mariadb, shared
from tests.servers.postgres import PASSWORD

__all__ = ["maria", "mariadb"]

DDL = {
    "postgresql": "CREATE TABLE orders (id bigint PRIMARY KEY, status text NOT NULL, amount bigint, price numeric(12,2), at timestamptz, seen timestamp, day date, "
    "paid boolean, tags text[], codes int[], meta jsonb, note text DEFAULT 'none')",
    "sqlite": "CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT NOT NULL, amount INTEGER, price NUMERIC, at TEXT, seen TEXT, day TEXT, "
    "paid BOOLEAN, tags TEXT, codes TEXT, meta TEXT, note TEXT DEFAULT 'none')",
    "mariadb": "CREATE TABLE orders (id bigint PRIMARY KEY, status varchar(20) NOT NULL, amount bigint, price decimal(12,2), at timestamp(6) NULL, seen datetime, day date, "
    "paid bit(1), tags json, codes json, meta json, note varchar(200) DEFAULT 'none')",
}
STATE = {
    "status": "paid",
    "amount": 1999,
    "price": "12.50",
    "at": "2026-11-23T10:11:12Z",
    "seen": "2026-11-23T10:11:12Z",
    "day": "2026-11-23",
    "paid": True,
    "tags": ["a", "b,c"],
    "codes": ["1", "2"],
    "meta": {"a": [1, "x"]},
}


def message(op: str, key: str, state: Mapping[str, Any] | None, before: Mapping[str, Any] | None = None) -> Message:
    """An event on its way."""
    moment = datetime(2026, 11, 23, tzinfo=UTC)
    data = {
        "op": op,
        "key": key,
        "state": state,
        "before": before,
        "changed": [],
        "precondition": {"fingerprint": ""},
        "observed": {"fingerprint": ""},
    }
    event = Event(
        id=f"{op}-{key}",
        type=f"order.{op}",
        source="/recon/shop/orders",
        subject=f"order/{key}",
        time=moment,
        recorded=moment,
        dataversion=1,
        partitionkey=key,
        run="r",
        generation=1,
        data=data,
    )
    return Message(id=event.id, type=event.type, subject=event.subject, partitionkey=key, body=event.encode())


def publisher_of(url: str, **keys: Any) -> ApplyPublisher:
    """The publisher of a recon.toml that says so."""
    table = {"url": url, "table": "orders", **keys}
    return ApplyPublisher(Section(name="direct", file=Path("recon.toml"), path="publishers.direct", table=table, folder=Path("/")))


def sent(url: str, *messages: Message, **keys: Any) -> list[Outcome]:
    """What became of them."""
    return list(publisher_of(url, **keys).publish(messages, 10))


def kinds(outcomes: list[Outcome]) -> list[tuple[str, bool]]:
    """Kind and duplicate."""
    return [(each.kind.value, each.duplicate) for each in outcomes]


def run(url: str, statement: str) -> list[tuple[Any, ...]]:
    """A statement of the user's own, and its rows."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
            return connection.execute(statement).fetchall()
    if url.startswith("mysql"):
        return shared().run(statement, url=url, zone="+00:00")
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(params=["postgresql", "sqlite", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of either kind, with the table in it."""
    asked = {"postgresql": "database", "mariadb": "maria"}.get(request.param)
    found = request.getfixturevalue(asked) if asked else f"sqlite:///{tmp_path}/shop.db"
    run(found, DDL[request.param])
    return found


def test_created_inserts_in_the_columns_own_types(url: str) -> None:
    """Times, decimals, booleans, dates, lists and objects arrive as the column holds them; what the event does not tell keeps its default."""
    publisher = publisher_of(url)
    assert isinstance(publisher, Publisher)
    assert kinds(list(publisher.publish([message("created", "7", {**STATE, "unknown_field": 1})], 10))) == [("confirmed", False)]
    row = run(url, "SELECT id, status, amount, price, at, seen, day, paid, tags, codes, meta, note FROM orders")[0]
    if url.startswith("sqlite"):
        moment = "2026-11-23T10:11:12Z"
        assert row == (7, "paid", 1999, 12.5, moment, moment, "2026-11-23", 1, '["a", "b,c"]', '["1", "2"]', '{"a": [1, "x"]}', "none")
    elif url.startswith("mysql"):
        naive = datetime(2026, 11, 23, 10, 11, 12)
        assert row[:-4] == (7, "paid", 1999, Decimal("12.50"), naive, naive, naive.date(), b"\x01")
        assert row[-4:] == ('["a", "b,c"]', '["1", "2"]', '{"a": [1, "x"]}', "none")
    else:
        naive = datetime(2026, 11, 23, 10, 11, 12)
        assert row == (
            7,
            "paid",
            1999,
            Decimal("12.50"),
            naive.replace(tzinfo=UTC),
            naive,
            naive.date(),
            True,
            ["a", "b,c"],
            [1, 2],
            {"a": [1, "x"]},
            "none",
        )


def test_the_same_event_again_is_a_duplicate(url: str) -> None:
    """What is already so is confirmed without a write, for each operation."""
    created = message("created", "7", STATE)
    updated = message("updated", "7", {**STATE, "status": "refunded"}, STATE)
    deleted = message("deleted", "7", None, {**STATE, "status": "refunded"})
    for each in (created, updated, deleted):
        assert kinds(sent(url, each, each)) == [("confirmed", False), ("confirmed", True)]
    assert run(url, "SELECT * FROM orders") == []


def test_updated_writes_only_what_differs(url: str) -> None:
    """A time that the event tells to the second keeps its microseconds in the column when it did not change."""
    fine = "2026-11-23T10:11:12.345678Z"
    sent(url, message("created", "7", {**STATE, "at": fine}))
    assert kinds(sent(url, message("updated", "7", {**STATE, "amount": 5}, STATE))) == [("confirmed", False)]
    amount, at = run(url, "SELECT amount, at FROM orders")[0]
    assert amount == 5
    assert str(at).replace("T", " ").startswith("2026-11-23 10:11:12.345678")


def test_a_change_that_looks_like_a_coarser_telling_is_still_made(url: str) -> None:
    """From 10:11 to midnight of the same day, and from PAID to paid, are changes where the event tells both apart."""
    sent(url, message("created", "7", {**STATE, "status": "PAID"}))
    update = message("updated", "7", {**STATE, "at": "2026-11-23T00:00:00Z"}, {**STATE, "status": "PAID"})
    assert kinds(sent(url, update, update)) == [("confirmed", False), ("confirmed", True)]
    status, at = run(url, "SELECT status, at FROM orders")[0]
    assert status == "paid"
    assert "00:00:00" in str(at)
    back = message("updated", "7", {**STATE, "status": "PAID"}, {**STATE, "at": "2026-11-23T00:00:00Z"})
    assert kinds(sent(url, back, back)) == [("confirmed", False), ("confirmed", True)]


@pytest.mark.parametrize("op", ["updated", "deleted", "created"])
def test_a_row_that_changed_meanwhile_is_a_conflict(url: str, op: str) -> None:
    """A row other than `before` says is left alone, and the reason names the columns, not the values."""
    sent(url, message("created", "7", STATE))
    run(url, "UPDATE orders SET amount = 4242 WHERE id = 7")
    state = None if op == "deleted" else {**STATE, "status": "refunded"}
    outcome = sent(url, message(op, "7", state, None if op == "created" else STATE))[0]
    assert outcome.kind is OutcomeKind.REJECTED
    assert outcome.reason.startswith("conflict: ")
    assert "4242" not in outcome.reason
    if op != "created":
        assert "amount changed since the event was made" in outcome.reason
    assert run(url, "SELECT status, amount FROM orders") == [("paid", 4242)]


def test_an_update_of_a_row_that_is_gone_is_a_conflict_and_a_delete_is_done(url: str) -> None:
    """Nothing is made anew by an update; what should go and is not there is confirmed as a duplicate."""
    outcomes = sent(url, message("updated", "7", STATE, STATE), message("deleted", "7", None, STATE))
    assert kinds(outcomes) == [("rejected", False), ("confirmed", True)]
    assert "the row is gone" in outcomes[0].reason
    assert run(url, "SELECT * FROM orders") == []


def test_each_event_stands_for_itself(url: str) -> None:
    """One that breaks a constraint, one of a wrong type and one that is no event are rejected; their neighbours are applied."""
    outcomes = sent(
        url,
        message("created", "1", STATE),
        message("created", "2", {**STATE, "status": None}),
        message("created", "3", {"nothing_of": "ours"}),
        Message(id="x", type="t", subject="s", partitionkey="4", body=b'{"data": {"op": "exploded", "key": "4"}}'),
        Message(id="y", type="t", subject="s", partitionkey="5", body=b"not json"),
        message("created", "6", STATE),
    )
    assert [each.kind.value for each in outcomes] == ["confirmed", "rejected", "rejected", "rejected", "rejected", "confirmed"]
    assert "null" in outcomes[1].reason.lower()
    assert "no column" not in outcomes[2].reason
    assert "nothing_of" in outcomes[2].reason
    assert [row[0] for row in run(url, "SELECT id FROM orders ORDER BY id")] == [1, 6]


def test_a_value_that_does_not_fit_the_type_is_rejected(database: str) -> None:
    """On PostgreSQL a text in a number's column, or a key of another type, is the event's own fault."""
    run(database, DDL["postgresql"])
    outcomes = sent(
        database,
        message("created", "1", {**STATE, "amount": "much"}),
        message("created", "x", STATE),
        message("created", "2", {**STATE, "status": "a\0b"}),
    )
    assert [each.kind.value for each in outcomes] == ["rejected"] * 3
    assert "much" in outcomes[0].reason


def test_columns_and_scale(url: str) -> None:
    """A field goes to the column that the settings name, minor units become major ones, an empty text leaves a field out."""
    keys = {"columns": {"state": "status", "amount": "price", "paid": ""}, "scale": {"amount": 2}}
    fields = {"state": "paid", "amount": 1999, "paid": True}
    publisher = publisher_of(url, **keys)
    assert kinds(list(publisher.publish([message("created", "7", fields)] * 2, 10))) == [("confirmed", False), ("confirmed", True)]
    assert [(a, float(b), c, d) for a, b, c, d in run(url, "SELECT status, price, amount, paid FROM orders")] == [
        ("paid", 19.99, None, None)
    ]
    update = message("updated", "7", {**fields, "amount": 5}, fields)
    assert kinds(list(publisher.publish([update], 10))) == [("confirmed", False)]
    assert float(run(url, "SELECT price FROM orders")[0][0]) == 0.05
    assert publisher.publish([message("updated", "7", {"amount": "x"}, fields)], 10)[0].kind is OutcomeKind.REJECTED


def test_writers_at_once_apply_once(url: str) -> None:
    """Eight publishers with the same events at once: each event is applied once, and everybody has it confirmed."""
    outcomes: list[Outcome] = []
    barrier = threading.Barrier(8)

    def work() -> None:
        publisher = publisher_of(url)
        barrier.wait()
        outcomes.extend(publisher.publish([message("created", str(n), STATE) for n in range(5)], 20))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {each.kind for each in outcomes} == {OutcomeKind.CONFIRMED}, {each.reason for each in outcomes}
    assert sum(not each.duplicate for each in outcomes) == 5
    assert run(url, "SELECT count(*) FROM orders") == [(5,)]


def test_a_row_locked_by_the_application_is_tried_again(database: str) -> None:
    """A row that the application holds for longer than the deadline: RETRY, and nothing written."""
    run(database, DDL["postgresql"])
    sent(database, message("created", "7", STATE))
    with psycopg.connect(database) as connection:
        connection.execute("SELECT * FROM orders FOR UPDATE")
        outcomes = publisher_of(database).publish([message("updated", "7", {**STATE, "amount": 1}, STATE)] * 2, 0.5)
    assert [each.kind for each in outcomes] == [OutcomeKind.RETRY] * 2
    assert run(database, "SELECT amount FROM orders") == [(1999,)]


def test_a_change_under_way_is_waited_for_and_not_overwritten(database: str) -> None:
    """The application changes the row in a transaction that it has not committed: the event waits, looks again, and is a conflict."""
    run(database, DDL["postgresql"])
    sent(database, message("created", "7", STATE))
    outcomes: list[Outcome] = []
    with psycopg.connect(database) as application, psycopg.connect(database, autocommit=True) as observer:
        application.execute("UPDATE orders SET amount = 4242")
        update = message("updated", "7", {**STATE, "amount": 5}, STATE)
        thread = threading.Thread(target=lambda: outcomes.extend(sent(database, update)))
        thread.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nightly-recon' AND wait_event_type = 'Lock'"
        until = time.monotonic() + 8
        while observer.execute(waiting).fetchone() == (0,) and time.monotonic() < until:
            time.sleep(0.01)
        application.commit()
        thread.join()
    assert [each.kind for each in outcomes] == [OutcomeKind.REJECTED]
    assert "amount changed" in outcomes[0].reason
    assert run(database, "SELECT amount FROM orders") == [(4242,)]


def test_a_key_that_stands_twice_is_left_alone(url: str) -> None:
    """A table without a unique key where the key is there twice: a conflict, not two changes."""
    run(url, "CREATE TABLE loose (id text, status text)")
    run(url, "INSERT INTO loose VALUES ('7', 'paid'), ('7', 'paid')")
    outcome = sent(url, message("deleted", "7", None, {"status": "paid"}), table="loose")[0]
    assert outcome.kind is OutcomeKind.REJECTED
    assert "2 rows" in outcome.reason
    assert len(run(url, "SELECT * FROM loose")) == 2


@pytest.mark.parametrize(
    ("wire", "kind"),
    [({"amount": 2**70}, OutcomeKind.REJECTED), ({"note": "0001-01-01T00:00:00+01:00"}, OutcomeKind.CONFIRMED)],
)
def test_a_value_beyond_what_the_driver_takes_is_that_events_alone(url: str, wire: Mapping[str, Any], kind: OutcomeKind) -> None:
    """A number of more than 64 bits, and a text that looks like a time outside the calendar: this event's own outcome, and the others go on."""
    first, odd, last = (message("created", key, {**STATE, "note": "x"}) for key in "123")
    assert sent(url, message("created", "2", {**STATE, "note": "9999-12-31T23:59:59-01:00"}))[0].kind is OutcomeKind.CONFIRMED
    odd = message("updated", "2", {**STATE, **wire}, {"status": "paid"})
    assert [each.kind for each in sent(url, first, odd, last)] == [OutcomeKind.CONFIRMED, kind, OutcomeKind.CONFIRMED]


def test_no_connection_means_try_again(database: str) -> None:
    """Before anything was sent, a failure is RETRY for every event, and no password is told."""
    publisher = publisher_of(database.replace(PASSWORD, "wr0ng-password"))
    outcomes = publisher.publish([message("created", "1", STATE)] * 2, 5)
    assert [each.kind for each in outcomes] == [OutcomeKind.RETRY] * 2
    with pytest.raises(DeliveryError) as caught:
        publisher.health()
    assert "wr0ng-password" not in f"{outcomes} {caught.value} {caught.value.hint}"


def test_health_names_what_is_not_there(url: str) -> None:
    """No such table, key or column: DeliveryError with the real names; publish answers RETRY, since a setting can be mended."""
    assert "orders" in publisher_of(url).health()
    for keys, words in (({"table": "ordres"}, "'orders'"), ({"key": "idd"}, "'id'"), ({"columns": {"a": "statsu"}}, "'status'")):
        publisher = publisher_of(url, **keys)
        with pytest.raises(DeliveryError, match=words):
            publisher.health()
        assert publisher.publish([message("created", "1", STATE)], 5)[0].kind is OutcomeKind.RETRY
    for keys in ({"columns": {"a": 1}}, {"scale": {"a": "2"}}, {"tabel": "x"}):
        with pytest.raises(BadSetting):
            publisher_of(url, **keys)


@pytest.mark.parametrize(
    ("held", "wire", "equal"),
    [
        (None, None, True),
        (None, "", False),
        (Decimal("12.50"), "12.5", True),
        (Decimal("12.505"), "12.51", True),
        (Decimal("12.50"), "12.51", False),
        (Decimal("NaN"), "1", False),
        (0.1, "0.10", True),
        (5, 5, True),
        (5, "5", True),
        (5, 6, False),
        (1, True, True),
        (True, False, False),
        (True, "true", True),
        ("EUR", "eur", True),
        (" a ", "a", True),
        ("a", "A", False),
        ("2026-11-23 10:11:12+00:00", "2026-11-23T10:11:12Z", True),
        ("2026-11-23 12:11:12.5+02:00", "2026-11-23T10:11:12Z", True),
        ("2026-11-23T10:11:13Z", "2026-11-23T10:11:12Z", False),
        (datetime(2026, 11, 23, 10, 11, 12, 345678), "2026-11-23T10:11:12.345Z", True),
        (datetime(2026, 11, 23, 10, 11, 12, 345678), "2026-11-23T10:11:12.344Z", False),
        (datetime(2026, 11, 23, 10, 11, tzinfo=UTC), "2026-11-23T00:00:00Z", True),
        (datetime(2026, 11, 23, tzinfo=UTC), "0001-01-01T00:00:00+01:00", False),
        ("9999-12-31T23:59:59-01:00", "9999-12-31T23:59:58-01:00", False),
        (["b", "a"], ["a", "b"], True),
        ([1, 2], ["1", "2"], True),
        (["a"], ["a", "b"], False),
        ('{"b": 1, "a": 2}', {"a": 2, "b": 1}, True),
        ("nonsense", {"a": 2}, False),
        (b"x", "x", False),
    ],
)
def test_sameness_of_held_and_wire(held: Any, wire: Any, equal: bool) -> None:
    """A column's value is the same as a wire value that was cut, rounded, folded or sorted from it, and no other."""
    assert same(held, wire) is equal
