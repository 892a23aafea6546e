"""The effect belongs to the fact: it runs once, whoever brings the fact, and nothing is lost where an ordinary webhook was quicker."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from recon.consume import AppliedKind, Applier
from recon.event import Event
from recon.testing.clock import FixedClock
from tests.integration.consuming import START, applier_of, correction, engine_of, insert, memory, row, second

OPEN = {"status": "open", "total": 1, "updated_at": second(1)}
PAID = {"status": "paid", "total": 2, "updated_at": second(2)}
NIGHT = START + timedelta(seconds=100)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The application's database."""
    made = memory() if request.param == "sqlite" else engine_of(request.getfixturevalue("database"))
    yield made
    made.dispose()


class Shop:
    """An application whose effects are counted."""

    def __init__(self, engine: Engine, **more: Any) -> None:
        self.engine = engine
        self.clock = FixedClock(NIGHT)
        self.applier: Applier = applier_of(engine, clock=self.clock, **more)
        self.ran: list[str] = []

    def effect(self, _connection: Connection, event: Event) -> None:
        self.ran.append(event.id)

    def webhook(self, _connection: Connection) -> None:
        self.ran.append("webhook")

    def corrected(self, event: Event, **more: Any) -> str:
        return self.applier.apply_event(event, effect=self.effect, **more).kind.value


def test_a_state_that_came_without_its_effect_owes_it(engine: Engine) -> None:
    """Through the door without an effect, or by a handler that knows no door: the correction that finds it so runs it, once."""
    shop = Shop(engine)
    shop.applier.upsert("7", PAID, second(2))
    insert(engine, "8", PAID)
    facts = [correction("updated", key, PAID, OPEN, at=10) for key in "78"]
    assert [shop.corrected(one) for one in (*facts, *facts)] == ["already", "already", "seen", "seen"]
    assert shop.ran == [one.id for one in facts]


def test_a_deletion_that_came_without_its_effect_owes_it(engine: Engine) -> None:
    """The same for an item that an ordinary webhook took out, and not for one that the webhook's own effect knows of."""
    shop = Shop(engine)
    shop.applier.delete("7", second(2))
    shop.applier.delete("8", second(2), effect=shop.webhook)
    facts = [correction("deleted", key, None, OPEN, at=10) for key in "78"]
    assert [shop.corrected(one) for one in (*facts, *facts)] == ["already", "already", "seen", "seen"]
    assert shop.ran == ["webhook", facts[0].id]


@pytest.mark.parametrize("told", ["callable", "done"])
@pytest.mark.parametrize("version", [second(2), "2026-11-23T00:00:02.345678Z"])
def test_an_ordinary_webhook_with_its_effect_leaves_none(engine: Engine, told: str, version: str) -> None:
    """Run in its transaction or said to be done: neither a repeat nor the correction runs it again, though that tells the time less finely."""
    shop = Shop(engine)
    state = {**PAID, "updated_at": version}
    for _ in range(2):
        shop.applier.upsert("7", state, version, effect=shop.webhook if told == "callable" else "done")
    fact = correction("updated", "7", PAID, OPEN, at=10)
    assert [shop.corrected(fact), shop.corrected(fact)] == ["already", "seen"]
    assert shop.ran == (["webhook"] if told == "callable" else [])


def test_an_effect_of_the_correction_is_not_had_again_by_a_late_webhook(engine: Engine) -> None:
    """The correction was quicker: the webhook that it stood in for finds the fact as it is, with its effect; the next fact has its own."""
    shop = Shop(engine)
    fact = correction("created", "7", PAID, None, at=10)
    assert shop.corrected(fact) == "applied"
    assert shop.applier.upsert("7", PAID, second(2), effect=shop.webhook).kind is AppliedKind.ALREADY
    assert shop.ran == [fact.id]
    assert shop.applier.upsert("7", {**PAID, "total": 3}, second(3), effect=shop.webhook).effect
    assert shop.ran == [fact.id, "webhook"]


def test_a_correction_without_an_effect_leaves_it_to_the_webhook(engine: Engine) -> None:
    """Applied by a consumer that has none: the late webhook has its own, once."""
    shop = Shop(engine)
    shop.applier.apply_event(correction("created", "7", PAID, None, at=10))
    for _ in range(2):
        assert shop.applier.upsert("7", PAID, second(2), effect=shop.webhook).kind is AppliedKind.ALREADY
    assert shop.ran == ["webhook"]


def test_another_correction_of_the_same_fact_runs_none(engine: Engine) -> None:
    """Found once more under another id, while the row stands as the first one left it: its effect was had; but not once somebody else wrote."""
    shop = Shop(engine)
    shop.corrected(correction("created", "7", PAID, None, at=10, id="first"))
    again = correction("created", "7", PAID, None, at=20, id="second")
    assert [shop.corrected(again), shop.corrected(again)] == ["already", "seen"]
    assert shop.ran == ["first"]


