"""Many events in one transaction: whatever the split, each comes to what it would come to by itself, and one that fails costs only itself."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, event, exc, text

from recon.consume import Applied, AppliedKind, Applier
from recon.consume.batch import Item
from recon.event import Event
from recon.event.cloudevents import STRUCTURED
from tests.integration.consuming import Found, State, Webhook, applier_of, correction, engine_of, insert, memory, row, second
from tests.integration.test_consume_laws import Now, World, worlds

GROUPS = count()
Effect = Callable[[Connection, Event], Any]
OPEN = {"status": "open", "total": 1, "updated_at": second(1)}
#: What no table takes, and what nobody here can read.
POISON: tuple[tuple[str, State, int], ...] = (
    ("created", {**OPEN, "status": None}, 1),
    ("created", {**OPEN, "total": 10**30}, 1),
    ("created", {"nothing_of": "ours"}, 1),
    ("exploded", OPEN, 1),
    ("created", OPEN, 9),
)


def made(found: Found, key: str) -> Event:
    """A correction as an event."""
    op = "deleted" if found.state is None else "created" if found.before is None else "updated"
    return correction(op, key, found.state, found.before, at=found.at)


@st.composite
def batches(draw: Any, *, versions: str = "updated_at", grain: int = 1) -> tuple[list[World], list[tuple[int, Any]], list[int]]:
    """Items with their histories, facts of theirs in one order for all, and where the order is cut."""
    drawn = [draw(worlds(versions=versions, grain=grain)) for _ in range(draw(st.integers(2, 5)))]
    facts: list[tuple[int, Any]] = [(number, fact) for number, world in enumerate(drawn) for fact in world.orders[0]]
    facts += [(draw(st.integers(0, len(drawn) - 1)), draw(st.sampled_from(POISON))) for _ in range(draw(st.integers(0, 2)))]
    order = draw(st.permutations(facts))
    if draw(st.booleans()):
        # The webhooks first: nothing cuts the corrections apart then.
        order = sorted(order, key=lambda one: not isinstance(one[1], Webhook))
    return drawn, order, draw(st.lists(st.integers(0, len(order)), max_size=2))


class Side:
    """One way of applying: items of its own in a database that both ways share."""

    def __init__(self, applier: Applier, drawn: Sequence[World]) -> None:
        self.applier = applier
        self.group = f"{next(GROUPS)}"
        self.keys = [f"g{self.group}-{number}" for number in range(len(drawn))]
        self.answers: list[tuple[str, str, str]] = []
        for key, world in zip(self.keys, drawn, strict=True):
            if world.held is not None:
                insert(applier.engine, key, world.held)

    def event(self, number: int, fact: Any) -> Event:
        """The fact as an event about this side's own item."""
        if isinstance(fact, Found):
            return made(fact, self.keys[number])
        op, state, version = fact
        return correction(op, self.keys[number], state, None, at=1, version=version, id=f"{op}-{self.keys[number]}-{state}-{version}")

    def answered(self, answers: Sequence[Applied]) -> None:
        """Kept without this side's names."""
        self.answers += [(one.kind.value, self.own(one.key), self.own(one.reason)) for one in answers]

    def own(self, words: str | None) -> str:
        """The same words on both sides."""
        return re.sub("webhook:[0-9a-f]+", "webhook", (words or "").replace(f"g{self.group}-", "g-"))

    def left(self) -> list[Any]:
        """Everything that is there of its items now."""
        applier = self.applier
        found: list[Any] = [row(applier.engine, key, "status, total, updated_at, revision") for key in self.keys]
        with applier.engine.connect() as connection:
            for table in ("marks", "conflicts"):
                statement = text(f"SELECT * FROM recon_{table} WHERE key LIKE :own ORDER BY key")
                found += [
                    {name: self.own(str(value)) for name, value in one.items() if name not in {"at", "body", "settled_at"}}
                    for one in connection.execute(statement, {"own": f"g{self.group}-%"}).mappings()
                ]
        found += sorted((self.own(one.id), self.own(one.reason)) for one in applier.dead_letters() if f"g{self.group}-" in (one.id or ""))
        return sorted(found, key=repr)


