"""The applier against real SQLite, PostgreSQL and MariaDB: what it answers, its guarded door, its inbox, its dead letters, and writers at once."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, exc, text

from recon.consume import Applied, AppliedKind, Applier, Version, Versions
from recon.errors import StoreMismatch
from recon.event import Event, batched, binary
from recon.event.eventbridge import delivered
from recon.testing.clock import FixedClock
from tests.integration.consuming import START, applier_of, as_held, correction, engine_of, insert, row, rows, second
from tests.servers.mariadb import maria, mariadb

__all__ = ["maria", "mariadb"]

OPEN = {"status": "open", "total": 1, "updated_at": second(1)}
PAID = {"status": "paid", "total": 2, "updated_at": second(2)}


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """The application's database, with its table in it."""
    asked = {"postgresql": "database", "mariadb": "maria"}.get(request.param)
    made = engine_of(request.getfixturevalue(asked) if asked else f"sqlite:///{tmp_path}/shop.db")
    yield made
    made.dispose()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    """Where the kind of database makes no difference."""
    made = engine_of(f"sqlite:///{tmp_path}/shop.db")
    yield made
    made.dispose()


def kinds(*answers: Applied) -> list[str]:
    """What became of them."""
    return [one.kind.value for one in answers]


def test_five_lines_are_enough(engine: Engine) -> None:
    """An engine, a table, its key and the field of its versions; then bodies as they come."""
    applier = Applier(engine, table="orders", key="id", version="updated_at")
    applier.create_tables()
    created = correction("created", "7", OPEN, None, at=10)
    updated = correction("updated", "7", PAID, OPEN, at=20)
    deleted = correction("deleted", "7", None, PAID, at=30)

    assert kinds(*(applier.apply(one.encode()) for one in (created, created, updated, created, updated))) == [
        "applied",
        "already",
        "applied",
        "older",
        "already",
    ]
    assert row(engine, "7") == ("paid", 2)
    assert kinds(*(applier.apply(one.encode()) for one in (deleted, updated, deleted, created))) == ["applied", "older", "already", "older"]
    assert rows(engine) == []
    assert "orders" in applier.check()


def test_every_form_is_read(engine: Engine) -> None:
    """Structured, binary with either prefix, EventBridge's shape, and batches."""
    applier = applier_of(engine)
    events = [correction("created", str(number), OPEN, None, at=10) for number in range(6)]
    headers, body = binary(events[1])
    assert applier.apply(events[0].encode()).kind is AppliedKind.APPLIED
    assert applier.apply(body, headers={name.title(): value for name, value in headers.items()}).kind is AppliedKind.APPLIED
    headers, body = binary(events[2], prefix="ce_")
    assert kinds(*applier.apply_all(body, headers=headers, prefix="ce_")) == ["applied"]
    headers, body = batched(events[3:5])
    assert kinds(*applier.apply_all(body, headers=headers)) == ["applied", "applied"]
    told = applier.apply(json.dumps(delivered(events[5])).encode(), headers={"content-type": "application/json"})
    assert (told.kind, told.id) == (AppliedKind.APPLIED, events[5].id)
    assert [one[0] for one in rows(engine)] == list("012345")
    with pytest.raises(ValueError, match="apply_all"):
        applier.apply(body, headers=headers)


def test_a_row_that_somebody_else_wrote_is_a_conflict_until_the_next_night(engine: Engine) -> None:
    """At the same version and other than before: recorded with the columns, not the values; the next night's correction settles it."""
    applier = applier_of(engine)
    insert(engine, "7", {**OPEN, "total": 4242})
    told = applier.apply_event(correction("updated", "7", {**OPEN, "status": "void"}, OPEN, at=10))
    assert (told.kind, told.taken) == (AppliedKind.CONFLICT, False)
    assert "total changed since the event was made" in told.reason
    assert "4242" not in told.reason
    assert row(engine, "7") == ("open", 4242)
    applier.apply_event(correction("updated", "7", {**OPEN, "status": "void"}, OPEN, at=10))
    (kept,) = applier.conflicts()
    assert (kept.key, kept.times, kept.reason) == ("7", 2, told.reason)

    night = correction("updated", "7", {**OPEN, "status": "void"}, {**OPEN, "total": 4242}, at=20)
    assert applier.apply_event(night).kind is AppliedKind.APPLIED
    assert applier.conflicts() == []
    assert row(engine, "7") == ("void", 1)


