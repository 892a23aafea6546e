"""Where a range that is too wide is cut in two."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon.fetch.edges import DAY
from recon.fetch.narrowing import Ranges
from recon.fetch.partition import Part, Partition
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


@pytest.mark.parametrize("under_way", [1, 3])
def test_ids_come_to_an_end_with_several_ranges_on_their_way(under_way: int) -> None:
    """Of an empty top range the plan learns that nothing is above, also while ranges above it are still being fetched; all failing, it ends too."""
    plan = RangePlan(ranges=Ranges(at="id", low="from", high="to", form="integer"), now=NOW)
    for failed in (None, "404"):
        parts: list[Part] = []
        while (following := plan.following(parts)) is not None:
            parts.append(Part(partition=following, pages=2))
            # The oldest that is under way comes to its end; the lowest two hold something.
            over = len(parts) - under_way
            if over >= 0:
                done = replace(
                    parts[over], pages=1, items=100 if over < 2 else 0, proof=None if failed and over >= 2 else "no more", failed=failed
                )
                parts[over] = done
        assert parts[-1].partition.high is None
        assert len(parts) < 100