def law_of_any_split(applier: Applier, drawn: Any) -> None:
    """One by one, and by `apply_many` cut anywhere: the same answers, rows, marks, conflicts and dead letters."""
    histories, order, cuts = drawn
    if "version" not in applier.check():
        order = [one for one in order if not isinstance(one[1], Webhook)]  # Without versions there is no door for them.
    one_by_one, together = Side(applier, histories), Side(applier, histories)
    for number, fact in order:
        if isinstance(fact, Webhook):
            one_by_one.answered([fact.sent(applier, one_by_one.keys[number])])
        else:
            one_by_one.answered([applier.apply_event(one_by_one.event(number, fact))])
    edges = sorted({0, *cuts, len(order)})
    for first, last in pairwise(edges):
        waiting: list[Event] = []
        for number, fact in order[first:last]:
            if isinstance(fact, Webhook):
                together.answered(applier.apply_many(waiting))
                waiting = []
                together.answered([fact.sent(applier, together.keys[number])])
            else:
                waiting.append(together.event(number, fact))
        together.answered(applier.apply_many(waiting))
    assert together.answers == one_by_one.answers
    assert together.left() == one_by_one.left()


class Failing:
    """Side effects that leave a note, and fail for those that were found in each so many-th second."""

    def __init__(self, side: Side, fails: int) -> None:
        self.side, self.fails = side, fails
        self.ran: list[str] = []

    def __call__(self, _connection: Connection, one: Event) -> None:
        if one.recorded.second % self.fails == 0:
            raise LookupError("no such customer")
        self.ran.append(self.side.own(one.id))


def law_of_effects(applier: Applier, drawn: Any, fails: int) -> None:
    """With effects that fail now and then: one by one, each key behind its own failure, and `apply_many` cut anywhere come to the same, effects included."""
    histories, order, cuts = drawn
    one_by_one, together = Side(applier, histories), Side(applier, histories)
    singly, many = Failing(one_by_one, fails), Failing(together, fails)
    order = [one for one in order if isinstance(one[1], Found)]
    edges = sorted({0, *(min(cut, len(order)) for cut in cuts), len(order)})
    for first, last in pairwise(edges):
        stuck: set[int] = set()
        for number, found in order[first:last]:
            fact = one_by_one.event(number, found)
            if number in stuck:
                one_by_one.answers.append(("failed", one_by_one.own(fact.partitionkey), "it comes behind one that failed"))
                continue
            try:
                one_by_one.answered([applier.apply_event(fact, effect=singly)])
            except LookupError as error:
                stuck.add(number)
                one_by_one.answers.append(("failed", one_by_one.own(fact.partitionkey), f"its effect raised LookupError: {error}"))
        together.answered(applier.apply_many([together.event(*one) for one in order[first:last]], effect=many))
    assert together.answers == one_by_one.answers
    assert together.left() == one_by_one.left()
    assert many.ran == singly.ran


class Application:
    """One database for all examples; appliers by times, by numbers, and by nothing."""

    def __init__(self, engine: Engine) -> None:
        self.appliers = [applier_of(engine, version=version, clock=Now()) for version in ("updated_at", "revision", None)]
        self.by_time, self.by_number, self.by_nothing = self.appliers


@pytest.fixture(scope="module")
def app() -> Application:
    """On SQLite."""
    return Application(memory())


