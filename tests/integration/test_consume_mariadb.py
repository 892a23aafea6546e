"""The applier on MariaDB where it differs from other databases: keys by their bytes, deadlocks, gaps that nobody may write into, and its own tables."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from sqlalchemy import Connection, Engine, create_engine, event, exc, text

from recon.consume import Applied, AppliedKind, Applier
from recon.consume.effects import EffectFailed, named
from recon.errors import StoreMismatch
from recon.event import Event
from recon.stores.mysql import CHANGED_SINCE, DEADLOCK, code
from recon.testing.clock import FixedClock
from tests.integration.consuming import applier_of, as_held, correction, engine_of, insert, row, rows, second
from tests.integration.test_consume_applier import at_once, kinds
from tests.integration.test_consume_laws import Application, World, law_of_one_end, law_of_the_next_night, worlds
from tests.servers.mariadb import MariaServer, maria, mariadb

__all__ = ["maria", "mariadb"]

OPEN = {"status": "open", "total": 1, "updated_at": second(1)}
PAID = {"status": "paid", "total": 2, "updated_at": second(2)}


@pytest.fixture
def engine(maria: str) -> Iterator[Engine]:
    """The application's database, whose texts fold case, with its table in it."""
    made = engine_of(maria)
    yield made
    made.dispose()


@settings(
    max_examples=5, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], phases=[Phase.generate]
)
@given(world=worlds(), tied=worlds(grain=5))
def test_the_laws_hold_on_mariadb(engine: Engine, world: World, tied: World) -> None:
    """The first and the last law against a real server, with a TIMESTAMP in a session of another zone as the column of versions."""
    app = Application(engine)
    law_of_one_end(app.by_time, world)
    law_of_the_next_night(app.by_time, app.now, tied)


def test_keys_are_told_apart_by_their_bytes(engine: Engine) -> None:
    """`A` and `a ` are not the row `a`, nor its tombstone, its conflict or its id: none of them stands in the other's way."""
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE orders MODIFY id varchar(80) COLLATE utf8mb4_nopad_bin"))
    applier, ran = applier_of(engine), []
    told = [
        applier.apply_event(correction("deleted", "a", None, OPEN, at=10, id="e")),
        applier.apply_event(correction("created", "A", OPEN, None, at=5, id="E"), effect=lambda _, fact: ran.append(fact.id)),
        applier.apply_event(correction("created", "a ", OPEN, None, at=5, id="E "), effect=lambda _, fact: ran.append(fact.id)),
        applier.apply_event(correction("updated", "á", PAID, {"status": "other"}, at=5, id="é")),
        applier.apply_event(correction("created", "a", OPEN, None, at=5, id="late")),
    ]
    assert kinds(*told) == ["already", "applied", "applied", "applied", "older"]
    assert ran == ["E", "E "]
    assert sorted(key for key, *_ in rows(engine)) == ["A", "a ", "á"]


def test_two_transactions_in_each_others_way_both_go_through(engine: Engine) -> None:
    """Effects that lock rows crosswise: the server rolls one transaction back whole, which is tried again, and each effect counts once."""
    applier = applier_of(engine)
    for key in "ab":
        insert(engine, key, {**OPEN, "total": 0})
    met = threading.Barrier(2)
    first = {"a": True, "b": True}

    def effect(connection: Connection, fact: Event) -> None:
        key = fact.data["key"]
        if first.pop(key, False):
            met.wait(10)
        connection.execute(text("UPDATE orders SET total = total + 100 WHERE id = :other"), {"other": {"a": "b", "b": "a"}[key]})

    facts = [correction("updated", key, {**OPEN, "status": "paid", "updated_at": second(2)}, OPEN, at=10) for key in "ab"]
    found = at_once(*[lambda fact=fact: applier.apply_event(fact, effect=effect) for fact in facts])
    assert [one for one in found if isinstance(one, Exception)] == []
    assert kinds(*found) == ["applied", "applied"]
    assert [one[1] for one in rows(engine)] == ["paid", "paid"]


def test_a_deadlock_in_the_application_s_own_transaction_is_told_as_one(engine: Engine) -> None:
    """Items taken crosswise: one transaction goes through, the other is told of a deadlock, and not of the savepoint that went with it."""
    applier = applier_of(engine)
    for key in "ab":
        insert(engine, key, OPEN)
    met = threading.Barrier(2)

    def both(first: str, then: str) -> list[str]:
        with engine.execution_options(isolation_level="READ COMMITTED").begin() as connection:
            told = [applier.apply_in(connection, correction("updated", first, PAID, OPEN, at=10))]
            met.wait(10)
            return kinds(*told, applier.apply_in(connection, correction("updated", then, PAID, OPEN, at=10)))

    found = at_once(lambda: both("a", "b"), lambda: both("b", "a"))
    assert [one for one in found if not isinstance(one, Exception)] == [["applied", "applied"]]
    (error,) = (one for one in found if isinstance(one, Exception))
    assert isinstance(error, exc.OperationalError)
    assert code(error) == DEADLOCK
    assert rows(engine) == [("a", "paid", 2), ("b", "paid", 2)]


def test_a_row_that_changed_since_is_told_as_one(engine: Engine) -> None:
    """As MariaDB has it from 11.6 on: the application's transaction saw the row, and another one has written it since; it is told that, and can begin anew."""
    applier = applier_of(engine)
    insert(engine, "a", OPEN)
    with engine.connect() as connection:
        connection.exec_driver_sql("SET SESSION innodb_snapshot_isolation = ON")
        connection.commit()
        with pytest.raises(exc.OperationalError) as caught, connection.begin():
            connection.execute(text("SELECT * FROM orders")).all()
            with engine.begin() as other:
                other.execute(text("UPDATE orders SET total = 7"))
            applier.apply_in(connection, correction("updated", "a", PAID, OPEN, at=10))
    assert code(caught.value) == CHANGED_SINCE
    assert rows(engine) == [("a", "open", 7)]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "READ COMMITTED"])