def test_it_may_be_declared_that_others_have_their_effects(engine: Engine) -> None:
    """`ordinary="done"`: whoever else writes the row has its effects, so a correction that finds its state runs none; a word that is none is refused."""
    shop = Shop(engine, ordinary="done")
    shop.applier.upsert("7", PAID, second(2))
    fact = correction("updated", "7", PAID, OPEN, at=10)
    assert [shop.corrected(fact), shop.corrected(fact)] == ["already", "already"]
    assert shop.ran == []
    with pytest.raises(ValueError, match="ordinary"):
        Applier(engine, table="orders", ordinary="never")


def test_a_replay_and_an_old_event_owe_nothing(engine: Engine) -> None:
    """Sent again on demand, or older than the window in which repeats are known: what is so already runs no effect."""
    shop = Shop(engine, inbox="1d")
    for key in "78":
        insert(engine, key, PAID)
    replayed, old = correction("updated", "7", PAID, OPEN, at=10), correction("updated", "8", PAID, OPEN, at=10)
    assert shop.corrected(replayed, replayed=True) == "already"
    assert (
        shop.applier.apply_all(
            replayed.encode(), headers={"Content-Type": "application/cloudevents+json", "Recon-Replay-Id": "r"}, effect=shop.effect
        )[0].effect
        is False
    )
    shop.clock.advance(2 * 86_400)
    assert shop.corrected(replace(old, recorded=datetime(2026, 11, 23, tzinfo=UTC))) == "already"
    assert shop.ran == []


def test_a_conflict_that_a_webhook_settles_has_its_effect(engine: Engine) -> None:
    """A correction in conflict, and then an ordinary webhook with the very state: it is no conflict any more, and the applier's own effect runs for it."""
    shop = Shop(engine)
    shop.applier = applier_of(engine, clock=shop.clock, effect=shop.effect)
    insert(engine, "7", {**OPEN, "total": 9})
    fact = correction("updated", "7", {**PAID, "updated_at": second(1)}, OPEN, at=10)
    assert shop.applier.apply_event(fact).kind is AppliedKind.CONFLICT
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM orders"))
    assert shop.applier.upsert("7", {**PAID, "updated_at": second(1)}, second(1)).kind is AppliedKind.APPLIED
    assert shop.applier.conflicts() == []
    assert shop.ran == [fact.id]
    assert shop.applier.apply_event(fact).kind is AppliedKind.SEEN


def test_ties_of_ordinary_webhooks(engine: Engine) -> None:
    """The same state in one second is no conflict; another one is; a sequence of the source's own orders them, whichever comes first."""
    applier = applier_of(engine)
    one, other = {"status": "open", "total": 1}, {"status": "paid", "total": 2}
    fine = "2026-11-23T00:00:02.345678Z"
    kinds = [applier.upsert("7", one, at).kind.value for at in (fine, second(2), second(2))]
    assert kinds == ["applied", "already", "already"]
    assert applier.upsert("7", other, second(2)).kind is AppliedKind.CONFLICT
    by_sequence = applier_of(engine, sequence="revision")
    for key, order in (("8", (1, 2)), ("9", (2, 1))):
        kinds = [by_sequence.upsert(key, {**(one if number == 1 else other), "revision": number}, second(2)).kind.value for number in order]
        assert kinds == ["applied", "applied" if key == "8" else "older"]
        assert row(engine, key) == ("paid", 2)
    event = correction(
        "updated", "9", {**one, "revision": 1, "updated_at": second(2)}, {**one, "revision": 0, "updated_at": second(2)}, at=9
    )
    assert by_sequence.apply_event(event).kind is AppliedKind.OLDER


def test_the_later_arrival_may_be_declared_to_stand(engine: Engine) -> None:
    """`ties="later arrival"`: of two ordinary webhooks of one second the second stands, a finer time that stood there is kept; an older one is older as ever."""
    applier = applier_of(engine, ties="later arrival")
    fine = "2026-11-23T00:00:02.345678Z"
    applier.upsert("7", {"status": "open", "total": 1}, fine)
    assert applier.upsert("7", {"status": "paid", "total": 2}, second(2)).kind is AppliedKind.APPLIED
    assert row(engine, "7") == ("paid", 2)
    assert applier.upsert("7", {"status": "void", "total": 2}, second(1)).kind is AppliedKind.OLDER
    assert applier.upsert("7", {"status": "void", "total": 2}, "2026-11-23T00:00:02.345Z").kind is AppliedKind.APPLIED
    assert applier.upsert("7", {"status": "void", "total": 2}, "2026-11-23T00:00:02.344Z").kind is AppliedKind.OLDER
    assert applier.conflicts() == []
    with pytest.raises(ValueError, match="later arrival"):
        Applier(engine, table="orders", ties="first")