@settings(max_examples=8, derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(by_time=batches(), tied=batches(grain=5), by_number=batches(versions="revision"))
def test_any_split_is_as_good_as_one_by_one(app: Application, by_time: Any, tied: Any, by_number: Any) -> None:
    """Random histories of several items with repeats, webhooks in between, conflicts and poison, cut anywhere."""
    law_of_any_split(app.by_time, by_time)
    law_of_any_split(app.by_time, tied)
    law_of_any_split(app.by_number, by_number)
    law_of_any_split(app.by_nothing, tied)


@settings(max_examples=12, derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(drawn=batches(), fails=st.integers(2, 5))
def test_any_split_is_as_good_with_effects(app: Application, drawn: Any, fails: int) -> None:
    """Effects that fail for some facts: they run for the same events, in the same order, and hold up the same."""
    law_of_effects(app.by_time, drawn, fails)


@pytest.fixture
def on_postgresql(database: str) -> Iterator[Application]:
    """On a real server."""
    engine = engine_of(database)
    yield Application(engine)
    engine.dispose()


@settings(
    max_examples=3, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture], phases=[Phase.explicit, Phase.generate]
)
@given(by_time=batches(), tied=batches(grain=5))
def test_any_split_on_postgresql(on_postgresql: Application, by_time: Any, tied: Any) -> None:
    """The same against a real server, where an event that it refuses spoils a transaction."""
    law_of_any_split(on_postgresql.by_time, by_time)
    law_of_effects(on_postgresql.by_time, tied, 3)
    law_of_any_split(on_postgresql.by_time, tied)


@pytest.mark.soak
@pytest.mark.timeout(0)
@settings(max_examples=2000)
@given(by_time=batches(), tied=batches(grain=5), by_number=batches(versions="revision"))
def test_any_split_for_long(app: Application, by_time: Any, tied: Any, by_number: Any) -> None:
    """On histories that are others every time."""
    law_of_any_split(app.by_time, by_time)
    law_of_any_split(app.by_time, tied)
    law_of_any_split(app.by_number, by_number)
    law_of_any_split(app.by_nothing, tied)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The application's database, with a table for the effects."""
    made = memory() if request.param == "sqlite" else engine_of(request.getfixturevalue("database"))
    with made.begin() as connection:
        connection.execute(text("CREATE TABLE mails (id text)"))
    yield made
    made.dispose()


def mails(engine: Engine) -> list[str]:
    """Whose effects are there, in order of keys."""
    with engine.connect() as connection:
        return sorted(connection.execute(text("SELECT id FROM mails")).scalars())


def commits_of(engine: Engine) -> list[int]:
    """Grows with each commit."""
    seen: list[int] = []
    event.listen(engine, "commit", lambda _connection: seen.append(1))
    return seen


def created(key: str, at: float = 10, **more: Any) -> Event:
    """An item that was not there."""
    return correction("created", key, {**OPEN, **more}, None, at=at)


def test_many_are_one_transaction_and_few_statements(engine: Engine) -> None:
    """A hundred items in one commit, and not in a statement for each; the same again writes nothing."""
    applier = applier_of(engine)
    applier.check()
    commits = commits_of(engine)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _cursor, statement, *_: statements.append(statement))
    events = [created(str(number)) for number in range(100)]
    assert {one.kind for one in applier.apply_many(events)} == {AppliedKind.APPLIED}
    assert len(commits) == 1
    assert len(statements) < 20
    assert {one.kind for one in applier.apply_many(events)} == {AppliedKind.ALREADY}
    changed = [correction("updated", one.partitionkey, {**OPEN, "total": 2, "updated_at": second(2)}, OPEN, at=20) for one in events]
    gone = [correction("deleted", one.partitionkey, None, one.data["state"], at=30) for one in changed[:50]]
    assert {one.kind for one in applier.apply_many([*changed, *gone])} == {AppliedKind.APPLIED}
    assert len(commits) == 3
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*), min(total) FROM orders")).one() == (50, 2)


def test_a_poison_event_costs_only_itself(engine: Engine) -> None:
    """In the middle of a batch, one that the database refuses: a dead letter, and the twenty-nine beside it are there, in one transaction."""
    applier = applier_of(engine)
    applier.check()
    commits = commits_of(engine)
    events = [created(str(number)) for number in range(30)]
    events[20] = created("20", status=None)
    answers = applier.apply_many(events)
    assert [number for number, one in enumerate(answers) if one.kind is not AppliedKind.APPLIED] == [20]
    assert answers[20].kind is AppliedKind.DEAD
    assert len(commits) == 1
    assert len(applier.dead_letters()) == 1


