"""The ledger's rules: which sighting is the same fact, and which needs a new event id."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from recon.discrepancy import Discrepancy, DiscrepancyKind
from recon.ledger.life import PATIENCE, Life, Sighting, seen

START = datetime(2026, 1, 3, 3, 0, tzinfo=UTC)


def differs(source: str = "s1", target: str = "t1", kind: DiscrepancyKind = DiscrepancyKind.CHANGED) -> Discrepancy:
    """A discrepancy of order 42 with these tokens."""
    return Discrepancy(kind=kind, key="42", source={}, target={}, changed=("status",), source_token=source, target_token=target)


def night(n: int, run: str | None = None) -> Sighting:
    """The circumstances of the n-th night."""
    at = START + timedelta(days=n)
    return Sighting(run=run or f"run{n}", at=at, night=at.date().isoformat(), source="/recon/shop/orders")


def resolved(life: Life) -> Life:
    """The life after a whole night that did not find it."""
    return replace(life, open=False)


def test_seen_again_unchanged_it_keeps_its_id_and_counts_its_nights() -> None:
    """One discrepancy, one event id, on however many nights it is found before its event is confirmed."""
    life = seen(None, differs(), night(0), confirmed=False)
    first = life

    for n in range(1, 6):
        life = seen(life, differs(), night(n), confirmed=False)

    assert life.event_id == first.event_id
    assert (life.nights, life.generation, life.first_run) == (6, 1, "run0")


def test_two_ledgers_that_know_nothing_of_each_other_give_one_fact_one_id() -> None:
    """The id is of the fact alone: a run that is killed before it is recorded, or a ledger that is restored, finds it again under the same one."""
    first, again = seen(None, differs(), night(0), confirmed=False), seen(None, differs(), night(3), confirmed=False)

    assert first.event_id == again.event_id


def test_two_runs_of_one_night_count_as_one_night() -> None:
    """A run by hand in the afternoon makes nothing older."""
    life = seen(None, differs(), night(0), confirmed=False)
    life = seen(life, differs(), night(0, run="by hand"), confirmed=False)

    assert life.nights == 1
    assert life.last_run == "by hand"


def test_a_to_b_to_a_never_reuses_an_id() -> None:
    """Resolved and come back with the very same values, it is told as a new fact, or a consumer that goes by ids would drop it."""
    first = seen(None, differs(), night(0), confirmed=False)
    again = seen(resolved(first), differs(), night(2), confirmed=False)

    assert again.event_id != first.event_id
    assert (again.generation, again.nights, again.first_run) == (2, 1, "run2")


def test_changed_and_changed_back_while_open_is_a_new_fact_each_time() -> None:
    """Values that return to what they were, without a night of agreement between, get an id of their own too."""
    first = seen(None, differs("s1"), night(0), confirmed=False)
    other = seen(first, differs("s2"), night(1), confirmed=False)
    back = seen(other, differs("s1"), night(2), confirmed=False)

    assert len({first.event_id, other.event_id, back.event_id}) == 3
    assert back.first_run == "run0"
    assert back.nights == 3


def test_still_there_after_its_event_was_confirmed_it_gets_a_new_id_when_patience_ends() -> None:
    """A late webhook may have undone the correction; a consumer that goes by ids would drop the same id for ever."""
    first = seen(None, differs(), night(0), confirmed=False)
    lives = [first]
    for n in range(1, PATIENCE + 1):
        lives.append(seen(lives[-1], differs(), night(n), confirmed=True))

    assert [life.event_id == first.event_id for life in lives] == [True] * PATIENCE + [False]
    assert lives[-1].supersedes == first.event_id
    assert lives[-1].generation == 2


def test_undelivered_events_never_get_a_new_id() -> None:
    """While the destination is down the fact stays one fact: patience counts only what was confirmed."""
    life = first = seen(None, differs(), night(0), confirmed=False)
    for n in range(1, 30):
        life = seen(life, differs(), night(n), confirmed=False)

    assert life.event_id == first.event_id


def test_several_runs_in_one_night_do_not_use_patience_up() -> None:
    """Looking three times in five minutes is no reason to send three events."""
    life = first = seen(None, differs(), night(0), confirmed=False)
    for n in range(5):
        life = seen(life, differs(), night(1, run=f"hand{n}"), confirmed=True)

    assert life.event_id == first.event_id


def test_recording_the_same_run_twice_changes_nothing() -> None:
    """A run that is gone on with records again what it had recorded."""
    before = seen(None, differs(), night(0), confirmed=False)
    once = seen(before, differs("s2"), night(1), confirmed=True)

    assert seen(once, differs("s2"), night(1), confirmed=False) == once


def test_healed_unseen_and_different_again_is_another_discrepancy() -> None:
    """The target holds what the confirmed event told it and the source has moved on: a new episode, aged from this night."""
    first = seen(None, differs("s1", "t1"), night(0), confirmed=False)
    moved = seen(first, differs("s2", "s1"), night(1), confirmed=True)
    unsent = seen(first, differs("s2", "s1"), night(1), confirmed=False)

    assert (moved.first_run, moved.nights, moved.generation) == ("run1", 1, 2)
    assert (unsent.first_run, unsent.nights, unsent.generation) == ("run0", 2, 2)


def test_kind_is_part_of_the_fact() -> None:
    """Missing that turned into extra is another correction."""
    first = seen(None, differs(kind=DiscrepancyKind.MISSING), night(0), confirmed=False)
    other = seen(first, differs(kind=DiscrepancyKind.EXTRA), night(1), confirmed=False)

    assert other.event_id != first.event_id
    assert other.kind is DiscrepancyKind.EXTRA


STEPS = st.lists(st.tuples(st.sampled_from(["agree", "s1", "s2"]), st.booleans()), max_size=25)


@given(STEPS)
def test_an_id_never_returns_once_another_one_was_told(steps: list[tuple[str, bool]]) -> None:
    """Over any history, the ids told of a key come in blocks: no consumer meets an old id after a newer one."""
    life: Life | None = None
    told: list[str] = []
    for n, (word, confirmed) in enumerate(steps):
        if word == "agree":
            life = resolved(life) if life else None
            told.append("")
            continue
        life = seen(life, differs(word), night(n), confirmed=confirmed)
        told.append(life.event_id)

    blocks = [one for before, one in zip(["", *told], told, strict=False) if one and one != before]
    assert len(blocks) == len(set(blocks))


@given(STEPS)
def test_the_generation_only_grows(steps: list[tuple[str, bool]]) -> None:
    """It counts the different facts that were told of the key."""
    life: Life | None = None
    generations = [0]
    for n, (word, confirmed) in enumerate(steps):
        life = (resolved(life) if life else None) if word == "agree" else seen(life, differs(word), night(n), confirmed=confirmed)
        generations.append(life.generation if life else 0)

    assert generations == sorted(generations)
