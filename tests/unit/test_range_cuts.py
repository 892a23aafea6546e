"""Where a range that is too wide is cut in two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon.fetch.edges import DAY
from recon.fetch.narrowing import Ranges
from recon.fetch.partition import Partition
from recon.fetch.planning import RangePlan

NOW = 1_764_086_400


@given(
    form=st.sampled_from(["epoch", "epoch_ms", "iso", "date", "integer"]),
    ends=st.tuples(st.none() | st.integers(0, NOW), st.none() | st.integers(0, NOW)),
    start=st.sampled_from([0, 1_600_000_000]),
)
def test_a_cut_lies_within_and_a_range_comes_to_its_end(form: str, ends: tuple[int | None, int | None], start: int) -> None:
    """Open or closed, a range is cut strictly within, dates at whole days; cut again and again it is soon too narrow, never for ever the same."""
    plan = RangePlan(ranges=Ranges(at="created", low="from", high="to", form=form, start=start), now=NOW)
    low, high = ends
    for _ in range(80):
        if low is None and high is None:
            return
        cut = plan.middle(Partition(name="r", low=low, high=high))
        if cut is None:
            return
        assert low is None or low < cut
        assert high is None or cut < high
        assert form != "date" or cut % DAY == 0
        # The open half, where there is one; it is the one that could go on for ever.
        low, high = (None, cut) if low is None else (cut, None) if high is None and form != "integer" else (low, cut)
    pytest.fail("cut eighty times, and still not too narrow")


def test_a_range_open_below_is_cut_above_its_start() -> None:
    """Nothing is asked for in the years before the declared start: the first cut halves what lies above it."""
    plan = RangePlan(ranges=Ranges(at="created", low="from", high="to", form="iso", start=NOW - 100 * DAY), now=NOW)
    assert plan.middle(Partition(name="r", high=NOW)) == NOW - 50 * DAY
    assert plan.middle(Partition(name="r", high=NOW - 100 * DAY)) is None
