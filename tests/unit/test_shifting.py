"""A listing counted by items that shifts while it is read: seen at its seams, passed over twice, and each item once in what is compared."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from recon.fetch.coverage import Coverage
from recon.fetch.landing import land
from recon.fetch.listing import Listing
from recon.fetch.narrowing import Ranges, Shards
from recon.fetch.paging import LastId, Offset, PageNumber
from recon.fetch.partition import Part, Partition
from recon.fetch.planning import RangePlan, Repeated
from recon.fetch.resource import Resource
from recon.fetch.spool import Spool
from recon.http_provider import HTTPProvider
from recon.testing import section
from tests.servers.manual_clock import ManualClock
from tests.unit.drifting import Drifting, Move, key_of

BY_OFFSET = Offset(param="offset", total="meta.total")


def landed(
    folder: Path, script: list[list[Move]], paging: Any = BY_OFFSET, count: int = 9, **declared: Any
) -> tuple[Coverage, list[str], int]:
    """A listing of `count` items, three a page, oldest first, while `script` moves: the certificate, the keys on disk, the requests."""
    rule = "offset by total" if isinstance(paging, Offset) else "page by pages"
    party = Drifting(rule=rule, records=dict.fromkeys(range(1, count + 1), 1), size=3, newest=False, script=script)
    provider = HTTPProvider(section("shop", base_url="http://127.0.0.1:9/", concurrency=1, tries=1))
    provider.catalogue = {"orders": Resource(path="orders", paging=paging, records="data", **declared)}
    provider.session.through(party, chance=random.Random(1))
    spool, clock = Spool.open(folder), ManualClock()
    try:
        coverage = land(provider, Listing(resource="orders", clock=clock), spool, clock=clock)
        return coverage, [json.loads(line)["id"] for frame in spool.frames() for line in frame.splitlines()], party.requests
    finally:
        spool.close()
        provider.close()


def test_a_listing_that_stands_still_is_passed_over_twice(tmp_path: Path) -> None:
    """Nine items by offset: four pages a pass, that share an item each, two passes, and the certificate counts nine."""
    coverage, keys, requests = landed(tmp_path, [])
    assert (coverage.verdict(), coverage.records, coverage.planned, coverage.notes) == ("whole", 9, 2, ())
    assert sorted(set(keys)) == [key_of(n) for n in range(1, 10)]
    assert requests == coverage.pages == 8


def test_what_moves_up_over_a_seam_is_not_lost_and_the_shift_is_told(tmp_path: Path) -> None:
    """An item of the first page is deleted before the second: its overlap holds what moved up, and the note says where it shifted."""
    coverage, keys, _ = landed(tmp_path, [[], [("delete", 0)]], passes=1)
    assert {key_of(n) for n in range(2, 10)} <= set(keys)
    assert coverage.whole
    assert coverage.notes == ("page 2 does not begin with the last item of the page before: the listing shifted while it was read",)


def test_what_one_pass_missed_the_second_has(tmp_path: Path) -> None:
    """Three items go at once, more than an overlap holds: one pass misses two that stood still, and the second has them."""
    gone: list[list[Move]] = [[], [("delete", 0), ("delete", 0), ("delete", 0)]]
    still = {key_of(n) for n in range(4, 10)}
    _, once, _ = landed(tmp_path / "once", gone, passes=1)
    coverage, twice, _ = landed(tmp_path / "twice", gone)
    assert still - set(once)
    assert still <= set(twice)
    assert coverage.whole


@pytest.mark.parametrize(
    ("declared", "drifts", "passes"),
    [
        ({"paging": BY_OFFSET}, True, 2),
        ({"paging": BY_OFFSET, "passes": 1}, True, 1),
        ({"paging": Offset(total="n", overlap=0), "passes": 1}, False, 1),
        ({"paging": PageNumber(total="n")}, True, 2),
        ({"paging": PageNumber(total="n"), "passes": 1}, False, 1),
        ({"paging": PageNumber(total="n"), "passes": 3}, True, 3),
        ({"paging": LastId(param="after")}, False, 1),
        ({"paging": LastId(param="after"), "passes": 2}, True, 2),
    ],
)
def test_what_shifts_is_told_by_the_rule_and_the_passes(declared: dict[str, Any], drifts: bool, passes: int) -> None:
    """Pages by number shift and are passed over twice, unless one pass is asked for by name; pages by key stand still."""
    resource = Resource(path="orders", records="data", **declared)
    assert (resource.drifts, resource.turns) == (drifts, passes)


def test_a_listing_of_one_page_is_asked_for_once(tmp_path: Path) -> None:
    """One answer is of one moment: nothing could shift between two, so there is no second pass."""
    for name, paging in (("offset", BY_OFFSET), ("page", PageNumber(total_pages="meta.pages"))):
        coverage, keys, requests = landed(tmp_path / name, [], paging, count=3)
        assert (coverage.whole, len(keys), requests) == (True, 3, 1)


IN_PARTS = {
    "ranges": {"ranges": Ranges(at="place", low="from", high="to", form="integer", start=0, pages=2)},
    "shards": {"shards": Shards(param="half", values=("odd", "even"), at="half")},
}


@pytest.mark.parametrize("cut", IN_PARTS)
def test_parts_that_stand_still_are_passed_over_twice(tmp_path: Path, cut: str) -> None:
    """Each part of a listing by offset has two passes, under names of their own; the certificate counts each item once and says how it is whole."""
    coverage, keys, _ = landed(tmp_path, [], count=18, **IN_PARTS[cut])
    assert (coverage.whole, coverage.records) == (True, 18), coverage.proof
    assert set(keys) == {key_of(n) for n in range(1, 19)}
    assert "in every pass" in coverage.proof
    names = [part.name for part in coverage.parts]
    assert {f"{name}, pass 2" for name in names if ", pass" not in name} == {name for name in names if ", pass" in name}


@pytest.mark.parametrize("cut", IN_PARTS)
def test_what_one_pass_of_a_part_missed_the_second_has(tmp_path: Path, cut: str) -> None:
    """Four items go at once while a part is read: one pass misses items that stood still, and the second has them."""
    gone: list[list[Move]] = [[], [("delete", 0)] * 8]
    still = {key_of(n) for n in range(9, 19)}
    _, once, _ = landed(tmp_path / "once", gone, count=18, passes=1, **IN_PARTS[cut])
    coverage, twice, _ = landed(tmp_path / "twice", gone, count=18, **IN_PARTS[cut])
    assert still - set(once)
    assert still <= set(twice)
    assert coverage.whole


def test_ranges_of_one_page_are_passed_over_once(tmp_path: Path) -> None:
    """Each of them is one answer of one moment, and no row goes from one range to another."""
    coverage, keys, _ = landed(tmp_path, [], count=3, **IN_PARTS["ranges"])
    assert (coverage.whole, len(keys)) == (True, 3)
    assert not [part.name for part in coverage.parts if "pass" in part.name]


def test_what_goes_from_one_shard_to_another_is_not_lost(tmp_path: Path) -> None:
    """One page each: an item that was in the second shard while the first was read, and in the first while the second was, is in the second pass."""

    class Moving(Drifting):
        def _page(self, query: dict[str, str]) -> object:
            # An open order is paid between the two requests.
            state = "open" if self.requests == 2 else "paid"
            rows = [{"id": "k1", "state": state}] if query["state"] == state else []
            return {"data": rows, "more": False, "meta": {"total": len(rows)}}

    party = Moving(rule="offset by total", records={1: 1}, size=3, newest=False, script=[])
    provider = HTTPProvider(section("shop", base_url="http://127.0.0.1:9/", concurrency=1, tries=1))
    shards = Shards(param="state", values=("paid", "open"), at="state")
    provider.catalogue = {"orders": Resource(path="orders", paging=BY_OFFSET, records="data", shards=shards, parallel=1)}
    provider.session.through(party, chance=random.Random(1))
    spool, clock = Spool.open(tmp_path), ManualClock()
    coverage = land(provider, Listing(resource="orders", clock=clock), spool, clock=clock)
    keys = [json.loads(line)["id"] for frame in spool.frames() for line in frame.splitlines()]
    spool.close()
    provider.close()
    assert (coverage.whole, coverage.planned, set(keys)) == (True, 4, {"k1"})


def test_a_pass_that_is_cut_in_two_is_cut_within_it() -> None:
    """Halves of a second pass are of the second pass, and with them its ground is covered."""
    plan = Repeated(inner=RangePlan(ranges=IN_PARTS["ranges"]["ranges"], now=0), passes=2)
    first = [
        Part(partition=Partition(name="low", low=None, high=10), pages=2, items=6, proof="end"),
        Part(partition=Partition(name="high", low=10, high=None), pages=1, items=1, proof="end"),
    ]
    second = plan.following(first)
    assert second == Partition(name="low, pass 2", low=None, high=10, turn=2)
    halves = plan.split(second)
    assert halves is not None
    assert [(one.turn, one.name.endswith(", pass 2"), one.low, one.high) for one in halves] == [(2, True, None, 5), (2, True, 5, 10)]
    cut = [Part(partition=half, pages=1, items=3, proof="end") for half in halves]
    assert plan.following([*first, *cut]) == Partition(name="high, pass 2", low=10, high=None, turn=2)
    assert plan.following([*first, *cut, Part(partition=Partition(name="high, pass 2", low=10, turn=2), proof="end")]) is None
