"""The table publisher against real PostgreSQL and SQLite: a row once per id, and an outcome of its own for each event."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from recon.errors import BadSetting, DeliveryError
from recon.event import Event
from recon.publishers.base import Message, OutcomeKind, Publisher
from recon.publishers.table import TablePublisher
from recon.section import Section
from tests.servers.postgres import PASSWORD


def message(number: int, *, subject: str | None = None, emission: int = 1) -> Message:
    """An event on its way."""
    moment = datetime(2026, 11, 23, tzinfo=UTC)
    name = f"order/{number}" if subject is None else subject
    event = Event(
        id=f"id-{number}",
        type="order.updated",
        source="/recon/shop/orders",
        subject=name,
        time=moment,
        recorded=moment,
        dataversion=1,
        partitionkey=str(number),
        run="r1",
        generation=1,
        data={"op": "updated", "key": str(number)},
    )
    return Message(id=event.id, type=event.type, subject=name, partitionkey=str(number), body=event.encode(), emission=emission)


def publisher_of(url: str, **keys: Any) -> TablePublisher:
    """The publisher of a recon.toml that says so."""
    return TablePublisher(Section(name="bus", file=Path("recon.toml"), path="publishers.bus", table={"url": url, **keys}, folder=Path("/")))


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of either kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/bus.db"
    else:
        yield request.getfixturevalue("database")


def rows(url: str, columns: str = "id", table: str = "recon_events") -> list[tuple[Any, ...]]:
    """What is in the table."""
    statement = f"SELECT {columns} FROM {table} ORDER BY id"
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            return connection.execute(statement).fetchall()
    with psycopg.connect(url) as connection:
        return connection.execute(statement.encode()).fetchall()


def run(url: str, statement: str) -> None:
    """A statement of the user's own."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
            connection.execute(statement)
    else:
        with psycopg.connect(url) as connection:
            connection.execute(statement.encode())


def test_makes_its_table_and_inserts(url: str) -> None:
    """The table is made, each event is a row with its body untouched, and all are confirmed."""
    publisher = publisher_of(url)
    assert isinstance(publisher, Publisher)
    assert "will be created" in publisher.health()
    sent = [message(n) for n in range(3)]
    outcomes = publisher.publish(sent, 5)
    assert [(each.kind, each.duplicate) for each in outcomes] == [(OutcomeKind.CONFIRMED, False)] * 3
    found = rows(url, "id, type, subject, partitionkey, body, dedupe, emission")
    assert found == [(m.id, m.type, m.subject, m.partitionkey, m.body.decode(), m.dedupe, 1) for m in sent]
    assert json.loads(found[0][4])["specversion"] == "1.0"
    assert rows(url, "inserted_at")[0][0] is not None
    assert "are inserted into recon_events" in publisher.health()
    publisher.close()


def test_an_id_comes_once(url: str) -> None:
    """A repeat, on another night or in the same batch, is confirmed as a duplicate, and the first bytes stand."""
    publisher = publisher_of(url)
    publisher.publish([message(1)], 5)
    again = Message(id="id-1", type="other", subject="other", partitionkey="1", body=b"{}", emission=2)
    outcomes = publisher.publish([again, message(2), message(2)], 5)
    assert [(each.kind.value, each.duplicate) for each in outcomes] == [("confirmed", True), ("confirmed", False), ("confirmed", True)]
    assert rows(url, "id, type") == [("id-1", "order.updated"), ("id-2", "order.updated")]


def test_one_bad_event_does_not_take_its_batch_along(url: str) -> None:
    """Events that the table refuses are rejected with the reason, every other one of the batch is inserted."""
    publisher = publisher_of(url)
    publisher.publish([message(0)], 5)
    run(url, "DROP TABLE recon_events")
    run(url, publisher.ddl().replace("subject TEXT NOT NULL", "subject TEXT NOT NULL CHECK (subject <> 'bad')"))
    sent = [message(n, subject="bad" if n in {3, 7} else None) for n in range(10)]
    outcomes = publisher.publish(sent, 5)
    assert [n for n, each in enumerate(outcomes) if each.kind is OutcomeKind.REJECTED] == [3, 7]
    assert "CHECK" in outcomes[3].reason.upper()
    assert len(rows(url)) == 8