def test_without_a_version_the_row_must_be_as_before(engine: Engine) -> None:
    """No versions: compare and set; a row that is gone is no row to update; ordinary webhooks have no door."""
    applier = applier_of(engine, version=None)
    insert(engine, "7", OPEN)
    assert applier.apply_event(correction("updated", "8", PAID, OPEN, at=10)).reason == "the row is gone"
    assert kinds(
        applier.apply_event(correction("updated", "7", PAID, {**OPEN, "total": 9}, at=10, id="other")),
        applier.apply_event(correction("updated", "7", PAID, OPEN, at=11)),
        applier.apply_event(correction("updated", "7", OPEN, PAID, at=5, id="stale")),
    ) == ["conflict", "applied", "older"]
    for door in (lambda: applier.upsert("7", PAID, 1), lambda: applier.delete("7", 1), lambda: applier.allows("7", 1)):
        with pytest.raises(ValueError, match="version="):
            door()


def versioned(told: Event, found: Any, seen: Any) -> Event:
    """The correction with the versions that both sides were of, and without that field in its state."""
    parts = {name: told.data[name] and {k: v for k, v in told.data[name].items() if k != "updated_at"} for name in ("state", "before")}
    sides = {name: {**told.data[name], "version": one} for name, one in (("precondition", found), ("observed", seen)) if one is not None}
    return replace(told, data={**told.data, **parts, **sides})


def test_the_versions_that_an_event_says_its_sides_were_of_decide(engine: Engine) -> None:
    """A state without the field of versions: the source's is compared and written, the row's tells whether it moved, or what a deletion ends."""
    applier = applier_of(engine)
    for key in "789":
        insert(engine, key, OPEN)
    assert kinds(
        applier.apply_event(versioned(correction("updated", "7", PAID, OPEN, at=10), second(1), second(2))),
        applier.apply_event(versioned(correction("updated", "7", {**OPEN, "total": 5}, OPEN, at=20, id="old"), second(1), second(1))),
        applier.upsert("7", {**PAID, "total": 3}, second(1.5)),
    ) == ["applied", "older", "older"]
    assert row(engine, "7") == ("paid", 2)

    assert applier.upsert("8", {"status": "open", "total": 1}, second(4)).kind is AppliedKind.APPLIED
    moved = applier.apply_event(versioned(correction("updated", "8", PAID, {"status": "open", "total": 1}, at=10), second(1), second(4)))
    assert (moved.kind, moved.reason) == (AppliedKind.CONFLICT, "updated_at changed since the event was made")

    revised = applier_of(engine, version="revision")
    gone = versioned(correction("deleted", "9", None, OPEN, at=10), 3, None)
    strange = versioned(correction("updated", "9", PAID, OPEN, at=5), second(1), second(2))
    assert kinds(revised.apply_event(strange), revised.apply_event(gone)) == ["applied", "applied"]
    assert revised.upsert("9", {"status": "open", "total": 1}, 2).kind is AppliedKind.OLDER


def test_a_fingerprint_column_decides(engine: Engine) -> None:
    """With a column for the fingerprint of what was applied last, that is what an event's precondition is held against."""
    applier = applier_of(engine, version=None, fingerprint="print")
    insert(engine, "7", {**OPEN, "print": "f1", "total": 99})
    wrong = correction("updated", "7", PAID, {**OPEN, "total": 99}, at=10, prints=("f0", "f2"))
    assert "print changed" in applier.apply_event(wrong).reason
    right = correction("updated", "7", PAID, OPEN, at=11, prints=("f1", "f2"))
    assert applier.apply_event(right).kind is AppliedKind.APPLIED
    assert row(engine, "7", "status, print") == ("paid", "f2")