def test_nobody_writes_behind_a_tombstone(mariadb: MariaServer, engine: Engine, level: str) -> None:
    """A deletion of an item that is not there is not yet committed: an older webhook waits for it, and is turned away; nothing is left of the lock."""
    applier = applier_of(engine)
    found: list[Applied] = []
    with engine.connect().execution_options(isolation_level=level) as connection, connection.begin():
        applier.delete("7", second(9), connection=connection)
        late = threading.Thread(target=lambda: found.append(applier.upsert("7", OPEN, second(5))))
        late.start()
        mariadb.await_a_lock()
    late.join()
    assert kinds(*found) == ["older"]
    assert rows(engine) == []
    with engine.connect() as connection:
        assert connection.execute(text("SELECT target, `key` FROM recon_marks")).all() == [(b"orders", b"7")]


def test_two_that_saw_no_row_go_one_after_the_other(mariadb: MariaServer, engine: Engine) -> None:
    """A deletion has looked and not written yet when an older webhook comes: it may not look at the same nothing, and is turned away."""
    applier = applier_of(engine)
    applier.check()
    found: list[Applied] = []
    late = threading.Thread(target=lambda: found.append(applier.upsert("7", OPEN, second(5))))

    def before_the_tombstone(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if not late.ident and statement.startswith("INSERT INTO recon_marks") and b"orders" in parameters.values():
            late.start()
            mariadb.await_a_lock(unless=lambda: not late.is_alive())

    event.listen(engine, "before_cursor_execute", before_the_tombstone)
    assert applier.delete("7", second(9)).kind is AppliedKind.ALREADY
    late.join()
    assert kinds(*found) == ["older"]
    assert rows(engine) == []


def test_no_update_is_lost_to_an_old_snapshot(mariadb: MariaServer, engine: Engine) -> None:
    """An event waits for the application's own write, and judges the row as that left it, not as its transaction saw it first."""
    applier = applier_of(engine, version=None)
    insert(engine, "7", OPEN)
    found: list[Applied] = []
    with engine.begin() as connection:
        connection.execute(text("UPDATE orders SET status = 'refunded'"))
        fact = correction("updated", "7", PAID, OPEN, at=10)
        late = threading.Thread(target=lambda: found.append(applier.apply_event(fact)))
        late.start()
        mariadb.await_a_lock()
    late.join()
    assert [(one.kind, one.reason) for one in found] == [(AppliedKind.CONFLICT, "status changed since the event was made")]
    assert row(engine, "7") == ("refunded", 1)


def test_a_time_and_a_long_body_are_kept_whole(maria: str, engine: Engine) -> None:
    """What is beside the rows keeps microseconds and bodies of any length; the application's session is left in its own zone."""
    moment = datetime(2026, 11, 25, 3, 0, 0, 654321, tzinfo=UTC)
    applier = applier_of(engine, clock=FixedClock(moment))
    body = b"x" * 300_000
    applier.bury(body, {"content-type": "y" * 70_000}, "no event")
    (letter,) = applier.dead_letters()
    assert (letter.body, letter.at, len(letter.headers["content-type"])) == (body, moment, 70_000)
    assert applier.apply_event(correction("created", "7", OPEN, None, at=10)).kind is AppliedKind.APPLIED
    assert row(engine, "7", "updated_at") == (as_held(engine, OPEN)["updated_at"],)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT @@session.time_zone, @@session.tx_isolation")).one() == ("+05:30", "REPEATABLE-READ")
    assert "VARBINARY(1020)" in applier.ddl()


def test_whose_fault_an_error_is(maria: str, engine: Engine) -> None:
    """A wrong column in an effect is the application's, though the driver calls it operational; a value that does not fit is a dead letter; a lost server is neither."""
    applier = applier_of(engine)

    def wrong(connection: Connection, _event: Event) -> Any:
        return connection.execute(text("UPDATE orders SET nothing = 1"))

    with pytest.raises(EffectFailed):
        applier.apply_event(correction("created", "7", OPEN, None, at=10), effect=named(wrong))
    assert row(engine, "7") is None
    assert kinds(applier.apply_event(correction("created", "7", {**OPEN, "status": "x" * 50}, None, at=10))) == ["dead"]

    def killed(connection: Connection, _event: Event) -> Any:
        connection.execute(text("KILL CONNECTION_ID()"))
        return connection.execute(text("SELECT 1"))

    with pytest.raises(exc.OperationalError):
        applier.apply_event(correction("created", "8", OPEN, None, at=10), effect=named(killed))
    assert kinds(applier.apply_event(correction("created", "8", OPEN, None, at=10))) == ["applied"]


@pytest.mark.parametrize("words", [{"isolation_level": "AUTOCOMMIT"}, {"connect_args": {"autocommit": True}}])
def test_an_engine_without_transactions_is_refused(maria: str, engine: Engine, words: dict[str, Any]) -> None:
    """Where every statement commits by itself, by SQLAlchemy's word or the driver's: refused before the first event."""
    one = create_engine(maria, **words)
    with pytest.raises(StoreMismatch, match="commits every statement"):
        Applier(one, table="orders").apply_event(correction("created", "7", OPEN, None, at=1))
    one.dispose()
