"""The loop between a reader and the applier: nothing is lost when the database or the broker is down, and nothing that fails holds up the rest."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from recon.consume import Applied, AppliedKind, Applier, consume
from recon.consume.readers.redis import RedisReader
from recon.errors import StoreMismatch
from recon.event import Event
from recon.publishers.base import OutcomeKind
from recon.testing import MemoryReader, MemorySubscription
from recon.testing.publisher_suite import message_of
from tests.integration.consuming import applier_of, correction, engine_of, row, rows, second
from tests.integration.test_publisher_redis import publisher as redis_publisher
from tests.servers.postgres import PostgresServer
from tests.servers.valkey import ValkeyServer

SECONDS = 60.0


def state(status: str, number: int) -> dict[str, Any]:
    """An item as of a second."""
    return {"status": status, "total": number, "updated_at": second(number)}


class Loop:
    """`consume` in a thread of its own, until it is stopped."""

    def __init__(self, reader: MemoryReader, applier: Applier, **more: Any) -> None:
        self.stop = threading.Event()
        self.answers: list[Applied] = []
        self.counts: Any = None
        options = {"wait": 0.05, "told": lambda _received, answer: self.answers.append(answer), **more}

        def run() -> None:
            self.counts = consume(reader, applier, stop=self.stop, **options)

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def until(self, condition: Callable[[], bool]) -> None:
        """Waits for a condition."""
        end = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < end, "it did not come to that in time"
            time.sleep(0.005)

    def end(self) -> Any:
        """Stops it; the counts."""
        self.stop.set()
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()
        return self.counts


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """The application's database."""
    made = engine_of(f"sqlite:///{tmp_path}/shop.db")
    yield made
    made.dispose()


@pytest.fixture
def source() -> MemorySubscription:
    """What a broker holds."""
    return MemorySubscription()


def put(source: MemorySubscription, *events: Event) -> None:
    """As a publisher would."""
    for one in events:
        source.put(one.encode(), key=one.partitionkey)


def test_everything_is_taken_in_and_done(engine: Engine, source: MemorySubscription) -> None:
    """Good events, repeats and what is no event: each has its answer, all are done, and the counts say so."""
    events = [correction("created", str(number), state("open", number), None, at=100) for number in range(20)]
    put(source, *events, *events[:5])
    source.put(b"no event")
    loop = Loop(MemoryReader(source), applier_of(engine), most=7)
    loop.until(lambda: source.left == 0)
    assert loop.end() == {AppliedKind.APPLIED: 20, AppliedKind.ALREADY: 5, AppliedKind.DEAD: 1}
    assert len(rows(engine)) == 20
    assert len(applier_of(engine).dead_letters()) == 1
    assert source.given_back == 0


def test_no_message_ends_the_loop(engine: Engine, source: MemorySubscription) -> None:
    """A time that lies before the first year once it is told in UTC, and a header that is no text of any encoding: dead letters, and the rest goes on."""
    odd = correction("created", "1", state("open", 1), None, at=100).encode()
    source.put(odd.replace(b'"recordedtime":"2026', b'"recordedtime":"0001-01-01T00:00:00+14:00","was":"2026'))
    source.put(b"no event", headers={"content-type": "text/plain", "x-from": "caf\udce9"})
    put(source, correction("created", "2", state("open", 2), None, at=100))
    loop = Loop(MemoryReader(source), applier_of(engine))
    loop.until(lambda: source.left == 0)
    assert loop.end() == {AppliedKind.DEAD: 2, AppliedKind.APPLIED: 1}
    assert len(applier_of(engine).dead_letters()) == 2