def test_ordinary_webhooks_go_through_the_same_door(engine: Engine) -> None:
    """Newer is written, older is not; a deletion leaves a tombstone; Python's own values will do; `allows` says the same beforehand."""
    applier = applier_of(engine)
    moment = datetime(2026, 11, 23, 0, 0, 5, tzinfo=UTC)
    state = {"status": "open", "total": Decimal(7)}
    assert applier.allows("7", moment)
    assert kinds(
        applier.upsert("7", state, moment),
        applier.upsert("7", state, moment),
        applier.upsert("7", {**state, "status": "paid"}, second(4)),
        applier.upsert("7", {**state, "status": "void"}, second(5)),
        applier.upsert("7", {**state, "status": "paid"}, second(6)),
        applier.delete("7", second(4)),
        applier.delete("7", second(6)),
        applier.delete("7", second(6)),
        applier.upsert("7", state, second(6)),
    ) == ["applied", "already", "older", "conflict", "applied", "older", "applied", "already", "older"]
    assert not applier.allows("7", second(6))
    assert applier.allows("7", second(7))
    assert applier.upsert("7", state, second(7)).kind is AppliedKind.APPLIED
    with pytest.raises(ValueError, match="version"):
        applier.upsert("7", state, None)


def test_a_tombstone_stands_though_there_was_no_row(engine: Engine) -> None:
    """A deletion that comes first keeps out what is older than it, from either side, and lets in what is newer."""
    applier = applier_of(engine)
    assert applier.apply_event(correction("deleted", "7", None, OPEN, at=10)).kind is AppliedKind.ALREADY
    assert kinds(
        applier.upsert("7", OPEN, second(9)),
        applier.apply_event(correction("created", "7", OPEN, None, at=9)),
        applier.upsert("7", OPEN, second(11)),
    ) == ["older", "older", "applied"]


def test_a_found_deletion_by_number_is_a_lower_bound(engine: Engine) -> None:
    """Versions that are numbers: how new a deletion is that was found, nobody knows; what is newer than what it found waits for the next look."""
    applier = applier_of(engine, version="revision")
    one, five = ({"status": "open", "total": number, "revision": number} for number in (1, 5))
    insert(engine, "7", one)
    deleted = correction("deleted", "7", None, one, at=10)
    assert kinds(
        applier.apply_event(deleted),
        applier.upsert("7", one, 1),
        applier.delete("7", 2),
        applier.upsert("7", five, 5),
        applier.apply_event(correction("created", "7", five, None, at=9)),
        applier.apply_event(correction("created", "7", five, None, at=11)),
        applier.apply_event(deleted),
    ) == ["applied", "older", "already", "conflict", "older", "applied", "older"]
    assert row(engine, "7") == ("open", 5)


def test_each_deletion_is_outlived_by_its_own_measure(engine: Engine) -> None:
    """One that was told by its version, one that was found by when: what is newer than the one and was seen after the other comes back."""
    applier = applier_of(engine)
    at_20 = {**OPEN, "updated_at": second(20)}
    assert kinds(
        applier.delete("7", second(15)),
        applier.apply_event(correction("deleted", "7", None, OPEN, at=20.5)),
        applier.apply_event(correction("created", "7", at_20, None, at=20.4, id="before")),
        applier.apply_event(correction("created", "7", {**OPEN, "updated_at": second(15)}, None, at=44)),
        applier.apply_event(correction("created", "7", at_20, None, at=44.5, id="after")),
        applier.delete("7", second(15)),
    ) == ["already", "already", "older", "older", "applied", "older"]
    assert row(engine, "7") == ("open", 1)


