"""Landing: the proofs that hold for every provider, whoever wrote it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recon.errors import InvalidPage, LocalFault, Unreachable
from recon.fetch.coverage import Coverage
from recon.fetch.landing import land
from recon.fetch.page import End, Page
from recon.fetch.spool import Spool
from recon.provider import Listing, Meter
from tests.servers.manual_clock import ManualClock


class Scripted:
    """A provider that yields what it is told; an exception in the script is raised."""

    name = "shop"

    def __init__(self, *script: Page | Exception) -> None:
        self.meter = Meter()
        self.script = script
        self.asked: list[Listing] = []

    def fetch(self, listing: Listing) -> Iterator[Page]:
        self.asked.append(listing)
        start = 0 if listing.resume is None else int(listing.resume["at"])
        for step in self.script[start:]:
            self.meter.requests += 1
            if isinstance(step, Exception):
                raise step
            yield step


def rows(start: int, count: int = 2) -> list[bytes]:
    return [b'{"id":%d}' % i for i in range(start, start + count)]


def page(start: int, at: int | None, *, end: str | None = None, count: int = 2, total: int | None = None, **place: Any) -> Page:
    return Page(items=rows(start, count), next=None if at is None else {"at": at, **place}, end=End(end) if end else None, total=total)


def landed(tmp_path: Path, provider: Scripted, clock: ManualClock | None = None, **options: Any) -> Coverage:
    spool = Spool.open(tmp_path / "s")
    try:
        return land(provider, Listing(resource="charges"), spool, clock=clock or ManualClock(), **options)
    finally:
        spool.close()


def spooled(tmp_path: Path) -> list[bytes]:
    spool = Spool.open(tmp_path / "s")
    lines = [line for frame in spool.frames() for line in frame.splitlines()]
    spool.close()
    return lines


def test_a_listing_with_its_end_is_whole(tmp_path: Path) -> None:
    """The certificate carries the proof and the figures, and is told after every page."""
    told: list[Coverage] = []
    coverage = landed(tmp_path, Scripted(page(0, 1), page(2, 2), page(4, None, end="has_more = false on page 3")), on_page=told.append)
    assert coverage.whole
    assert (coverage.proof, coverage.pages, coverage.records, coverage.requests, coverage.resumed) == (
        "has_more = false on page 3",
        3,
        6,
        3,
        False,
    )
    assert [c.records for c in told] == [2, 4, 6]
    assert [c.whole for c in told] == [False, False, True]
    assert spooled(tmp_path) == rows(0, 6)


def test_an_empty_listing_with_a_proper_end_is_whole(tmp_path: Path) -> None:
    """Nothing, proven: whole with 0 records. Whether that is to be believed is the guard's business."""
    coverage = landed(tmp_path, Scripted(Page(items=[], end=End("total = 0"))))
    assert coverage.whole
    assert coverage.records == 0


def test_a_provider_that_just_stops_is_not_whole(tmp_path: Path) -> None:
    """No End, no wholeness, however many pages came: it is asked twice more, then the certificate says partial, why, and how much there is."""
    stopping = Scripted(page(0, 1), page(2, 2))
    clock = ManualClock()
    coverage = landed(tmp_path, stopping, clock)
    assert not coverage.whole
    assert "without an end marker" in coverage.proof
    assert "4 records on 2 pages" in coverage.proof
    assert (coverage.planned, coverage.finished, coverage.parts[0].ended) == (1, 0, False)
    assert [listing.resume for listing in stopping.asked] == [None, {"at": 2}, {"at": 2}]
    with pytest.raises(InvalidPage, match="neither a next page nor an end"):
        landed(tmp_path / "b", Scripted(Page(items=[])))


def test_a_page_that_comes_twice_is_an_endless_listing(tmp_path: Path) -> None:
    """The same items again are named with both page numbers, and are not written a second time."""
    coverage = landed(tmp_path, Scripted(page(0, 1), page(2, 2), page(0, 3)))
    assert "page 3 holds the same 2 items as page 1" in coverage.verdict()
    assert coverage.verdict().startswith("partial (")
    assert spooled(tmp_path) == rows(0, 4)


def test_a_place_that_is_come_to_twice_is_an_endless_listing(tmp_path: Path) -> None:
    """A cursor seen before ends the fetch even when the items differ each time."""
    coverage = landed(tmp_path, Scripted(page(0, 1, _page=2), page(2, 2), page(4, 1, _page=4)))
    assert "page 3 leads to the same place as page 1" in coverage.verdict()
    assert not coverage.whole


