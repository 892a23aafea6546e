"""The contract of every publisher, held to those that need no broker: table and apply on PostgreSQL and SQLite, webhook, file, stdout."""

import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from recon.event import Event, decode
from recon.publishers.apply import ApplyPublisher
from recon.publishers.base import Message, Outcome, Publisher
from recon.publishers.file import FilePublisher
from recon.publishers.stdout import StdoutPublisher
from recon.publishers.table import TablePublisher
from recon.publishers.webhook import WebhookPublisher
from recon.secret import Secret
from recon.section import Section
from recon.testing import publisher_suite as suite
from tests.servers.postgres import PostgresServer
from tests.servers.receiver import SECRET, Received, Receiver, Reply

DURABLE = {"synchronous_commit": "on"}
"""What the other tests' server does without: a commit that was answered outlasts the server's death."""

KILLED = {suite.nothing_is_confirmed_by_a_server_that_is_gone, suite.a_server_that_dies_in_the_middle_loses_nothing}
NEWEST = {suite.an_older_version_is_a_message_of_its_own}
UNBOUNDED = {suite.an_event_larger_than_it_takes_is_refused}
SKIPS = {
    "table-postgresql": UNBOUNDED,
    "table-sqlite": UNBOUNDED | KILLED,
    "apply-postgresql": UNBOUNDED | NEWEST,
    # Each event is a transaction of its own: 300 of them are shown on PostgreSQL.
    "apply-sqlite": UNBOUNDED | KILLED | NEWEST | {suite.closed_while_it_sends_it_answers_for_all},
    "webhook": UNBOUNDED,
    "webhook-batch": UNBOUNDED,
    "file": UNBOUNDED | KILLED | {suite.a_refused_event_costs_itself_alone},
    "stdout": UNBOUNDED | KILLED | {suite.a_refused_event_costs_itself_alone},
}
"""What a destination cannot be made to show: there is no server to kill, no limit, nothing that it refuses."""
_names = count(1)
SHOWN = [(name, check) for name in sorted(SKIPS) for check in suite.CHECKS if check not in SKIPS[name]]


def section(**table: Any) -> Section:
    """A table of recon.toml."""
    return Section(name="bus", file=Path("recon.toml"), path="publishers.bus", table=table, folder=Path("/"))


