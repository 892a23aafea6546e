"""Laws of the applier, over random histories of one item: any order, any repetition and any interleaving of the same facts.

A history is what the third party's item went through. Of each step an ordinary webhook tells, through the guarded door; nights look at the
source and find corrections, whatever the target held. Facts come in two orders, with repeats, and are compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from recon.consume.applier import Applier
from tests.integration.consuming import START, Fact, Found, State, Webhook, applier_of, engine_of, insert, memory, row, second

END = 1000
"""Seconds after which everything has happened; what is delivered is delivered later."""
STATUSES = ("open", "paid", "refunded")
KEYS = count()
many = settings(max_examples=40, derandomize=True)
few = settings(max_examples=10, derandomize=True)


class Now:
    """The clock of the application: everything is delivered after everything has happened."""

    seconds = END

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)


@dataclass(frozen=True)
class World:
    """`truth`: what the source holds in the end. `held`: what the application's row holds before anything comes, or None."""

    truth: State | None
    held: State | None
    facts: tuple[Fact, ...]
    orders: tuple[tuple[Fact, ...], ...]

    def __repr__(self) -> str:
        """As Hypothesis shows it."""
        lines = [f"held {self.held}", f"truth {self.truth}"]
        for number, order in enumerate(self.orders):
            lines += [f"order {number}:", *(f"  {fact}" for fact in order)]
        return "\n".join(lines)