def test_repeats_are_noticed_across_a_restart(tmp_path: Path) -> None:
    """A circle that closes after a resumed fetch is noticed as well."""
    steps = [page(0, 1), page(2, 2), page(0, 3)]
    with pytest.raises(Unreachable):
        landed(tmp_path, Scripted(*steps[:2], Unreachable("gone")))
    coverage = landed(tmp_path, Scripted(*steps))
    assert "holds the same 2 items as page 1" in coverage.proof
    assert not coverage.whole


def test_endless_empty_pages_and_totals_out_of_all_proportion_end(tmp_path: Path) -> None:
    """New cursors for ever without items, and items for ever past the API's own count, are bounded."""
    empty = landed(tmp_path / "a", Scripted(*(Page(items=[], next={"at": n}) for n in range(1, 300))))
    assert "101 empty pages in a row" in empty.verdict()
    many = landed(tmp_path / "b", Scripted(*(page(n * 1000, n + 1, count=1000, total=10) for n in range(99))))
    assert "by the API's own count" in many.verdict()
    assert not empty.whole
    assert not many.whole


def test_a_failed_fetch_goes_on_from_its_last_page(tmp_path: Path) -> None:
    """What arrived is kept; the next attempt asks from the checkpoint, keeps the first beginning, and says that it was resumed."""
    steps = [page(0, 1), page(2, 2), page(4, None, end="done")]
    clock = ManualClock()
    began = clock.now()
    with pytest.raises(Unreachable):
        landed(tmp_path, Scripted(*steps[:2], Unreachable("gone")), clock)
    clock.sleep(600)
    again = Scripted(*steps)
    coverage = landed(tmp_path, again, clock)
    assert again.asked[0].resume == {"at": 2}
    assert (coverage.whole, coverage.resumed, coverage.pages, coverage.records, coverage.requests) == (True, True, 3, 6, 3)
    assert coverage.started_at == began
    assert spooled(tmp_path) == rows(0, 6)


def test_a_finished_spool_asks_for_nothing_more(tmp_path: Path) -> None:
    """A run resumed after its fetch reads the certificate from disk."""
    first = landed(tmp_path, Scripted(page(0, None, end="done")))
    untouched = Scripted(RuntimeError("asked"))
    coverage = landed(tmp_path, untouched)
    assert untouched.asked == []
    assert (coverage.whole, coverage.proof, coverage.records, coverage.requests, coverage.resumed) == (True, "done", 2, 1, True)
    assert coverage.started_at == first.started_at


def test_a_checkpoint_too_old_to_trust_starts_anew_and_says_so(tmp_path: Path) -> None:
    """Cursors expire and pages age: past the age the fetch begins again, and the certificate tells."""
    steps = [page(0, 1), page(2, None, end="done")]
    clock = ManualClock()
    with pytest.raises(Unreachable):
        landed(tmp_path, Scripted(steps[0], Unreachable("gone")), clock)
    clock.sleep(7 * 3600)
    again = Scripted(*steps)
    coverage = landed(tmp_path, again, clock)
    assert again.asked[0].resume is None
    assert coverage.whole
    assert not coverage.resumed
    assert "too old to go on from" in coverage.proof
    assert "7h 00m" in coverage.proof
    assert spooled(tmp_path) == rows(0, 4)


def test_a_full_disk_is_this_machines_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool that cannot be opened is a LocalFault with the folder in it, not a traceback."""
    (tmp_path / "s").write_text("a file stands in the way")
    with pytest.raises(LocalFault, match=str(tmp_path / "s")):
        Spool.open(tmp_path / "s")


def test_a_secret_among_the_filters_is_masked(tmp_path: Path) -> None:
    """A literal credential in a parameter stands neither in the certificate nor in the file that says what is fetched."""

    class Telling(Scripted):
        def scope(self, resource: str) -> dict[str, str]:
            return {"filters": f"api_key=sk_live_abcdef123456&resource={resource}&page_token = t0k3n, Secret=hush"}

    coverage = landed(tmp_path, Telling(page(0, None, end="done")))

    stored = (tmp_path / "s" / "listing.json").read_text()
    for secret in ("sk_live_abcdef123456", "t0k3n", "hush"):
        assert secret not in repr(coverage)
        assert secret not in stored
    assert "resource=charges" in coverage.scope["filters"]
