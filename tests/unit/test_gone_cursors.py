"""A listing that goes on from a key whose item is gone: its place is found again by the items before it, and nothing is fetched twice."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from recon.fetch.coverage import Coverage
from recon.fetch.landing import land
from recon.fetch.listing import Listing
from recon.fetch.paging import LastId
from recon.fetch.resource import Resource
from recon.fetch.spool import Spool
from recon.fetch.transport import Request, Response
from recon.http_provider import HTTPProvider
from recon.testing import section
from tests.servers.manual_clock import ManualClock

SIZE = 4


@dataclass
class Keyset:
    """Items `k00` to `k19`, four a page; what goes on from a key that is gone is refused with `status`, as is all of the `closed` page."""

    status: int = 404
    closed: str = ""
    #: Whether it begins anew, without a word, instead of refusing.
    forgets: bool = False
    items: list[str] = field(default_factory=lambda: [f"k{n:02}" for n in range(20)])
    asked: list[str] = field(default_factory=list)

    def send(self, request: Request) -> Response:
        """As of `recon.fetch.transport.Transport`."""
        after = str(request.query.get("after", ""))
        self.asked.append(after)
        if self.forgets and after not in self.items:
            after = ""
        if after == self.closed != "" or (after and after not in self.items):
            return _json(self.status, {"error": {"message": f"No such item: {after}"}})
        start = self.items.index(after) + 1 if after else 0
        page = self.items[start : start + SIZE]
        return _json(200, {"data": [{"id": key} for key in page], "more": start + SIZE < len(self.items)})

    def close(self) -> None:
        """Nothing is open."""


def _json(status: int, document: object) -> Response:
    body = json.dumps(document).encode()
    return Response(status=status, headers={"content-type": "application/json"}, body=body, wire_bytes=len(body))


def landed(party: Keyset, folder: Path, meanwhile: Callable[[int], None]) -> tuple[Coverage, list[str]]:
    """The certificate, and the keys on disk in their order; `meanwhile` is told the number of pages that came, after each."""
    clock = ManualClock()
    provider = HTTPProvider(section("shop", base_url="http://127.0.0.1:9/", concurrency=1, tries=1))
    provider.catalogue = {"orders": Resource(path="orders", paging=LastId(param="after", more="more"), records="data")}
    provider.session.through(party, chance=random.Random(1))
    spool = Spool.open(folder)
    try:
        coverage = land(provider, Listing(resource="orders", clock=clock), spool, clock=clock, on_page=lambda told: meanwhile(told.pages))
        return coverage, [json.loads(line)["id"] for frame in spool.frames() for line in frame.splitlines()]
    finally:
        spool.close()
        provider.close()


@pytest.mark.parametrize("gone", [("k07",), ("k07", "k06"), ("k07", "k06", "k05", "k04", "k03")], ids=len)
@pytest.mark.parametrize("status", [400, 404])
def test_the_place_is_found_again(tmp_path: Path, gone: tuple[str, ...], status: int) -> None:
    """The last items of the second page are deleted before the third: it is asked for after an item before them; each item is there once, and none restarts."""
    party = Keyset(status)

    def delete(pages: int) -> None:
        if pages == 2:
            party.items = [key for key in party.items if key not in gone]

    coverage, keys = landed(party, tmp_path, delete)

    assert coverage.whole, coverage.proof
    assert keys == [f"k{n:02}" for n in range(20)]
    assert coverage.parts[0].restarts == 0
    assert coverage.notes == ("page 3 was asked for after an item before the one that it goes on from, which is gone",)
    # The last of them brings two known items and two new ones, so one page more is needed.
    assert len(party.asked) == 5 + {1: 1, 2: 2, 5: 4 + 1}[len(gone)]


def test_what_is_there_once_more_is_left_out(tmp_path: Path) -> None:
    """The place is refused though its item is still there: what comes again with the page before is left out, and no item is there twice."""
    party = Keyset(closed="k07")
    _, keys = landed(party, tmp_path, lambda _: None)
    assert keys == [f"k{n:02}" for n in range(20)]


def test_where_all_of_them_are_gone_the_listing_begins_anew(tmp_path: Path) -> None:
    """Every item so far is deleted: nothing leads on, and the next fetch begins anew and is whole."""
    party = Keyset()

    def delete(pages: int) -> None:
        if pages == 3:
            party.items = party.items[12:]

    coverage, _ = landed(party, tmp_path, delete)
    assert not coverage.whole
    coverage, keys = landed(party, tmp_path, lambda _: None)
    assert coverage.whole, coverage.proof
    assert keys == [f"k{n:02}" for n in range(12, 20)]
    assert coverage.parts[0].restarts == 1


@pytest.mark.parametrize(
    "gone", [("k07",), ("k07", "k06"), ("k07", "k06", "k05", "k04", "k03"), ("k07", "k00", "k01", "k02", "k03", "k04", "k05")], ids=len
)
@pytest.mark.parametrize("newest_first", [False, True])
def test_a_listing_that_begins_anew_without_a_word_is_put_right(tmp_path: Path, gone: tuple[str, ...], newest_first: bool) -> None:
    """Rising or falling: the page that begins before the last one's end is asked for by an item before it; each item is there once."""
    party = Keyset(forgets=True)
    party.items.sort(reverse=newest_first)
    names = dict(zip((f"k{n:02}" for n in range(20)), list(party.items), strict=True))

    def delete(pages: int) -> None:
        if pages == 2:
            kept = [key for key in party.items if key not in {names[one] for one in gone}]
            # What is new stands at the top, which a page that begins anew shows and the listing never does.
            party.items = ["k99", *kept] if newest_first else kept

    coverage, keys = landed(party, tmp_path, delete)

    assert coverage.whole, coverage.proof
    assert keys == list(names.values())
    assert coverage.parts[0].restarts == 0
    assert coverage.notes == ("page 3 was asked for after an item before the one that it goes on from, which is gone",)


def test_a_listing_that_always_begins_anew_is_a_circle(tmp_path: Path) -> None:
    """Whatever it is asked by, the second page is the first: partial, and it says so; nothing is written twice."""
    party = Keyset(forgets=True)

    def delete(pages: int) -> None:
        if pages == 1:
            party.items = ["a0", "a1", *party.items[SIZE:]]

    coverage, keys = landed(party, tmp_path, delete)

    assert not coverage.whole
    assert (
        "page 2 begins with a row before the one that it goes on from, and so it does 3 items further back; the listing runs in a circle"
        in coverage.proof
    )
    assert keys == ["k00", "k01", "k02", "k03"]


def test_rows_that_have_no_order_are_taken_as_they_come(tmp_path: Path) -> None:
    """The first page rises by chance: the second is asked for once more, its cursor's item is there, and no page after it is asked for twice."""
    party = Keyset()
    party.items = [*party.items[:SIZE], *sorted(party.items[SIZE:], key=lambda key: int(key[1:]) * 7 % 20)]
    party.items[SIZE] = "a0"

    coverage, keys = landed(party, tmp_path, lambda _: None)

    assert coverage.whole, coverage.proof
    assert keys == party.items
    assert coverage.notes == ()
    assert party.asked == ["", "k03", "k02", *(party.items[at] for at in (7, 11, 15))]