def test_without_its_table_it_says_how_to_make_it(url: str) -> None:
    """create = false and no table: nothing is rejected, health names the statement that makes it."""
    publisher = publisher_of(url, create=False)
    run(url, "CREATE TABLE unrelated (id INTEGER)")
    assert {each.kind for each in publisher.publish([message(1), message(2)], 5)} == {OutcomeKind.RETRY}
    with pytest.raises(DeliveryError, match="no table recon_events") as caught:
        publisher.health()
    statement = (caught.value.hint or "").partition("run: ")[2]
    run(url, statement)
    assert publisher.publish([message(1)], 5)[0].kind is OutcomeKind.CONFIRMED
    run(url, "ALTER TABLE recon_events RENAME COLUMN dedupe TO other")
    with pytest.raises(DeliveryError, match="lacks dedupe"):
        publisher.health()


def test_two_that_make_the_table_at_once_both_succeed(database: str) -> None:
    """The race of two first publishes ends with one table and every event in it."""
    outcomes: list[OutcomeKind] = []
    barrier = threading.Barrier(4)

    def work(number: int) -> None:
        publisher = publisher_of(database)
        barrier.wait()
        outcomes.extend(each.kind for each in publisher.publish([message(number)], 10))

    threads = [threading.Thread(target=work, args=[n]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [OutcomeKind.CONFIRMED] * 4
    assert len(rows(database)) == 4


def test_notifies_as_a_wake_up(database: str) -> None:
    """A channel hears of each batch that brought something new, after the commit, and not of repeats."""
    publisher = publisher_of(database, notify="recon wake-up")
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute('LISTEN "recon wake-up"')
        publisher.publish([message(1), message(2)], 5)
        publisher.publish([message(1)], 5)
        heard = list(listener.notifies(timeout=0.3))
        assert [each.channel for each in heard] == ["recon wake-up"]
        assert len(rows(database)) == 2


@pytest.mark.parametrize("where", ["refused", "password"])
def test_no_connection_means_try_again(database: str, where: str) -> None:
    """Before anything was sent, a failure is RETRY for every event, and no password is told."""
    url = database.replace(PASSWORD, "wr0ng-password") if where == "password" else database.rsplit("@", 1)[0] + "@127.0.0.1:1/db"
    publisher = publisher_of(url)
    outcomes = publisher.publish([message(1), message(2)], 5)
    assert [each.kind for each in outcomes] == [OutcomeKind.RETRY] * 2
    with pytest.raises(DeliveryError) as caught:
        publisher.health()
    said = f"{outcomes} {caught.value} {caught.value.hint} {caught.value.__cause__}"
    assert PASSWORD not in said
    assert "wr0ng-password" not in said


def test_a_lost_commit_is_unknown(database: str) -> None:
    """The connection dies while the commit is under way: the events may be there, so they are UNKNOWN, and a repeat settles it."""
    publisher = publisher_of(database)
    publisher.publish([message(0)], 5)
    # The server ends the backend inside the commit: a deferred trigger runs there.
    run(
        database,
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'",
    )
    run(
        database,
        "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON recon_events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()",
    )
    outcomes = publisher.publish([message(1), message(2)], 5)
    assert [each.kind for each in outcomes] == [OutcomeKind.UNKNOWN] * 2
    run(database, "DROP TRIGGER die ON recon_events")
    assert [each.kind for each in publisher.publish([message(1), message(2)], 5)] == [OutcomeKind.CONFIRMED] * 2
    assert len(rows(database)) == 3


def test_waits_no_longer_than_its_deadline(url: str) -> None:
    """A table that somebody else holds locked: RETRY within the deadline, nothing inserted."""
    publisher = publisher_of(url)
    publisher.publish([message(0)], 5)
    began = datetime.now(UTC)
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            outcomes = publisher.publish([message(1)], 0.4)
    else:
        with psycopg.connect(url) as connection:
            connection.execute("LOCK TABLE recon_events IN ACCESS EXCLUSIVE MODE")
            outcomes = publisher.publish([message(1)], 0.4)
    assert outcomes[0].kind is OutcomeKind.RETRY
    assert (datetime.now(UTC) - began).total_seconds() < 3
    assert len(rows(url)) == 1
    assert publisher.publish([message(1)], 0)[0].kind is OutcomeKind.RETRY
    assert publisher.publish([], 1) == []


def test_refuses_settings_that_cannot_be(tmp_path: Path) -> None:
    """notify on SQLite, another dialect, an unknown key."""
    for keys, words in (
        ({"notify": "x"}, "channel of PostgreSQL"),
        ({"tabel": "x"}, "is not a setting"),
        ({"url": "mysql://h/d"}, "not to mysql"),
    ):
        with pytest.raises(BadSetting, match=words):
            publisher_of(**{"url": f"sqlite:///{tmp_path}/x.db", **keys})
