"""Landing in parts: what a part raises decides how it goes on, and the certificate is drawn from what lies on disk."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from recon.errors import CursorExpired, FilterIgnored, InvalidPage, RangeTooWide, Unreachable
from recon.fetch.coverage import Coverage
from recon.fetch.landing import land
from recon.fetch.page import End, Page
from recon.fetch.partition import Part, Partition
from recon.fetch.spool import Spool
from recon.provider import Listing, Meter
from tests.servers.manual_clock import ManualClock

SIZE = 2


class Shelf:
    """Thirty items, 0 to 29, cut in ranges of their number and paged two by two. What stands in `faults` under a part's name, or under ("part", page), is raised there once."""

    name = "shop"
    ranged = True

    def __init__(self, *edges: int, faults: Mapping[Any, Sequence[Exception]] | None = None, **answers: Any) -> None:
        self.meter = Meter()
        self.edges = [None, *edges, None]
        self.faults = {key: list(errors) for key, errors in (faults or {}).items()}
        self.answers = answers
        self.asked: list[tuple[str, int]] = []
        self.deaf = False
        self.totals: str | None = None

    def width(self, _: str) -> int:
        return int(self.answers.get("wide", 1))

    def cursor_age(self, _: str) -> float | None:
        return self.answers.get("cursor_age")

    def scope(self, _: str) -> dict[str, str]:
        return dict(self.answers.get("scope", {}))

    def planner(self, listing: Listing) -> "Shelf | None":
        return None if listing.serial or len(self.edges) == 2 else self

    def following(self, parts: Sequence[Part]) -> Partition | None:
        edge = max((part.partition.high or 99 for part in parts), default=None)
        if edge == 99:
            return None
        at = self.edges.index(edge)
        return Partition(name=f"from {edge}", low=edge, high=self.edges[at + 1])

    def fetch(self, listing: Listing) -> Iterator[Page]:
        part = listing.partition
        low, high = (0, 30) if self.deaf else (part.low or 0, 30 if part.high is None else part.high)
        number = low // SIZE if listing.resume is None else int(listing.resume["n"])
        start = low if listing.resume is None else int(listing.resume["at"])
        for number, at in enumerate(range(start, high, SIZE), start=0 if listing.resume is None else int(listing.resume["n"])):
            self.meter.requests += 1
            self.asked.append((part.name, number))
            for key in (part.name, (part.name, number)):
                if self.faults.get(key):
                    raise self.faults[key].pop(0)
            items = [b'{"id":%d}' % n for n in range(at, min(at + SIZE, high))]
            last = at + SIZE >= high
            total = {None: None, "own": high - low, "all": 30}[self.totals]
            yield Page(
                items=items,
                next=None if last else {"n": number + 1, "at": at + SIZE},
                end=End("the last") if last else None,
                total=total,
            )


def landed(folder: Path, provider: Any, clock: ManualClock | None = None) -> Coverage:
    spool = Spool.open(folder)
    try:
        return land(provider, Listing(resource="things"), spool, clock=clock or ManualClock())
    finally:
        spool.close()


def there(folder: Path) -> list[int]:
    spool = Spool.open(folder)
    lines = [line for frame in spool.frames() for line in frame.splitlines()]
    spool.close()
    return sorted(int(line[6:-1]) for line in lines)


ALL = list(range(30))


@pytest.mark.parametrize("wide", [1, 3])
def test_ranges_that_meet_are_whole(wide: int, tmp_path: Path) -> None:
    """Three ranges, each to its end, from open to open: whole, with each part told."""
    coverage = landed(tmp_path, Shelf(10, 20, wide=wide))
    assert coverage.whole
    assert coverage.proof == "15 pages in 3 ranges that meet from open to open, each to its end"
    assert (coverage.planned, coverage.finished, coverage.pages, coverage.records) == (3, 3, 15, 30)
    assert [(part.name, part.low, part.high, part.records) for part in coverage.parts] == [
        ("from None", None, "10", 10),
        ("from 10", "10", "20", 10),
        ("from 20", "20", None, 10),
    ]
    assert there(tmp_path) == ALL


class Holed(Shelf):
    """Its planner leaves a gap, has an overlap, or lacks an end, as it is told."""

    def following(self, parts: Sequence[Part]) -> Partition | None:
        cut = self.answers["cut"]
        low, high = cut[len(parts)] if len(parts) < len(cut) else (0, 0)
        return Partition(name=f"part {len(parts)}", low=low, high=high) if len(parts) < len(cut) else None


