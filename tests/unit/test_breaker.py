"""The circuit breaker: it leaves a failing destination alone, longer each time, and comes back at the first success."""

from hypothesis import given
from hypothesis import strategies as st

from recon.outbox.breaker import Breaker
from recon.outbox.marking import LONGEST_PAUSE, pause_after


def test_it_opens_at_the_threshold_and_waits_longer_each_time() -> None:
    """Two failures pass, the third opens it, and each further one doubles the pause up to the cap."""
    breaker = Breaker(threshold=3, base=1.0, cap=5.0)
    waits = []
    for _ in range(7):
        breaker.failure(100.0)
        waits.append(breaker.wait(100.0))

    assert waits == [0.0, 0.0, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_success_closes_it() -> None:
    """After one answer everything goes again."""
    breaker = Breaker(threshold=1)
    breaker.failure(0.0)
    breaker.success()

    assert breaker.wait(0.0) == 0.0
    assert not breaker.probing


def test_what_the_destination_asks_for_is_honoured_from_the_first_failure() -> None:
    """A Retry-After counts although the breaker is not open."""
    breaker = Breaker()
    breaker.failure(0.0, after=17.0)

    assert breaker.wait(10.0) == 7.0


@given(st.lists(st.none() | st.floats(0, 1e6), max_size=200))
def test_it_never_waits_longer_than_the_cap_or_what_was_asked_for(asked: list[float | None]) -> None:
    """However long the outage, the next probe comes."""
    breaker = Breaker(cap=60.0)
    for after in asked:
        breaker.failure(0.0, after=after)

    assert breaker.wait(0.0) <= max([60.0, *(after or 0.0 for after in asked)])


@given(st.floats(0, 1e9), st.none() | st.floats(0, 1e6))
def test_an_event_is_tried_again_by_its_age_and_never_before_it_was_asked_for(age: float, after: float | None) -> None:
    """The pause grows with the age, has an upper bound of its own, and honours the receiver."""
    pause = pause_after(age, after)

    assert pause >= max(1.0, after or 0.0)
    assert pause <= max(LONGEST_PAUSE, after or 0.0)
    assert pause_after(age + 10, after) >= pause