def test_a_deletion_that_was_taken_does_not_take_what_is_back(engine: Engine) -> None:
    """Deleted and made again within one second: after the night brought it back, the same deletion does nothing more."""
    clock = FixedClock(START + timedelta(seconds=100))
    applier = applier_of(engine, clock=clock)
    applier.upsert("7", OPEN, second(1))
    assert applier.delete("7", second(1)).kind is AppliedKind.APPLIED
    assert applier.apply_event(correction("created", "7", OPEN, None, at=99)).kind is AppliedKind.OLDER
    assert applier.apply_event(correction("created", "7", OPEN, None, at=101)).kind is AppliedKind.APPLIED
    assert applier.delete("7", second(1)).kind is AppliedKind.OLDER
    assert row(engine, "7") == ("open", 1)


def test_a_conflict_is_tried_again_when_what_it_missed_has_come(engine: Engine) -> None:
    """Without versions, the later of two corrections first: a conflict, until the one before it is there; then both are."""
    applier = applier_of(engine, version=None)
    insert(engine, "7", {"status": "open", "total": 1})
    first = correction("updated", "7", {"status": "paid", "total": 1}, {"status": "open", "total": 1}, at=10)
    then = correction("updated", "7", {"status": "void", "total": 1}, {"status": "paid", "total": 1}, at=20)
    assert kinds(applier.apply_event(then), applier.apply_event(first)) == ["conflict", "applied"]
    assert row(engine, "7") == ("void", 1)
    assert applier.conflicts() == []
    assert kinds(applier.apply_event(first), applier.apply_event(then)) == ["older", "already"]


def test_what_is_back_since_a_deletion_needs_no_row_as_before(engine: Engine) -> None:
    """Without versions, found after a deletion: written though the event expected a row; found before it: not."""
    applier = applier_of(engine, version=None)
    insert(engine, "7", {"status": "open", "total": 1})
    late = correction("updated", "7", {"status": "void", "total": 1}, {"status": "paid", "total": 1}, at=30)
    gone = correction("deleted", "7", None, {"status": "open", "total": 1}, at=10)
    early = correction("updated", "7", {"status": "paid", "total": 1}, {"status": "open", "total": 1}, at=5)
    assert kinds(*(applier.apply_event(one) for one in (late, gone, early, gone))) == ["conflict", "applied", "older", "older"]
    assert row(engine, "7") == ("void", 1)


def test_the_application_holds_the_transaction(engine: Engine) -> None:
    """Applied within a transaction of the application's, everything goes with it, and what it rolls back never was."""
    applier = applier_of(engine)
    fact = correction("created", "7", OPEN, None, at=10)
    with engine.connect() as connection:
        assert applier.apply_in(connection, fact).kind is AppliedKind.APPLIED
        assert applier.upsert("8", OPEN, second(1), connection=connection).kind is AppliedKind.APPLIED
        assert applier.delete("9", second(1), connection=connection).kind is AppliedKind.ALREADY
        assert not applier.allows("9", second(1), connection=connection)
        connection.rollback()
    assert rows(engine) == []
    assert applier.allows("9", second(1))
    with engine.begin() as connection:
        applier.apply_in(connection, fact)
    assert row(engine, "7") == ("open", 1)


def test_an_effect_runs_once_with_its_change(engine: Engine) -> None:
    """In the same transaction, for what was changed only, once for an id however often it comes, also after a stale writer undid it; a replay runs none."""
    applier = applier_of(engine)
    ran: list[str] = []

    def effect(connection: Connection, event: Event) -> None:
        assert connection.execute(text("SELECT status FROM orders WHERE id = '7'")).scalar_one() == "paid"
        ran.append(event.id)

    insert(engine, "7", OPEN)
    fact = correction("updated", "7", PAID, OPEN, at=10)
    told = applier.apply_event(fact, effect=effect)
    assert (told.kind, told.effect) == (AppliedKind.APPLIED, True)
    assert kinds(applier.apply_event(fact, effect=effect)) == ["seen"]
    with engine.begin() as connection:
        connection.execute(text("UPDATE orders SET status = 'open', total = 1, updated_at = :updated_at"), as_held(engine, OPEN))
    told = applier.apply_event(fact, effect=effect)
    assert (told.kind, told.effect) == (AppliedKind.APPLIED, False)
    already = correction("updated", "7", PAID, OPEN, at=11)
    assert applier.apply_event(already, effect=effect).kind is AppliedKind.ALREADY
    assert ran == [fact.id]