class DatabaseBench:
    """A table of its own: of a server that can be killed, or of a file."""

    def __init__(self, folder: Path, server: PostgresServer | None) -> None:
        self.server = server
        self.table = f"events_{next(_names)}"
        self.url = f"sqlite:///{folder}/bus.db" if server is None else server.spare_database()
        if server is None:
            self.run("PRAGMA journal_mode = WAL")  # One write to the disk for each commit, and not several.

    def read(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows; none where there is no table yet."""
        if self.server is None:
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection:
                try:
                    return connection.execute(statement).fetchall()
                except sqlite3.OperationalError:
                    return []
        with psycopg.connect(self.url) as connection:
            try:
                return connection.execute(statement.encode()).fetchall()
            except psycopg.errors.UndefinedTable:
                return []

    def run(self, statement: str) -> None:
        """A statement of the user's own."""
        if self.server is None:
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection:
                connection.execute(statement)
                connection.commit()
        else:
            with psycopg.connect(self.url) as connection:
                connection.execute(statement.encode())

    def stop(self) -> bool:
        if self.server is None:
            return False
        self.server.stop(remove=False)
        return True

    def start(self) -> None:
        assert self.server is not None
        self.server.start()


class TableBench(DatabaseBench):
    """Rows in the order in which they were inserted."""

    def publisher(self) -> Publisher:
        return TablePublisher(section(url=self.url, table=self.table, connect_timeout=2))

    def arrived(self) -> Sequence[suite.Arrived]:
        order = "rowid" if self.server is None else "xmin::text::bigint, ctid"
        rows = self.read(f"SELECT id, partitionkey, body FROM {self.table} ORDER BY {order}")
        return [suite.Arrived(id=i, key=key, body=body.encode()) for i, key, body in rows]

    def refused(self) -> Message | None:
        with closing_publisher(self.publisher()) as publisher:
            publisher.publish([], 1.0)
            publisher.publish(suite.messages(1), 5.0)
        self.run(f"DELETE FROM {self.table}")
        if self.server is None:
            self.run(
                f"CREATE TRIGGER no BEFORE INSERT ON {self.table} WHEN NEW.type = 'no' BEGIN SELECT RAISE(ABORT, 'constraint failed'); END"
            )
        else:
            self.run(f"ALTER TABLE {self.table} ADD CHECK (type <> 'no')")
        return replace(suite.messages(1)[0], type="no")


class AsRows:
    """Hands each event to the apply publisher as the creation of a row that holds it: what arrived can then be read back."""

    def __init__(self, inner: ApplyPublisher) -> None:
        self.inner = inner
        self.name = inner.name
        self.capabilities = inner.capabilities

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        return self.inner.publish([self._row(one) for one in batch], deadline)

    def health(self) -> str:
        return self.inner.health()

    def close(self) -> None:
        self.inner.close()

    def _row(self, one: Message) -> Message:
        event: Event = decode(one.body)
        state = {"partition": one.partitionkey, "body": one.body.decode(), "size": 0 if one.type == "no" else 1}
        data = {"op": "created", "key": one.id, "state": state, "before": None, "changed": []}
        return replace(one, body=replace(event, data=data).encode())


class ApplyBench(DatabaseBench):
    """A table whose rows are the events."""

    def __init__(self, folder: Path, server: PostgresServer | None) -> None:
        super().__init__(folder, server)
        seq = "seq INTEGER PRIMARY KEY AUTOINCREMENT" if server is None else "seq bigserial PRIMARY KEY"
        self.run(f"CREATE TABLE {self.table} ({seq}, id text UNIQUE NOT NULL, partition text, body text, size integer CHECK (size > 0))")

    def publisher(self) -> Publisher:
        return AsRows(ApplyPublisher(section(url=self.url, table=self.table, connect_timeout=2)))

    def arrived(self) -> Sequence[suite.Arrived]:
        rows = self.read(f"SELECT id, partition, body FROM {self.table} ORDER BY seq")
        return [suite.Arrived(id=i, key=key, body=body.encode()) for i, key, body in rows]

    def refused(self) -> Message | None:
        return replace(suite.messages(1)[0], type="no")


class WebhookBench:
    """A receiver that keeps what it has answered with 200."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.taken: list[Received] = []
        self.bad = ""
        self.receiver: Receiver | None = None
        self.port = 0
        self.start()

    def start(self) -> None:
        if self.receiver is None:
            self.receiver = Receiver(port=self.port)
            self.receiver.decide = self._decide
            self.url = self.receiver.url
            self.port = int(self.url.rpartition(":")[2].partition("/")[0])

    def stop(self) -> bool:
        if self.receiver is not None:
            self.receiver.close()
            self.receiver = None
        return True

    def _decide(self, request: Received) -> Reply:
        if self.bad and self.bad.encode() in request.body:
            return Reply(status=422, body=b"no such customer")
        self.taken.append(request)
        return Reply()

    def publisher(self) -> Publisher:
        return WebhookPublisher(section(url=self.url, secret=Secret(SECRET), batch=self.batch))

    def arrived(self) -> Sequence[suite.Arrived]:
        events = [(event, request) for request in list(self.taken) for event in request.events]
        return [
            suite.Arrived(id=event["id"], key=event["partitionkey"], body=request.body if self.batch == 1 else self._bytes(event, request))
            for event, request in events
        ]

    def _bytes(self, event: dict[str, Any], request: Received) -> bytes:
        """An event's own bytes within a batch."""
        parts = request.body[1:-1].split(b',{"correlationid"')
        found = [part if number == 0 else b'{"correlationid"' + part for number, part in enumerate(parts)]
        return next(part for part in found if event["id"].encode() in part)

    def refused(self) -> Message | None:
        bad = suite.messages(1)[0]
        self.bad = bad.id
        return bad


class LinesBench:
    """A file, or standard output led into one."""

    def __init__(self, path: Path, redirect: Callable[[], None] | None) -> None:
        self.path = path
        self.redirect = redirect

    def publisher(self) -> Publisher:
        if self.redirect is None:
            return FilePublisher(section(path=str(self.path)))
        self.redirect()
        return StdoutPublisher(section())

    def arrived(self) -> Sequence[suite.Arrived]:
        bodies = self.path.read_bytes().splitlines() if self.path.exists() else []
        return [suite.Arrived(id=event.id, key=event.partitionkey, body=body) for body in bodies for event in [decode(body)]]

    def refused(self) -> Message | None:
        return None

    def stop(self) -> bool:
        return False

    def start(self) -> None:
        """There is nothing to start."""


class closing_publisher:  # noqa: N801 - reads as the word it stands for
    """A publisher, closed after."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def __enter__(self) -> Publisher:
        return self._publisher

    def __exit__(self, *_: object) -> None:
        self._publisher.close()


@pytest.fixture(scope="module")
def killable() -> Iterator[PostgresServer]:
    """A PostgreSQL server for this file, which its checks kill."""
    with PostgresServer(settings=DURABLE) as server:
        yield server


@pytest.fixture
def bench(name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A destination of its own."""
    server = None
    if name.endswith("postgresql"):
        server = request.getfixturevalue("killable")
        if server._process is None:
            server.start()
    if name.startswith(("table", "apply")):
        yield (TableBench if name.startswith("table") else ApplyBench)(tmp_path, server)
    elif name.startswith("webhook"):
        made = WebhookBench(7 if name.endswith("batch") else 1)
        yield made
        made.stop()
    else:
        with (tmp_path / "events.jsonl").open("a") as out:
            yield LinesBench(tmp_path / "events.jsonl", (lambda: monkeypatch.setattr(sys, "stdout", out)) if name == "stdout" else None)
            monkeypatch.undo()


@pytest.mark.parametrize(("name", "check"), SHOWN, ids=[f"{name}-{suite.name_of(check)}" for name, check in SHOWN])
def test_keeps_the_contract(name: str, check: Any, bench: Any) -> None:
    """What every publisher must keep to, over destinations that are killed and come back where there is something to kill."""
    check(bench)