@pytest.mark.parametrize(
    ("cut", "why"),
    [
        ([(None, 10), (12, None)], "leave a gap"),
        ([(None, 10), (9, None)], "overlap"),
        ([(None, 10), (None, 1), (1, None)], "overlap"),
        ([(3, 10), (10, None)], "nothing below part 0 was asked for"),
        ([(None, 10), (10, 29)], "nothing above part 1 was asked for"),
    ],
)
def test_ranges_that_do_not_meet_are_never_whole(cut: list[tuple[int | None, int | None]], why: str, tmp_path: Path) -> None:
    """Whatever a planner does, the chain is proven from what was landed."""
    coverage = landed(tmp_path, Holed(5, cut=cut))
    assert not coverage.whole
    assert why in coverage.proof


def test_a_range_that_is_too_wide_is_fetched_in_two(tmp_path: Path) -> None:
    """Refused as too wide, it is cut, its halves cut again where they must be, and what came of it does not count."""
    shelf = Shelf(10, 26, faults={("from 10", 2): [RangeTooWide("wide")], "from 10 (first half)": [RangeTooWide("wide")]})
    coverage = landed(tmp_path, shelf)
    assert coverage.whole
    assert there(tmp_path) == ALL
    assert coverage.planned == coverage.finished == 5
    assert any("was cut in two" in note for note in coverage.notes)


def test_a_filter_that_is_ignored_is_done_without(tmp_path: Path) -> None:
    """Rows outside of a range, or a page that two ranges share: everything is dropped, the list fetched in one, and the certificate says so."""
    ignored = landed(tmp_path / "a", Shelf(10, 20, faults={("from 10", 1): [FilterIgnored("a row outside")]}))
    deaf = Shelf(10, 20)
    deaf.deaf = True
    shared = landed(tmp_path / "b", deaf)
    for coverage, folder in ((ignored, "a"), (shared, "b")):
        assert coverage.whole
        assert (coverage.planned, coverage.records) == (1, 30)
        assert any(note.startswith("fetched in one") for note in coverage.notes)
        assert there(tmp_path / folder) == ALL


def test_a_cursor_that_dies_costs_its_own_part_alone(tmp_path: Path) -> None:
    """The part begins anew, twice at most; then it has failed, the others stand, and the certificate is partial with the reason."""
    once = Shelf(10, 20, faults={("from 10", 3): [CursorExpired("it died")] * 2})
    coverage = landed(tmp_path / "a", once)
    assert coverage.whole
    assert [part.restarts for part in coverage.parts] == [0, 2, 0]
    assert there(tmp_path / "a") == ALL
    always = Shelf(10, 20, faults={("from 10", 3): [CursorExpired("it died")] * 3})
    coverage = landed(tmp_path / "b", always)
    assert not coverage.whole
    assert "1 of 3 parts could not be had (from 10): it died" in coverage.proof
    assert (coverage.finished, coverage.parts[0].name, coverage.parts[0].ended) == (2, "from 10", False)


@pytest.mark.parametrize(("own", "age"), [(300.0, 400), (None, 6 * 3600 + 1)])
def test_a_place_that_aged_begins_its_part_anew_and_no_other(own: float | None, age: int, tmp_path: Path) -> None:
    """Older than its API honours, or than any is trusted: that part is asked for from its first page; what ended, and a younger place, stand."""
    clock = ManualClock()
    spool = Spool.open(tmp_path)
    shelf = Shelf(10, 20, wide=1, cursor_age=own)
    spool.begin({"provider": "shop", "resource": "things", "params": {}, "place": ""}, clock.now())
    for number, (low, high) in enumerate(((None, 10), (10, 20), (20, None))):
        spool.hand_out(Partition(name=f"from {low}", low=low, high=high))
        at = clock.now() - timedelta(seconds=age if number < 2 else 60)
        first = low or 0
        rows = [b'{"id":%d}' % n for n in range(first, first + (10 if number == 0 else SIZE))]
        end = End("the last") if number == 0 else None
        spool.append(Page(items=rows, next=None if end else {"n": 1, "at": first + SIZE}, end=end), at=at, part=number)
    spool.close()
    coverage = landed(tmp_path, shelf, clock)
    assert coverage.whole
    assert shelf.asked == [("from 10", n) for n in range(5)] + [("from 20", n) for n in range(1, 5)]
    assert there(tmp_path) == ALL