def test_an_effect_that_raises_undoes_its_change(engine: Engine) -> None:
    """What it raises is raised as it is; row, mark and inbox are as before, and the next try runs it."""
    applier = applier_of(engine)

    def broken(_connection: Connection, _event: Event) -> None:
        raise LookupError("no such customer")

    fact = correction("created", "7", OPEN, None, at=10)
    with pytest.raises(LookupError):
        applier.apply_event(fact, effect=broken)
    assert rows(engine) == []
    assert applier.apply_event(fact, effect=lambda *_: None).effect


def test_the_window_of_the_inbox_is_pruned(engine: Engine) -> None:
    """After `inbox` an id is forgotten; conflicts go with it, tombstones after a window of their own; nothing else does."""
    clock = FixedClock(datetime(2026, 11, 24, tzinfo=UTC))
    applier = applier_of(engine, inbox="30d", tombstones="90d", clock=clock)
    ran: list[str] = []
    fact = correction("created", "7", OPEN, None, at=10)
    applier.apply_event(fact, effect=lambda _c, e: ran.append(e.id))
    applier.delete("8", second(50))
    insert(engine, "9", {**OPEN, "total": 5})
    applier.apply_event(correction("updated", "9", {**OPEN, "status": "void"}, OPEN, at=10))
    clock.advance(29 * 86_400)
    assert applier.prune() == 0
    assert applier.apply_event(fact, effect=lambda _c, e: ran.append(e.id)).kind is AppliedKind.SEEN
    assert len(applier.conflicts()) == 1
    clock.advance(2 * 86_400)
    assert applier.prune() == 2  # The id, and the conflict.
    assert applier.conflicts() == []
    assert not applier.allows("8", second(40))
    clock.advance(60 * 86_400)
    assert applier.prune() == 2  # What was remembered of 7 and of 8.
    assert applier.allows("8", second(40))
    assert ran == [fact.id]


def test_what_does_not_fit_is_a_dead_letter(engine: Engine) -> None:
    """No event, no row of ours, a value or a constraint that the database refuses: kept as it came, once, with the reason; neighbours are applied."""
    applier = applier_of(engine)
    bad = [
        b"{",
        b'{"specversion": "1.0"}',
        b"[" * 3000,
        correction("created", "1", {**OPEN, "status": None}, None, at=1).encode(),
        correction("created", "2", {"nothing_of": "ours"}, None, at=1).encode(),
        correction("exploded", "3", OPEN, None, at=1).encode(),
        correction("created", "4", {**OPEN, "total": 10**30}, None, at=1).encode(),
    ]
    answers = [applier.apply(one) for one in [*bad, *bad]]
    assert set(kinds(*answers)) == {"dead"}
    assert all(one.reason for one in answers)
    kept = applier.dead_letters()
    assert sorted(one.body for one in kept) == sorted(bad)
    assert applier.apply_event(correction("created", "5", OPEN, None, at=1)).kind is AppliedKind.APPLIED
    applier.drop_dead(kept[0].digest)
    assert len(applier.dead_letters()) == len(bad) - 1