@st.composite
def worlds(draw: Any, *, grain: int = 1, versions: str = "updated_at", found_deletions: bool = True, reborn: bool = True) -> World:
    """A history of two to five steps, at most one of them a deletion beside the last; its versions tie within `grain` seconds."""
    moments = sorted(draw(st.lists(st.integers(1, 12 if grain > 1 else 60), min_size=2, max_size=5, unique=True)))
    history: list[tuple[int, State | None]] = []
    for number, moment in enumerate(moments):
        if not reborn and history and history[-1][1] is None and history[-1][0] // grain == moment // grain:
            continue
        gone = bool(history) and history[-1][1] is not None and draw(st.integers(0, 3)) == 0
        version = second(moment // grain * grain) if versions == "updated_at" else moment // grain
        state = None if gone else {"status": draw(st.sampled_from(STATUSES)), "total": number, versions: version}
        history.append((moment, state))
    webhooks = [Webhook(state, second(at // grain * grain) if versions == "updated_at" else at // grain) for at, state in history]
    nights: list[Found] = []
    for moment in sorted(draw(st.lists(st.integers(2, 70), max_size=3, unique=True))):
        seen = [state for at, state in history if at <= moment]
        if not seen:
            continue
        before = draw(st.sampled_from([one for one in (None, *seen) if one != seen[-1]] or [None]))
        if seen[-1] is not None or (before is not None and found_deletions):
            nights.append(Found(seen[-1], before, moment + 0.5))
    facts = (*draw(st.lists(st.sampled_from(webhooks), max_size=5, unique_by=id)), *nights)
    orders = tuple(_order(draw, facts) for _ in range(2))
    held = draw(st.sampled_from([None, *(state for _, state in history[:1])]))
    return World(history[-1][1], held, facts, orders)


def _order(draw: Any, facts: Sequence[Fact]) -> tuple[Fact, ...]:
    """All of them in some order, with some of them again."""
    again = draw(st.lists(st.sampled_from(facts), max_size=4)) if facts else []
    return tuple(draw(st.permutations([*facts, *again])))


def delivered(applier: Applier, order: Sequence[Fact], held: State | None) -> str:
    """A fresh key, with what its row held, and all of the order applied to it."""
    key = f"k{next(KEYS)}"
    if held is not None:
        insert(applier.engine, key, held)
    for fact in order:
        fact.sent(applier, key)
    return key


def standing(applier: Applier, key: str) -> tuple[Any, ...] | None:
    """The row, with its version."""
    return row(applier.engine, key, "status, total, updated_at, revision")


def disputed(applier: Applier, key: str) -> bool:
    """Whether a conflict about it is open."""
    return bool(applier.conflicts(key))


class Application:
    """One database for all examples, since each takes keys of its own; its appliers by times, by numbers, and by nothing."""

    def __init__(self, engine: Engine) -> None:
        self.now = Now()
        self.by_time, self.by_number, self.by_nothing = (
            applier_of(engine, version=version, clock=self.now) for version in ("updated_at", "revision", None)
        )


@pytest.fixture(scope="module")
def app() -> Application:
    """On SQLite."""
    return Application(memory())


def law_of_one_end(applier: Applier, world: World, version: str = "updated_at") -> None:
    """Both orders end alike, in the newest that was told."""
    first, other = (delivered(applier, order, world.held) for order in world.orders)
    assert standing(applier, first) == standing(applier, other)
    assert not disputed(applier, first)
    told = [(one[version], one) for one in [world.held] if one is not None]
    for fact in world.facts:
        if isinstance(fact, Webhook):
            told.append((fact.version, fact.state))
        else:
            told.append((second(fact.at) if fact.state is None else fact.state[version], fact.state))
    newest = max(told, key=lambda pair: (len(str(pair[0])) if isinstance(pair[0], int) else 0, pair[0]), default=("", None))[1]
    found = row(applier.engine, first)
    assert found == (None if newest is None else (newest["status"], newest["total"]))


def law_of_one_end_or_a_conflict(applier: Applier, world: World) -> None:
    """Orders that end otherwise say so by an open conflict."""
    first, other = (delivered(applier, order, world.held) for order in world.orders)
    if standing(applier, first) != standing(applier, other):
        assert disputed(applier, first) or disputed(applier, other)


@many
@given(world=worlds())
def test_any_order_ends_alike(app: Application, world: World) -> None:
    """Versions that are times, all different: whatever the order and the repeats, the newest fact stands, a deletion too, and nothing is in conflict."""
    law_of_one_end(app.by_time, world)


@many
@given(world=worlds(versions="revision", found_deletions=False))
def test_any_order_ends_alike_by_number(app: Application, world: World) -> None:
    """The same where versions are numbers and deletions are told by webhooks."""
    law_of_one_end(app.by_number, world, "revision")


@many
@given(world=worlds(versions="revision"))
def test_a_found_deletion_without_a_version_ends_alike_or_in_conflict(app: Application, world: World) -> None:
    """Where versions are numbers, a deletion that was found has none: orders that end otherwise say so by an open conflict."""
    law_of_one_end_or_a_conflict(app.by_number, world)


@many
@given(world=worlds(grain=5, reborn=False))
def test_ties_end_alike_or_in_conflict(app: Application, world: World) -> None:
    """Versions that tie: orders that end otherwise say so by an open conflict. Deleted and made again within one tick is for the next law."""
    law_of_one_end_or_a_conflict(app.by_time, world)


def law_of_the_next_night(applier: Applier, now: Now, world: World, version: str = "updated_at") -> None:
    """Whatever came in whichever order, the next night puts it right; after that a replay of everything changes nothing."""
    now.seconds = END
    key = delivered(applier, world.orders[0], world.held)
    now.seconds = 2 * END
    held = row(applier.engine, key, f"status, total, {version}")
    before = None if held is None else {"status": held[0], "total": held[1], version: _wire(held[2])}
    if before != world.truth:
        Found(world.truth, before, END + 100).sent(applier, key)
    wanted = None if world.truth is None else (world.truth["status"], world.truth["total"])
    assert row(applier.engine, key) == wanted
    stands = standing(applier, key)
    for fact in world.orders[1]:
        fact.sent(applier, key)
        assert standing(applier, key) == stands, f"{fact} changed it after the night"
    now.seconds = END


def _wire(held: Any) -> Any:
    return held if held is None or isinstance(held, str | int) else held.astimezone(START.tzinfo).isoformat().replace("+00:00", "Z")


@many
@given(world=worlds(grain=5))
def test_the_next_night_heals_ties_and_a_replay_changes_nothing(app: Application, world: World) -> None:
    """With versions that tie, and facts that were lost: one correction later the truth stands, and no older fact undoes it, deletions included."""
    law_of_the_next_night(app.by_time, app.now, world)


@many
@given(world=worlds(versions="revision"))
def test_the_next_night_heals_numbers_and_a_replay_changes_nothing(app: Application, world: World) -> None:
    """The same with versions that are numbers."""
    law_of_the_next_night(app.by_number, app.now, world, "revision")


@st.composite
def chains(draw: Any) -> tuple[State | None, tuple[Found, ...], tuple[Found, ...]]:
    """What a row held, corrections each of which found what the one before left, and an order of theirs with repeats."""
    held = draw(st.sampled_from([None, {"status": "open", "total": 0}]))
    before, found = held, []
    for night in range(1, draw(st.integers(2, 5))):
        states = [{"status": status, "total": total} for status in STATUSES for total in (0, 1)] + ([None] if before is not None else [])
        state = draw(st.sampled_from([one for one in states if one != before]))
        found.append(Found(state, before, float(night)))
        before = state
    return held, tuple(found), _order(draw, found)  # type: ignore[return-value]  # Of corrections alone.


@many
@given(chain=chains())
def test_without_versions_a_chain_of_corrections_ends_alike(app: Application, chain: Any) -> None:
    """No versions at all, states that come back: corrections in any order end in the last one's, and a replay of everything changes nothing."""
    held, found, order = chain
    applier = app.by_nothing
    key = delivered(applier, order, held)
    wanted = None if found[-1].state is None else (found[-1].state["status"], found[-1].state["total"])
    assert row(applier.engine, key) == wanted
    assert not disputed(applier, key)
    for fact in (*found, *reversed(found)):
        fact.sent(applier, key)
        assert row(applier.engine, key) == wanted


@pytest.fixture
def on_postgresql(database: str) -> Iterator[Application]:
    """On a real server."""
    engine = engine_of(database)
    yield Application(engine)
    engine.dispose()


@settings(few, suppress_health_check=[HealthCheck.function_scoped_fixture], phases=[Phase.explicit, Phase.generate])
@given(world=worlds(), tied=worlds(grain=5))
def test_the_laws_hold_on_postgresql(on_postgresql: Application, world: World, tied: World) -> None:
    """The first and the last law against a real server, with a column of its own type of time."""
    law_of_one_end(on_postgresql.by_time, world)
    law_of_the_next_night(on_postgresql.by_time, on_postgresql.now, tied)


@pytest.mark.soak
@pytest.mark.timeout(0)
@settings(max_examples=3000)
@given(world=worlds(), numbered=worlds(versions="revision"), tied=worlds(grain=5, reborn=False), any_tied=worlds(grain=5))
def test_the_laws_hold_for_long(app: Application, world: World, numbered: World, tied: World, any_tied: World) -> None:
    """All of them, on histories that are others every time; a failure prints what reproduces it."""
    law_of_one_end(app.by_time, world)
    law_of_one_end_or_a_conflict(app.by_number, numbered)
    law_of_one_end_or_a_conflict(app.by_time, tied)
    law_of_the_next_night(app.by_time, app.now, any_tied)
    law_of_the_next_night(app.by_number, app.now, numbered, "revision")
