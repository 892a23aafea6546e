"""Laws of a plan by ranges: whatever lies in the listing and however its parts end, they meet from open to open, and there are not many."""

import random
from bisect import bisect_left
from dataclasses import replace
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from recon.fetch.edges import DAY
from recon.fetch.narrowing import Ranges
from recon.fetch.partition import Part
from recon.fetch.planning import MOST_PARTS, RangePlan

NOW = 1_764_086_400
A_PAGE = 100
PAGES = 5
FORMS = ("epoch", "epoch_ms", "iso", "date", "integer")

#: Where a heap of rows begins, how wide it lies, and how many there are.
HEAPS = st.lists(st.tuples(st.integers(0, NOW), st.sampled_from([1, 3_600, DAY, 400 * DAY]), st.integers(0, 20_000)), max_size=4)


def rows_of(heaps: list[tuple[int, int, int]]) -> list[int]:
    """The values of all rows, in order."""
    return sorted(at + number * wide // max(1, count) for at, wide, count in heaps for number in range(count))


def ended(part: Part, rows: list[int], *, failed: bool) -> Part:
    """The part once all that lies in it has come, or once it was given up."""
    low, high = part.partition.low, part.partition.high
    first = 0 if low is None else bisect_left(rows, low)
    items = (len(rows) if high is None else bisect_left(rows, high)) - first
    if failed:
        return replace(part, pages=0, items=0, failed="it is down")
    return replace(part, pages=max(1, -(-items // A_PAGE)), items=items, proof="no more")


def planned(plan: RangePlan, rows: list[int], *, width: int, chance: random.Random, spoilt: float) -> list[Part]:
    """All parts of a fetch of `width` parts side by side, of which some fail and some are cut in two."""
    parts: list[Part] = []
    while True:
        under_way = [number for number, part in enumerate(parts) if part.proof is None and part.failed is None]
        following = plan.following(parts) if len(under_way) < width else None
        if following is not None:
            parts.append(Part(partition=following))
            continue
        if not under_way:
            return parts
        number = chance.choice(under_way)
        part, luck = parts[number], chance.random()
        halves = plan.split(part.partition) if luck < spoilt and part.partition.ranged else None
        if halves is not None:
            parts[number : number + 1] = [Part(partition=half) for half in halves]
        elif part.pages or luck < 0.5:
            parts[number] = ended(part, rows, failed=spoilt / 2 < luck < spoilt)
        else:
            # A first page that is not the last, where there are so many rows.
            done = ended(part, rows, failed=False)
            parts[number] = replace(part, pages=1, items=A_PAGE) if done.pages > 1 else done


def meets(parts: list[Part]) -> None:
    """From open to open, end to end, each under a name of its own."""
    lows = sorted((part.partition for part in parts), key=lambda one: -1 if one.low is None else one.low)
    assert (lows[0].low, lows[-1].high) == (None, None)
    assert all(one.high == other.low for one, other in pairwise(lows))
    assert all(one.low is None or one.high is None or one.low < one.high for one in lows)
    assert len({one.name for one in lows}) == len(lows)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    heaps=HEAPS,
    form=st.sampled_from(FORMS),
    start=st.sampled_from([0, 1_600_000_000]),
    fetch=st.tuples(st.integers(1, 4), st.integers(0, 999), st.sampled_from([0.0, 0.0, 0.2])),
)
@example(heaps=[], form="epoch", start=0, fetch=(4, 0, 0.0))
@example(heaps=[(NOW - 30, 1, 20_000)], form="date", start=0, fetch=(4, 0, 0.0))
def test_ranges_meet_from_open_to_open_and_end(
    heaps: list[tuple[int, int, int]], form: str, start: int, fetch: tuple[int, int, float]
) -> None:
    """Whatever the densities, with parts that fail and parts that are cut: no gap, no overlap, every row in one part, and an end."""
    width, seed, spoilt = fetch
    rows = rows_of(heaps)
    plan = RangePlan(ranges=Ranges(at="created", low="from", high="to", form=form, start=start, pages=PAGES), now=NOW)
    parts = planned(plan, rows, width=width, chance=random.Random(seed), spoilt=spoilt)
    meets(parts)
    assert len(parts) <= MOST_PARTS + 2 * width
    if not spoilt:
        assert sum(part.items for part in parts) == len(rows)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(heaps=HEAPS, form=st.sampled_from(FORMS), width=st.integers(1, 4), seed=st.integers(0, 999))
@example(heaps=[(NOW - DAY, 3_600, 20_000)], form="epoch", width=1, seed=0)
def test_the_parts_are_as_many_as_the_rows_ask_for(heaps: list[tuple[int, int, int]], form: str, width: int, seed: int) -> None:
    """A part's worth of rows costs two parts at most, and each heap of them some forty to come down to its density and up from it again."""
    rows = rows_of(heaps)
    plan = RangePlan(ranges=Ranges(at="created", low="from", high="to", form=form, pages=PAGES), now=NOW)
    parts = planned(plan, rows, width=width, chance=random.Random(seed), spoilt=0)
    assert len(parts) <= 2 * len(rows) // (PAGES * A_PAGE) + 40 * (len(heaps) + 1)


def test_a_small_listing_costs_hardly_more_than_one_request() -> None:
    """Sixty rows of the last year are two parts of one page; an empty listing as well; of ids three, one for what may come above."""
    year = rows_of([(NOW - 365 * DAY, 365 * DAY, 60)])
    ids = rows_of([(1, 60, 60)])
    for form, rows, wanted in (("epoch", year, 2), ("epoch", [], 2), ("integer", ids, 3), ("integer", [], 3)):
        plan = RangePlan(ranges=Ranges(at="created", low="from", high="to", form=form), now=NOW)
        parts = planned(plan, rows, width=4, chance=random.Random(1), spoilt=0)
        assert [part.pages for part in parts] == [1] * wanted, (form, len(rows))


def test_a_long_listing_is_cut_into_parts_of_the_size_declared() -> None:
    """A hundred thousand rows, spread evenly over three years: each part holds about the five pages that it should, but for the first few, which begin side by side."""
    rows = rows_of([(NOW - 1_095 * DAY, 1_095 * DAY, 100_000)])
    plan = RangePlan(ranges=Ranges(at="created", low="from", high="to", form="epoch", start=NOW - 1_095 * DAY, pages=PAGES), now=NOW)
    parts = sorted(planned(plan, rows, width=4, chance=random.Random(1), spoilt=0), key=lambda part: part.partition.low or 0)
    sizes = [part.items for part in parts[1:-4]]
    assert max(sizes) <= PAGES * A_PAGE * 1.2
    assert min(sizes) >= PAGES * A_PAGE * 0.8