def test_texts_that_no_database_takes_are_dead_letters_too(engine: Engine) -> None:
    """A key or an id with a NUL, a key longer than an index takes, a lone surrogate: taken or kept, never in the way."""
    applier = applier_of(engine)
    answers = [
        applier.apply_event(correction("created", "a\0b", OPEN, None, at=1, id="e\0")),
        applier.apply_event(correction("created", "k" * 400, OPEN, None, at=1, id="i" * 400), effect=lambda *_: None),
        applier.apply_event(correction("deleted", "k" * 400, None, OPEN, at=2)),
        applier.apply(correction("created", "5", {**OPEN, "status": "@@"}, None, at=1).encode().replace(b"@@", b"\\ud800")),
    ]
    expected = ["dead" if engine.dialect.name == "postgresql" else "applied", "applied", "applied", "dead"]
    assert kinds(*answers) == expected
    assert len(applier.dead_letters()) == expected.count("dead")
    assert not applier.allows("k" * 400, second(1))


def test_a_key_that_stands_twice_is_left_alone(sqlite: Engine) -> None:
    """A table without a unique key where the key is there twice: a conflict, not two changes."""
    with sqlite.begin() as connection:
        connection.execute(text("CREATE TABLE loose (id text, status text, updated_at text)"))
        connection.execute(text("INSERT INTO loose VALUES ('7', 'open', NULL), ('7', 'open', NULL)"))
    told = applier_of(sqlite, table="loose").apply_event(correction("deleted", "7", None, {"status": "open"}, at=1))
    assert (told.kind, told.reason) == (AppliedKind.CONFLICT, "the key stands in 2 rows")


def test_an_engine_without_transactions_is_refused(engine: Engine) -> None:
    """Where every statement commits by itself, state and inbox could part: refused before the first event."""
    fact = correction("created", "7", OPEN, None, at=1)
    engines = [engine.execution_options(isolation_level="AUTOCOMMIT")]
    if engine.dialect.name == "postgresql":
        engines.append(create_engine(engine.url, isolation_level="AUTOCOMMIT"))
    for one in engines:
        with pytest.raises(StoreMismatch, match="commits every statement"):
            Applier(one, table="orders").apply_event(fact)
        one.dispose()


def test_two_transactions_in_each_others_way_both_go_through(database: str) -> None:
    """Effects that lock rows crosswise on PostgreSQL: the one that is turned away is tried again, and each effect counts once."""
    engine = engine_of(database)
    applier = applier_of(engine)
    for key in "ab":
        insert(engine, key, {**OPEN, "total": 0})
    met = threading.Barrier(2)
    first = {"a": True, "b": True}

    def effect(connection: Connection, event: Event) -> None:
        key = event.data["key"]
        if first.pop(key, False):
            met.wait(10)
        connection.execute(text("UPDATE orders SET total = total + 100 WHERE id = :other"), {"other": {"a": "b", "b": "a"}[key]})

    facts = [correction("updated", key, {**OPEN, "status": "paid", "updated_at": second(2)}, OPEN, at=10) for key in "ab"]
    found = at_once(*[lambda fact=fact: applier.apply_event(fact, effect=effect) for fact in facts])
    assert [one for one in found if isinstance(one, Exception)] == []
    assert kinds(*found) == ["applied", "applied"]
    assert [one[1] for one in rows(engine)] == ["paid", "paid"]
    engine.dispose()


def versions() -> Versions:
    """Version 2 calls `total` what version 1 called `amount`."""

    def up(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "state": {("total" if name == "amount" else name): value for name, value in data["state"].items()}}

    return Versions(2, [Version(number=1, up=up)])