def test_a_database_that_is_down_is_waited_for(source: MemorySubscription, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While another session holds the database nothing is settled, and it is said; once it is free all is taken in, in order."""
    url = f"sqlite:///{tmp_path}/shop.db"
    engine_of(url).dispose()
    engine = create_engine(url, connect_args={"timeout": 0.02})
    applier = applier_of(engine)
    put(source, *(correction("updated", "7", state("paid", number), None, at=100 + number) for number in range(1, 9)))
    with engine.connect() as holder:
        holder.exec_driver_sql("BEGIN IMMEDIATE")
        loop = Loop(MemoryReader(source), applier)
        loop.until(lambda: source.given_back >= 16)
        assert source.left == 8
        holder.rollback()
    loop.until(lambda: source.left == 0)
    assert loop.end()[AppliedKind.APPLIED] == 8
    assert row(engine, "7") == ("paid", 8)
    assert [one.reason for one in loop.answers] == [""] * 8
    assert "trying again in" in caplog.text
    assert "database is locked" in caplog.text
    assert "INSERT" not in caplog.text
    engine.dispose()


def test_a_broker_that_is_down_is_waited_for(engine: Engine, source: MemorySubscription) -> None:
    """Down before, down while messages are in hand, and back: all are taken in, and none twice but as ALREADY."""
    put(source, *(correction("created", str(number), state("open", number), None, at=100) for number in range(10)))
    source.down = True
    hold, go = threading.Event(), threading.Event()

    def effect(_connection: Connection, _event: Event) -> None:
        hold.set()
        go.wait(SECONDS)

    loop = Loop(MemoryReader(source), applier_of(engine), effect=effect)
    source.down = False
    loop.until(hold.is_set)
    source.down = True
    go.set()
    loop.until(lambda: source.given_back >= 10)
    assert source.left == 10
    source.down = False
    loop.until(lambda: source.left == 0)
    counts = loop.end()
    assert counts[AppliedKind.APPLIED] == 10
    assert counts[AppliedKind.SEEN] == 10
    assert len(rows(engine)) == 10


def test_an_effect_that_fails_holds_up_its_key_alone(engine: Engine, source: MemorySubscription) -> None:
    """Other keys go on; its own key waits, in order; once the effect is mended all of it is taken in."""
    put(source, *(correction("updated", "bad", state("paid", number), None, at=100 + number) for number in range(1, 4)))
    put(source, *(correction("created", f"good{number}", state("open", 1), None, at=100) for number in range(5)))
    broken = threading.Event()

    def effect(_connection: Connection, event: Event) -> None:
        if event.partitionkey == "bad" and not broken.is_set():
            raise LookupError("no such customer")

    loop = Loop(MemoryReader(source), applier_of(engine), effect=effect)
    loop.until(lambda: source.left == 3 and source.given_back >= 6)
    assert row(engine, "bad") is None
    broken.set()
    loop.until(lambda: source.left == 0)
    assert loop.end() == {AppliedKind.APPLIED: 8}
    assert row(engine, "bad") == ("paid", 3)


@pytest.mark.parametrize("failure", ["python", "statement"])
def test_an_effect_that_never_works_is_a_dead_letter_in_the_end(engine: Engine, source: MemorySubscription, failure: str) -> None:
    """After `patience` the message is kept with what was raised, though it be a wrong statement; what follows in its key goes on."""
    put(source, *(correction("updated", "7", state("paid", number), None, at=100 + number) for number in (1, 2)))

    def effect(connection: Connection, event: Event) -> None:
        if event.data["state"]["total"] == 1:
            if failure == "python":
                raise LookupError("no such customer")
            connection.execute(text("INSERT INTO no_such_table VALUES (1)"))

    applier = applier_of(engine)
    loop = Loop(MemoryReader(source), applier, effect=effect, patience=0.3)
    loop.until(lambda: source.left == 0)
    assert loop.end() == {AppliedKind.DEAD: 1, AppliedKind.APPLIED: 1}
    (letter,) = applier.dead_letters()
    assert ("LookupError: no such customer" if failure == "python" else "no such table: no_such_table") in letter.reason
    assert applier.retry_dead()[0].kind is AppliedKind.OLDER
    assert applier.dead_letters() == []


def test_failures_far_apart_do_not_add_up(engine: Engine, source: MemorySubscription, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that fails once, and hours later once more, has not failed for hours: it is given back, and is no dead letter."""
    put(source, correction("updated", "7", state("paid", 1), None, at=101))
    moment, failures = [0.0], []
    monkeypatch.setattr("recon.consume.failing.time", SimpleNamespace(monotonic=lambda: moment[0]))

    def effect(connection: Connection, event: Event) -> None:
        failures.append(event.id)
        moment[0] += 10_000.0
        raise LookupError("no such customer")

    applier = applier_of(engine)
    assert (
        consume(MemoryReader(source), applier, stop=lambda: len(failures) >= 3 or not source.left, effect=effect, wait=0.05, patience=900)
        == {}
    )
    assert source.left == 1
    assert applier.dead_letters() == []


def test_it_stops_between_transactions_and_gives_back_the_rest(engine: Engine, source: MemorySubscription) -> None:
    """`stop` may be a function; the transaction in hand is finished, the others are there for whoever reads next."""
    put(source, *(correction("created", str(number), state("open", 1), None, at=100) for number in range(10)))
    counts = consume(MemoryReader(source), applier_of(engine), stop=lambda: len(rows(engine)) >= 4, most=4)
    assert counts == {AppliedKind.APPLIED: 4}
    assert source.left == 6
    consume(MemoryReader(source), applier_of(engine), stop=lambda: source.left == 0)
    assert len(rows(engine)) == 10


@pytest.mark.parametrize("why", ["stop", "within"])
def test_a_transaction_with_effects_ends_between_events(engine: Engine, source: MemorySubscription, why: str) -> None:
    """Told to stop, the event in hand is finished and what is done so far is committed; once `within` is over likewise, and the rest is taken next."""
    put(source, *(correction("created", str(number), state("open", 1), None, at=100) for number in range(6)))
    ran: list[str] = []
    committed: list[int] = []

    def effect(_connection: Connection, event: Event) -> None:
        committed.append(len(rows(engine)))
        ran.append(event.id)

    stop = (lambda: len(ran) >= 4) if why == "stop" else (lambda: source.left == 0)
    counts = consume(MemoryReader(source), applier_of(engine), stop=stop, effect=effect, within=60 if why == "stop" else 0)
    assert counts == {AppliedKind.APPLIED: 4 if why == "stop" else 6}
    assert committed == ([0] * 4 if why == "stop" else [0, 1, 2, 3, 4, 5])
    assert source.left == (2 if why == "stop" else 0)


def test_a_wrong_table_is_said_at_once(engine: Engine, source: MemorySubscription) -> None:
    """A setting that no waiting mends ends the loop before it takes a message."""
    put(source, correction("created", "7", state("open", 1), None, at=100))
    with pytest.raises(StoreMismatch):
        consume(MemoryReader(source), Applier(engine, table="ordres"), stop=threading.Event())
    assert source.left == 1


def mailed(connection: Connection, event: Event) -> None:
    """An effect that leaves a row for its id."""
    connection.execute(text("INSERT INTO mails VALUES (:id)"), {"id": event.id})


def test_a_server_that_restarts_loses_nothing(postgres: PostgresServer, database: str, source: MemorySubscription) -> None:
    """PostgreSQL dies in the middle and comes back: every event is applied, every effect counts once, and nobody starts the loop again."""
    # The server of the tests commits later than it says, but where it is told not to.
    engine = engine_of(f"{database}?options=-csynchronous_commit%3Don")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE mails (id text)"))
    applier = applier_of(engine)
    put(source, *(correction("created", str(number), state("open", 1), None, at=100) for number in range(120)))
    middle = threading.Event()

    def effect(connection: Connection, event: Event) -> None:
        mailed(connection, event)
        if event.partitionkey == "40":
            middle.set()

    loop = Loop(MemoryReader(source), applier, effect=effect, most=30)
    loop.until(middle.is_set)
    postgres.restart()
    loop.until(lambda: source.left == 0)
    loop.end()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*), count(DISTINCT id) FROM mails")).one() == (120, 120)
    assert len(rows(engine)) == 120
    engine.dispose()


