"""What the loop's log says to whoever is on call, and that nothing which `told` or a reader of logs does changes what was taken in."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from recon.consume import Applied, AppliedKind, consume
from recon.event import Event
from recon.testing import MemoryReader, MemorySubscription
from tests.integration.consuming import applier_of, correction, insert, memory, row, second

NAME = "recon.consume.consuming"
PERSON = {"status": "bob@example.com", "total": 4417, "updated_at": second(1)}


@pytest.fixture
def engine() -> Engine:
    """The application's database."""
    return memory()


@pytest.fixture
def source() -> MemorySubscription:
    """What a broker holds."""
    return MemorySubscription()


def put(source: MemorySubscription, *events: Event) -> None:
    """As a publisher would."""
    for one in events:
        source.put(one.encode(), key=one.partitionkey)


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """What was said at this level."""
    return [one.getMessage() for one in caplog.records if one.name == NAME and one.levelno == level]


def test_what_told_raises_changes_nothing(engine: Engine, source: MemorySubscription, caplog: pytest.LogCaptureFixture) -> None:
    """After the commit: the events stay applied and are done, their effects run once; it is logged and counted."""
    put(source, *(correction("created", str(number), PERSON, None, at=10) for number in range(3)))
    ran: list[str] = []

    def told(_received: Any, _answer: Applied) -> None:
        raise RuntimeError("no metrics server for bob@example.com")

    counts = consume(
        MemoryReader(source),
        applier_of(engine),
        stop=lambda: source.left == 0,
        told=told,
        effect=lambda _, one: ran.append(one.id),
        wait=0.05,
    )
    assert (counts, counts.untold, len(ran)) == ({AppliedKind.APPLIED: 3}, 3, 3)
    assert (source.left, source.given_back) == (0, 0)
    first, *_ = lines(caplog, logging.ERROR)
    assert (
        "order.created created-0-10 of item 0 at memory@0 is applied, and stays so; told= raised RuntimeError: no metrics server for …"
        in first
    )
    assert "told= raised for 3 of the events" in caplog.text


def test_a_failing_event_says_which_how_often_and_until_when(
    engine: Engine, source: MemorySubscription, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Type, id, item and place; the attempt, for how long, and when it is a dead letter; then that it is one, and how to take it again."""
    put(source, correction("created", "7", PERSON, None, at=10))
    moment = [0.0]
    monkeypatch.setattr("recon.consume.failing.time", SimpleNamespace(monotonic=lambda: moment[0]))

    def effect(connection: Connection, _event: Event) -> None:
        moment[0] += 300
        connection.execute(text("INSERT INTO no_such VALUES (:who)"), {"who": "bob@example.com"})

    def stop() -> bool:
        return not source.left

    monkeypatch.setattr("recon.consume.consuming.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("recon.consume.consuming.MESSAGE_PAUSE", 0.01)
    counts = consume(MemoryReader(source), applier_of(engine), stop=stop, effect=effect, wait=0.05)
    assert counts == {AppliedKind.DEAD: 1}
    said = [one for one in lines(caplog, logging.WARNING) if "attempt" in one]
    which = "memory: order.created created-7-10 of item 7 at memory@0: OperationalError: no such table: no_such (test_consume_lines.py:"
    assert all(one.startswith(which) for one in said)
    assert [one.partition("; ")[2] for one in said] == [
        "attempt 1, failing for 0.0s of 15m 00s; if it goes on so, a dead letter in 15m 00s",
        "attempt 2, failing for 5m 00s of 15m 00s; if it goes on so, a dead letter in 10m 00s",
    ]
    assert "1 messages given back, since created-7-10 failed; trying again in 0.0 s" in caplog.text
    (dead,) = lines(caplog, logging.ERROR)
    assert "order.created created-7-10 of item 7 at memory@0: dead, it failed for 15m 00s, 4 times, last with OperationalError" in dead
    assert "applier.retry_dead() takes it once more" in dead
    assert "bob" not in caplog.text


def test_conflicts_and_dead_letters_are_said_without_the_data(
    engine: Engine, source: MemorySubscription, caplog: pytest.LogCaptureFixture
) -> None:
    """Each with its event and what is to be done; no value of the item, no key where keys are not to be shown, no secret; what is well is not said."""
    insert(engine, "bob@example.com", {**PERSON, "total": 1})
    put(
        source,
        correction("updated", "bob@example.com", {**PERSON, "total": 5555}, PERSON, at=10, id="c"),
        correction("created", "bobby@example.com", {**PERSON, "total": 10**30}, None, at=10, id="d"),
        correction("created", "9", PERSON, None, at=10, version=4, id="v"),
        correction("created", "8", PERSON, None, at=10, id="fine"),
    )
    source.put(b"not json postgresql://shop:hunter2@db/shop")
    counts = consume(MemoryReader(source), applier_of(engine), stop=lambda: source.left == 0, wait=0.05, log_keys=False)
    assert counts == {AppliedKind.CONFLICT: 1, AppliedKind.DEAD: 3, AppliedKind.APPLIED: 1}
    (conflict,) = lines(caplog, logging.WARNING)
    assert conflict.startswith(
        "memory: order.updated c at memory@0: conflict, total changed since the event was made; it is in applier.conflicts()"
    )
    dead = lines(caplog, logging.ERROR)
    assert sorted(one.split(": ")[1].split(" at ")[0] for one in dead) == ["order.created d", "order.created v", "the message"]
    assert "version 4 is not known here" in caplog.text
    assert not any(word in caplog.text for word in ("bob", "5555", "4417", "1000000", "hunter2", "fine"))
    assert row(engine, "8") is not None