def test_an_older_version_is_raised_and_an_unknown_one_waits(engine: Engine) -> None:
    """Data of version 1 is read as version 2; version 3 is a dead letter, never dropped, and taken after the upgrade, in whichever form it came."""
    old = correction("created", "1", {"status": "open", "amount": 7, "updated_at": second(1)}, None, at=10, version=1)
    new = correction("created", "2", OPEN, None, at=10, version=2)
    newest = [correction("created", key, OPEN, None, at=10, version=3) for key in "34"]
    applier = applier_of(engine, versions=versions())
    headers, body = binary(newest[1], prefix="ce_")
    answers = [applier.apply_event(one) for one in (old, new, newest[0])] + applier.apply_all(body, headers=headers, prefix="ce_")
    assert kinds(*answers) == ["applied", "applied", "dead", "dead"]
    assert "version 3 is not known here; known are 1, 2" in answers[2].reason
    assert kinds(*applier.retry_dead()) == ["dead", "dead"]
    assert [one.id for one in applier.dead_letters()] == [one.id for one in newest]

    upgraded = applier_of(engine, versions=Versions(3))
    assert kinds(*upgraded.retry_dead()) == ["applied", "applied"]
    assert upgraded.dead_letters() == []
    assert row(engine, "1") == ("open", 7)
    assert kinds(applier_of(engine).apply_event(new)) == ["dead"]


@pytest.mark.parametrize("version", ["updated_at", None])
@pytest.mark.parametrize("first", [1, 2])
def test_what_an_older_version_cannot_say_is_no_conflict(engine: Engine, first: int, version: str | None) -> None:
    """One id in two versions, the older saying less: in any order and repetition the row is as the newest says, and the effect runs once."""

    def less(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "state": {**data["state"], "status": "open"}}

    chain = Versions(2, [Version(number=1, up=dict, down=less, sunset="2999-01-01")])
    applier = applier_of(engine, version=version, versions=chain)
    insert(engine, "1", OPEN)
    newest = correction("updated", "1", {"status": "partly paid", "total": 8, "updated_at": second(5)}, OPEN, at=10, version=2)
    older = replace(newest, dataversion=1, data=chain.lowered(newest.data, 1))
    ran: list[str] = []
    order = [newest, older] if first == 2 else [older, newest]
    answers = [applier.apply_event(one, effect=lambda _, event: ran.append(event.id)) for one in (*order, *order, older)]
    assert kinds(*answers) == ["applied", "seen" if first == 2 else "applied", "seen", "seen", "seen"]
    assert (row(engine, "1"), ran, applier.conflicts()) == (("partly paid", 8), [newest.id], [])


def test_a_step_that_fails_is_a_dead_letter(sqlite: Engine) -> None:
    """A way from one version to the next that raises keeps the event, and says what it raised."""
    applier = applier_of(sqlite, versions=Versions(2, [Version(number=1, up=lambda data: data["no_such"])]))
    told = applier.apply_event(correction("created", "1", OPEN, None, at=1))
    assert told.kind is AppliedKind.DEAD
    assert "version 1 could not be raised to 2: KeyError" in told.reason


def test_columns_and_scale(sqlite: Engine) -> None:
    """A field goes to the column that is named, minor units to major ones; the version's field may have a column of another name."""
    applier = applier_of(sqlite, columns={"changed": "updated_at", "note": ""}, version="changed", scale={"total": 2})
    state = {"status": "open", "total": 1999, "changed": second(1), "note": "private"}
    assert applier.apply_event(correction("created", "1", state, None, at=10)).kind is AppliedKind.APPLIED
    assert row(sqlite, "1", "total, updated_at") == (19.99, second(1))
    assert applier.upsert("1", {"total": 5}, second(2)).kind is AppliedKind.APPLIED
    assert row(sqlite, "1", "total, updated_at") == (0.05, second(2))


def test_what_is_not_there_is_named(sqlite: Engine) -> None:
    """No such table, column or table of the applier's own: StoreMismatch with the real names and the way out."""
    for more, words in (({"table": "ordres"}, "'orders'"), ({"version": "updated"}, "'updated_at'"), ({"key": "idd"}, "'id'")):
        with pytest.raises(StoreMismatch, match=words):
            Applier(sqlite, **{"table": "orders", **more}).check()
    applier = Applier(sqlite, table="orders", prefix="shop_")
    with pytest.raises(StoreMismatch, match="shop_inbox") as caught:
        applier.check()
    assert "create_tables" in (caught.value.hint or "")
    with sqlite.begin() as connection:
        for statement in applier.ddl().split(";"):
            if statement.strip():
                connection.execute(text(statement))
    assert applier.check()