def test_a_page_that_is_none_is_asked_for_again_and_then_left(tmp_path: Path) -> None:
    """Asked again twice from where it stood; where that helps it is whole, and where not, the other parts are there all the same."""
    coverage = landed(tmp_path / "a", Shelf(10, 20, faults={("from 10", 2): [InvalidPage("a login page")] * 2}))
    assert coverage.whole
    shelf = Shelf(10, 20, faults={("from 10", 2): [InvalidPage("a login page")] * 3})
    coverage = landed(tmp_path / "b", shelf)
    assert coverage.verdict() == "partial (1 of 3 parts could not be had (from 10): a login page; 24 records came)"
    assert shelf.asked.count(("from 10", 2)) == 3
    again = Shelf(10, 20)
    third = landed(tmp_path / "b", again)
    assert third.whole
    assert again.asked == [("from 10", n) for n in (2, 3, 4)]
    assert third.requests == coverage.requests + 3 == 5 + 2 + 3 + 5 + 3


def test_where_nothing_came_the_error_is_raised(tmp_path: Path) -> None:
    """Not one page, in none of the parts: that is no partial fetch but a failed one."""
    with pytest.raises(InvalidPage):
        landed(tmp_path, Shelf(10, 20, faults={name: [InvalidPage("no")] * 9 for name in ("from None", "from 10", "from 20")}))


@pytest.mark.parametrize("totals", ["own", "all"])
def test_a_count_is_read_as_the_api_means_it(totals: str, tmp_path: Path) -> None:
    """Whether each part says how many it holds or how many the whole list does: 30, not 90."""
    shelf = Shelf(10, 20)
    shelf.totals = totals
    assert landed(tmp_path, shelf).total == 30


def test_what_failed_attempts_cost_is_in_the_certificate(tmp_path: Path) -> None:
    """Requests of an attempt that broke off, the last of them in vain, and of one whose pages grew too old, all count; what began anew is told for good."""
    clock = ManualClock()
    for _ in range(2):
        with pytest.raises(Unreachable):
            landed(tmp_path, Shelf(10, 20, faults={("from 10", 2): [Unreachable("gone")]}), clock)
    clock.sleep(7 * 3600)
    with pytest.raises(Unreachable):
        landed(tmp_path, Shelf(10, 20, faults={("from 10", 0): [Unreachable("gone")]}), clock)
    coverage = landed(tmp_path, Shelf(10, 20), clock)
    assert coverage.whole
    assert coverage.requests == (5 + 3) + 1 + (5 + 1) + 10
    assert any("too old to go on from" in note for note in coverage.notes)


def test_another_scope_is_another_listing(tmp_path: Path) -> None:
    """Pages under other rights are not gone on from: the fetch starts anew, and says so."""
    with pytest.raises(Unreachable):
        landed(tmp_path, Shelf(10, scope={"account": "a"}, faults={("from 10", 2): [Unreachable("gone")]}))
    coverage = landed(tmp_path, Shelf(10, scope={"account": "b"}))
    assert (coverage.whole, coverage.resumed, coverage.scope) == (True, False, {"account": "b"})
    assert any("what is asked for changed" in note for note in coverage.notes)
    assert there(tmp_path) == ALL


class Twice(Shelf):
    """Two passes over the whole, of which nobody said beforehand that there would be two."""

    ranged = False

    def following(self, parts: Sequence[Part]) -> Partition | None:
        if any(part.proof is None for part in parts) or len(parts) == 2:
            return None
        return Partition(name=f"pass {len(parts) + 1}", turn=len(parts) + 1)


def test_a_second_pass_may_bring_what_the_first_one_brought(tmp_path: Path) -> None:
    """The same pages again are no circle, and what both passes list is counted once."""
    coverage = landed(tmp_path, Twice(5))
    assert coverage.whole
    assert (coverage.pages, coverage.records, coverage.planned) == (30, 30, 2)
    assert "2 passes over the whole" in coverage.proof


class RangesTwice(Shelf):
    """Two passes over the same two ranges."""

    def following(self, parts: Sequence[Part]) -> Partition | None:
        cut = [(None, 10), (10, None)] * 2
        if len(parts) == len(cut):
            return None
        low, high = cut[len(parts)]
        return Partition(name=f"part {len(parts)}", low=low, high=high, turn=1 + len(parts) // 2)


def test_each_pass_over_ranges_meets_for_itself(tmp_path: Path) -> None:
    """The ranges of a second pass are no overlap with those of the first, and no page that both hold a sign of an ignored filter."""
    coverage = landed(tmp_path, RangesTwice(10))
    assert (coverage.whole, coverage.planned, coverage.pages, coverage.records) == (True, 4, 30, 30)
