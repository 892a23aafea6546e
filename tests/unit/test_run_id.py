"""Run ids: they sort by time, are read aloud without doubt, and the table of states has no dead corner."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from recon.state.run import ALPHABET, TRANSITIONS, RunState, new_id, typed_id

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


@given(MOMENTS, st.integers(1, 10**9))
def test_ids_sort_by_the_time_of_the_start(moment: datetime, later: int) -> None:
    """A later millisecond gives a greater id, whatever chance adds."""
    assert new_id(moment, b"\xff" * 10) < new_id(moment + timedelta(milliseconds=later), b"\x00" * 9 + b"\x01")


@given(MOMENTS)
def test_ids_have_26_characters_that_cannot_be_mistaken(moment: datetime) -> None:
    """No I, L, O or U; typed in lower case, or with O for 0, it is the same id."""
    made = new_id(moment)

    assert len(made) == 26
    assert set(made) <= set(ALPHABET)
    assert typed_id(made.lower().replace("0", "o").replace("1", "l")) == made


def test_every_state_can_be_reached_and_every_open_one_can_end() -> None:
    """From planned each state is reached by the table, and from each one an end is."""

    def beyond(state: RunState) -> set[RunState]:
        found: set[RunState] = set()
        todo = [state]
        while todo:
            for follower in TRANSITIONS[todo.pop()] - found:
                found.add(follower)
                todo.append(follower)
        return found

    assert beyond(RunState.PLANNED) | {RunState.PLANNED} == set(RunState)
    ends = {RunState.DONE, RunState.REJECTED, RunState.EXPIRED, RunState.FAILED}
    for state in set(RunState) - ends:
        assert beyond(state) & ends, state


def test_nothing_is_emitted_from_a_hold_without_an_approval() -> None:
    """The table has no way from held to emitted but through approved."""
    assert RunState.EMITTED not in TRANSITIONS[RunState.HELD]
    assert {state for state, after in TRANSITIONS.items() if RunState.APPROVED in after} == {RunState.HELD}