def test_a_database_that_is_gone_raises_and_nothing_is_written(tmp_path: Path) -> None:
    """Without its database the applier raises; the same event is taken once it is back."""
    engine = engine_of(f"sqlite:///{tmp_path}/shop.db")
    applier = applier_of(engine)
    fact = correction("created", "7", OPEN, None, at=10)
    blocker = create_engine(f"sqlite:///{tmp_path}/shop.db")
    quick = applier_of(create_engine(f"sqlite:///{tmp_path}/shop.db", connect_args={"timeout": 0.05}))
    quick.check()
    with blocker.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(exc.OperationalError):
            quick.apply_event(fact)
        connection.rollback()
    assert quick.apply_event(fact).kind is AppliedKind.APPLIED
    assert applier.apply_event(fact).kind is AppliedKind.ALREADY
    for one in (engine, blocker, quick.engine):
        one.dispose()


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """What each answers, all begun together."""
    barrier = threading.Barrier(len(works))
    found: list[Any] = []

    def run(work: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            found.append(work())
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_writers_at_once_end_in_the_newest(engine: Engine) -> None:
    """Corrections, webhooks and deletions of the same few items from six threads: nobody fails, each item ends in its newest fact, each effect runs once."""
    applier = applier_of(engine)
    applier.check()
    ran: list[str] = []
    keys = [str(number) for number in range(6)]
    created = [correction("created", key, OPEN, None, at=10) for key in keys]
    paid = [correction("updated", key, PAID, OPEN, at=20) for key in keys]

    def corrections(facts: list[Event]) -> Callable[[], Any]:
        return lambda: [applier.apply_event(one, effect=lambda _c, e: ran.append(e.id)) for one in facts]

    found = at_once(
        corrections(created),
        corrections([*paid, *created]),
        corrections(paid),
        lambda: [applier.upsert(key, {**OPEN, "total": 3}, second(3)) for key in keys],
        lambda: [applier.upsert(key, {**OPEN, "total": 4}, second(4)) for key in keys[:3]],
        lambda: [applier.delete(key, second(4)) for key in keys[3:]],
    )
    assert [one for one in found if isinstance(one, Exception)] == []
    assert rows(engine) == [(key, "open", 4) for key in keys[:3]]
    assert len(ran) == len(set(ran))


def test_nobody_writes_behind_a_tombstone(database: str) -> None:
    """On PostgreSQL a deletion of an item that is not there is not yet committed: an older webhook waits for it, and is turned away."""
    engine = engine_of(database)
    applier = applier_of(engine)
    found: list[Applied] = []
    with engine.begin() as connection:
        applier.delete("7", second(9), connection=connection)
        late = threading.Thread(target=lambda: found.append(applier.upsert("7", OPEN, second(5))))
        late.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        deadline = datetime.now(UTC) + timedelta(seconds=8)
        while connection.execute(text(waiting)).scalar_one() == 0 and datetime.now(UTC) < deadline:
            pass
    late.join()
    assert kinds(*found) == ["older"]
    assert rows(engine) == []
    engine.dispose()


def test_an_engine_that_begins_by_itself_is_served(tmp_path: Path) -> None:
    """SQLAlchemy's own recipe for SQLite, with BEGIN sent by a listener, works as well."""
    engine = engine_of(f"sqlite:///{tmp_path}/shop.db")

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    engine.dispose()
    applier = applier_of(engine)
    facts = [correction("created", str(number), OPEN, None, at=10) for number in range(10)]
    found = at_once(*[lambda: [applier.apply_event(one).kind.value for one in facts]] * 3)
    assert [one for one in found if isinstance(one, Exception)] == []
    assert sum(answers.count("applied") for answers in found) == 10
    engine.dispose()