def test_a_real_broker_and_a_real_database_die_on_the_way(postgres: PostgresServer, database: str) -> None:
    """From the publisher through a stream of Valkey into PostgreSQL; each server dies once in the middle: every item ends as it was sent, each effect once."""
    engine = engine_of(f"{database}?options=-csynchronous_commit%3Don")
    applier = applier_of(engine)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE mails (id text)"))
    events = [
        correction("updated", str(key), state("paid", number), None, at=100 + number, id=f"{key}-{number}")
        for number in range(1, 6)
        for key in range(30)
    ]
    with ValkeyServer() as broker:
        sender = redis_publisher(broker.url, stream="corrections")
        outcomes = sender.publish([message_of(one) for one in events], 20.0)
        sender.close()
        assert {one.kind for one in outcomes} == {OutcomeKind.CONFIRMED}
        reader = RedisReader(broker.url, "corrections", "app")
        loop = Loop(reader, applier, effect=mailed, most=20)
        loop.until(lambda: len(loop.answers) >= 30)
        broker.kill()
        broker.start()
        loop.until(lambda: len(loop.answers) >= 80)
        postgres.restart()
        loop.until(lambda: {one.id for one in loop.answers} == {one.id for one in events})
        loop.end()
        reader.close()
    assert rows(engine) == sorted((str(key), "paid", 5) for key in range(30))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*), count(DISTINCT id) FROM mails")).one() == (150, 150)
    engine.dispose()
