"""Laws of a plan over random findings: its checksum is of exactly its sorted events, and narrowing only ever takes away."""

import hashlib
import json
import random
from dataclasses import replace

import pytest

from recon.discrepancy import Discrepancy
from recon.errors import StalePlan
from tests.integration.state.test_plan import TRIPPED
from tests.integration.state.world import Nights, changed, extra, missing

SEEDS = range(6)


def some(chance: random.Random) -> list[Discrepancy]:
    """Up to forty findings of any kind."""
    keys = chance.sample(range(1000), chance.randint(1, 40))
    return [chance.choice((changed, missing, extra))(f"k{key}") for key in keys]


def planned(nights: Nights, found: list[Discrepancy]) -> str:
    """A run's plan of them, its run's lease given back; answers the checksum."""
    nights.look(found, touch=False)
    with nights.state.begin() as conn:
        figure = nights.plans.make_in(conn, nights.claim.run, nights.job)
    nights.runs.release(nights.claim)
    return figure.checksum


def expected(nights: Nights, found: list[Discrepancy]) -> str:
    """The same checksum by other means: of the events as JSON lines, sorted by their id."""
    tokens = {one.key: (one.source_token, one.target_token) for one in found}
    lines = sorted([event.id, event.type, event.key, *tokens[event.key]] for event in nights.plans.events(nights.claim.run.id))
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_checksum_is_of_exactly_the_sorted_events(nights: Nights, seed: int) -> None:
    """Whatever the order they were found in it is the same; one item more, one less, or one that stands otherwise, and it is another."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    found = some(chance)
    checksum = planned(nights, found)
    assert checksum == expected(nights, found)

    assert planned(nights, chance.sample(found, len(found))) == checksum
    position = chance.randrange(len(found))
    moved = replace(found[position], **{chance.choice(("source_token", "target_token")): "moved"})
    for other in (
        [*found, missing("joined")],
        found[:position] + found[position + 1 :],
        [*found[:position], moved, *found[position + 1 :]],
    ):
        assert planned(nights, other) != checksum


@pytest.mark.parametrize("seed", SEEDS)
def test_narrowing_only_ever_takes_away(nights: Nights, seed: int) -> None:
    """What is kept is what was there and stood up, with the checksum that was approved; a key from elsewhere is refused and changes nothing."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    found = some(chance)
    nights.look(found)
    run = nights.claim.run
    with nights.state.begin() as conn:
        nights.plans.make_in(conn, run, nights.job)
        held = nights.plans.judge_in(conn, run, TRIPPED, expires_at=nights.clock.now().replace(year=2027))
        nights.plans.approve_in(conn, run, held.checksum, "alice", "seen")
    before = {event.id: event.body for event in nights.plans.events(run.id)}

    kept = {one.key for one in found if chance.random() < 0.6}
    with pytest.raises(StalePlan, match="1 items were not in the plan"), nights.state.begin() as conn:
        nights.plans.narrow_in(conn, run, [*kept, "stranger"])
    assert {event.id: event.body for event in nights.plans.events(run.id)} == before
    with nights.state.begin() as conn:
        figure = nights.plans.narrow_in(conn, run, kept)

    after = list(nights.plans.events(run.id))
    assert {event.key for event in after} == kept
    assert all(before[event.id] == event.body for event in after)
    assert (figure.checksum, figure.events) == (held.checksum, len(kept))