def test_an_effect_that_raises_costs_its_key_alone(engine: Engine) -> None:
    """It and what follows in its key are FAILED and not written; the effects of all others ran once, and none twice when those come again."""
    applier = applier_of(engine)
    broken = {"3"}

    def effect(connection: Connection, one: Event) -> None:
        connection.execute(text("INSERT INTO mails VALUES (:id)"), {"id": one.id})
        if one.partitionkey in broken:
            raise LookupError("no such customer")

    events = [created(str(number)) for number in range(6)]
    later = correction("updated", "3", {**OPEN, "total": 2, "updated_at": second(2)}, OPEN, at=20)
    answers = applier.apply_many([*events, later], effect=effect)
    assert [one.kind.value for one in answers] == ["applied"] * 3 + ["failed"] + ["applied"] * 2 + ["failed"]
    assert (answers[3].reason, answers[6].reason) == (
        "its effect raised LookupError: no such customer",
        "it comes behind one that failed",
    )
    assert isinstance(answers[3].error, Exception)
    assert isinstance(answers[3].error.__cause__, LookupError)
    assert not answers[3].taken
    assert mails(engine) == [one.id for one in events if one.partitionkey != "3"]
    assert row(engine, "3") is None
    broken.clear()
    again = applier.apply_many([*events, later], effect=effect)
    assert [one.kind.value for one in again] == ["seen"] * 3 + ["applied"] + ["seen"] * 2 + ["applied"]
    assert mails(engine) == sorted(one.id for one in [*events, later])


def test_what_the_commit_refuses_is_tried_one_by_one(database: str) -> None:
    """A constraint that PostgreSQL looks at when the transaction ends: its event is held up by itself, the others are applied."""
    engine = engine_of(database)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE allowed (total bigint PRIMARY KEY)"))
        connection.execute(text("INSERT INTO allowed VALUES (1)"))
        connection.execute(text("ALTER TABLE orders ADD FOREIGN KEY (total) REFERENCES allowed DEFERRABLE INITIALLY DEFERRED"))
    applier = applier_of(engine)
    answers = applier.apply_many([created("1"), created("2", total=9), created("3")])
    assert [one.kind.value for one in answers] == ["applied", "failed", "applied"]
    assert isinstance(answers[1].error, exc.IntegrityError)
    assert [row(engine, key) for key in "123"] == [("open", 1), None, ("open", 1)]
    for one in (created("4", total=9), created("5")):
        applier.bury(one.encode(), {"content-type": STRUCTURED}, "not now")
    assert [one.kind.value for one in applier.retry_dead()] == ["dead", "applied"]
    assert len(applier.dead_letters()) == 1
    engine.dispose()


def test_keys_that_mean_the_same_row_are_taken_one_after_another(database: str) -> None:
    """Where the key is a number, 7 and 007 are one row: applied as one by one would, and not twice at once."""
    engine = engine_of(database)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE numbered (id bigint, status text, total bigint, updated_at timestamptz)"))
    applier = applier_of(engine, table="numbered")
    events = [replace(created("7"), id="a"), replace(created("007"), id="b"), created("8")]
    assert [one.kind.value for one in applier.apply_many(events)] == ["applied", "already", "applied"]
    with engine.connect() as connection:
        assert connection.execute(text("SELECT id FROM numbered ORDER BY id")).scalars().all() == [7, 8]
    engine.dispose()


def test_what_is_no_event_of_ours_costs_itself_alone(engine: Engine) -> None:
    """An op that is a list, as only a broken sender writes it: a dead letter, by itself as among others."""
    applier = applier_of(engine)
    odd = replace(created("2"), data={**created("2").data, "op": ["created"]})
    assert applier.apply_event(odd).kind is AppliedKind.DEAD
    assert [one.kind.value for one in applier.apply_many([created("1"), odd, created("3")])] == ["applied", "dead", "applied"]


def test_a_conflict_over_what_no_database_takes_as_text_is_one(engine: Engine) -> None:
    """A version with a NUL in it, beside a row that is otherwise: kept as a conflict, by itself as among others, and nothing waits for it."""
    applier = applier_of(engine)
    insert(engine, "2", OPEN)
    odd = correction("created", "2", {**OPEN, "total": 2, "updated_at": "\0"}, None, at=10)
    assert applier.apply_event(odd).kind is AppliedKind.CONFLICT
    assert [one.kind.value for one in applier.apply_many([created("1"), odd, created("3")])] == ["applied", "conflict", "applied"]
    assert [one.times for one in applier.conflicts("2")] == [2]


def test_what_is_stuck_is_not_tried_together_either(engine: Engine) -> None:
    """An item whose earlier event failed waits for that one, whether its own event would be taken by itself or with others."""
    stuck = {"2"}
    answers = applier_of(engine).take_some([Item(created(key)) for key in "123"], stuck=stuck)
    assert [one.kind.value for one in answers] == ["applied", "failed", "applied"]
    assert (row(engine, "2"), stuck) == (None, {"2"})
