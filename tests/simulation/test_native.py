"""Corrections as the third party's own webhooks in the simulated world: with a safeguard taken away, the oracle finds it by the law that it holds."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, NamedTuple

import pytest

from recon.fetch.page import LookupStatus
from recon.native import Webhook
from recon.publishers import webhook
from recon.publishers.base import Outcome, OutcomeKind
from recon.publishers.natively import Natively
from recon.testing.simulation import World, run_world
from tests.simulation.calm import CALM
from tests.simulation.posted import HAS, HEALS, ID, SHOWN, SIGNED

Patch = pytest.MonkeyPatch

WORLD = CALM.but(name="posted", native="versions", moods={"prompt": 1.0}, nights=1)


def read_once(patch: Patch) -> None:
    """An item is read for its first webhook, and what it was then is told ever after."""
    real, known = Natively._read, {}

    def read(self: Any, resource: str, keys: Sequence[str], clock: Any) -> Any:
        for key, found in real(self, resource, keys, clock).items():
            known.setdefault((resource, key), found)
        return {key: known[resource, key] for key in keys}

    patch.setattr(Natively, "_read", read)


def absent_is_deleted(patch: Patch) -> None:
    """Any 404 counts as a deletion."""
    real = Natively._read

    def read(self: Any, resource: str, keys: Sequence[str], clock: Any) -> Any:
        found = real(self, resource, keys, clock)
        gone = {key: replace(one, status=LookupStatus.DELETED) for key, one in found.items() if one.status is LookupStatus.NOT_FOUND}
        return {**found, **gone}

    patch.setattr(Natively, "_read", read)


def unreadable_is_told(patch: Patch) -> None:
    """What was read is told, whether the job can read it or not."""
    patch.setattr(Natively, "_understood", lambda _self, read, _told: read)


def lettered(patch: Patch, change: Callable[[Webhook], Webhook]) -> None:
    """What is to be posted, changed."""
    real = Natively._letter

    def letter(*given: Any) -> Any:
        made = real(*given)
        return change(made) if isinstance(made, Webhook) else made

    patch.setattr(Natively, "_letter", letter)


def another_id_each_time(patch: Patch) -> None:
    """Each try has an id of its own."""
    numbers = count()
    lettered(patch, lambda made: replace(made, headers={**made.headers, "x-shop-delivery": f"try-{next(numbers)}"}))


def topic_of_ours(patch: Patch) -> None:
    """A topic that the third party does not have."""
    lettered(patch, lambda made: replace(made, headers={**made.headers, "x-shop-topic": f"{made.topic.partition('.')[0]}.touched"}))


def signed_once(patch: Patch) -> None:
    """A repeat has the signature of the first try."""
    real, known = Natively.__init__, {}

    def made(self: Any, *given: Any) -> None:
        real(self, *given)
        sign = self.native.sign
        self.native.sign = lambda letter, secrets, *, now: known.setdefault(letter.id, sign(letter, secrets, now=now))

    patch.setattr(Natively, "__init__", made)


def any_answer_counts(patch: Patch) -> None:
    """An endpoint that answers has taken it in, whatever it answers."""
    patch.setattr(webhook, "of_answer", lambda _answer, ids, **_: ([Outcome(kind=OutcomeKind.CONFIRMED)] * len(ids), None))


DOWN = {"down": 1.0, "prompt": 1.0}
UNREADABLE = WORLD.but(moods=DOWN, troubles={"unreadable": 0.6}, by_hand=3.0, nights=3, records=(10, 12), absence="marker")


class Safeguard(NamedTuple):
    """What is taken away, the law that is violated then, a world in which it matters, and the first seed that is looked at."""

    take_away: Callable[[Patch], None]
    law: str
    world: World
    seed: int = 1


SAFEGUARDS = [
    Safeguard(read_once, HAS, WORLD, 4),
    Safeguard(absent_is_deleted, SHOWN, WORLD.but(moods=DOWN, troubles={"reads 404": 0.5}, by_hand=3.0, nights=3), 5),
    Safeguard(unreadable_is_told, SHOWN, UNREADABLE, 7),
    Safeguard(another_id_each_time, ID, WORLD.but(moods={"unanswered": 1.0})),
    Safeguard(signed_once, SIGNED, WORLD.but(moods={"failing": 1.0})),
    Safeguard(topic_of_ours, HEALS, WORLD),
    Safeguard(any_answer_counts, "14 what counts as confirmed was taken", WORLD.but(moods={"failing": 1.0})),
]


@pytest.mark.parametrize("safeguard", SAFEGUARDS, ids=lambda one: one.take_away.__name__)
def test_a_safeguard_that_is_missing_is_found(safeguard: Safeguard, monkeypatch: Patch) -> None:
    """Of a program without the safeguard the law that it holds is found violated, within few seeds."""
    safeguard.take_away(monkeypatch)

    for seed in range(safeguard.seed, safeguard.seed + 8):
        broken = run_world(safeguard.world, seed).violations
        print(f"seed {seed}: {[str(one) for one in broken]}")
        if any(one.law == safeguard.law for one in broken):
            return
    pytest.fail(f"{safeguard.law}: not found in 8 seeds")
