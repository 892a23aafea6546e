"""The crew: parts walked side by side, never further ahead than the queue is long, and still the moment they are to stop."""

import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from recon.clock import Clock, SystemClock
from recon.errors import InvalidPage, LostLease, Unreachable
from recon.fetch.crew import AHEAD, Crew, Errand, Hands, Turns, crew
from recon.fetch.landing import land
from recon.fetch.page import End, Page
from recon.fetch.partition import Part, Partition
from recon.fetch.spool import DATA, PAGES, Spool
from recon.provider import Listing, Meter
from tests.servers.manual_clock import ManualClock

WIDTHS = (1, 3)


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Waits for a condition; fails where it does not come."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.002)


def hands() -> list[threading.Thread]:
    """The threads of any crew."""
    return [one for one in threading.enumerate() if one.name.startswith("recon-fetch-")]


def page(part: int, number: int, *, last: bool = False) -> Page:
    """A page like no other."""
    return Page(items=[b'{"id":"%d-%d"}' % (part, number)], next=None if last else {"n": number}, end=End("there") if last else None)


def walked(pages: int, made: list[int] | None = None) -> Callable[[Errand, Clock], Iterator[Page]]:
    """A walk of so many pages; `made` counts them as they are made."""

    def walk(errand: Errand, _: Clock) -> Iterator[Page]:
        for number in range(1, pages + 1):
            if made is not None:
                made.append(errand.part)
            yield page(errand.part, number, last=number == pages)

    return walk


def errand(part: int, after: float = 0.0) -> Errand:
    return Errand(part=part, partition=Partition(name=f"p{part}"), after=after)


def brought(crew_: Crew) -> dict[int, list[Any]]:
    """All that comes, by part."""
    came: dict[int, list[Any]] = {}
    while crew_.busy:
        part, what = crew_.bring()
        came.setdefault(part, []).append(what)
    return came


@pytest.mark.parametrize("width", WIDTHS)
def test_every_part_is_brought_whole_and_in_its_order(width: int) -> None:
    """Each part's pages come once, in order, up to its end, whatever the width."""
    crew_ = crew(walked(7), width, SystemClock())
    for part in range(3):
        crew_.send(errand(part))
    came = brought(crew_)
    crew_.stop()
    assert {part: [p.items for p in pages] for part, pages in came.items()} == {
        part: [page(part, n).items for n in range(1, 8)] for part in range(3)
    }
    assert hands() == []


def test_one_hand_takes_turns_in_the_same_order_each_time() -> None:
    """With a width of one there is no thread: a page of each part in turn."""
    crew_ = crew(walked(3), 1, SystemClock())
    assert isinstance(crew_, Turns)
    for part in range(3):
        crew_.send(errand(part))
    assert [crew_.bring()[0] for _ in range(9)] == [0, 1, 2] * 3
    assert not crew_.busy
    assert hands() == []


def test_no_hand_is_further_ahead_than_the_queue_is_long() -> None:
    """While nothing is taken, two pages a hand wait in the queue and one more in each hand; memory is that, however long the listing."""
    made: list[int] = []
    crew_ = crew(walked(1000, made), 3, SystemClock())
    for part in range(3):
        crew_.send(errand(part))
    most = AHEAD * 3 + 3
    until(lambda: len(made) == most)
    stop = time.monotonic() + 0.3
    while time.monotonic() < stop:
        assert len(made) == most
        time.sleep(0.02)
    crew_.bring()
    until(lambda: len(made) == most + 1)
    crew_.stop()
    assert hands() == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("at_once", [False, True])
def test_what_ends_a_walk_is_brought_as_it_is(width: int, at_once: bool) -> None:
    """An error, also one of `fetch` itself before its first page, comes in its place; a walk that just ends brings None; the others go on."""

    def raising(errand_: Errand, _: Clock) -> Iterator[Page]:
        yield page(errand_.part, 1)
        raise InvalidPage("a login page")

    def walk(errand_: Errand, clock: Clock) -> Iterator[Page]:
        if errand_.part == 0:
            if at_once:
                raise InvalidPage("a login page")
            return raising(errand_, clock)
        return walked(2)(errand_, clock) if errand_.part == 1 else iter([page(2, 1)])

    crew_ = crew(walk, width, SystemClock())
    for part in range(3):
        crew_.send(errand(part))
    came = brought(crew_)
    crew_.stop()
    assert [type(one) for one in came[0]] == [*([] if at_once else [Page]), InvalidPage]
    assert [type(one) for one in came[1]] == [Page, Page]
    assert [type(one) for one in came[2]] == [Page, type(None)]
    assert hands() == []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_recalled_part_brings_nothing_more_until_it_is_sent_again(width: int) -> None:
    """Pages of the ended walk that wait in the queue are not taken for those of the new one."""
    walks = count()

    def walk(errand_: Errand, _: Clock) -> Iterator[Page]:
        walk_number = next(walks)
        for number in range(1, 6):
            yield page(walk_number, number, last=number == 5)

    crew_ = crew(walk, width, SystemClock())
    crew_.send(errand(0))
    crew_.bring()
    crew_.recall(0)
    assert not crew_.busy
    crew_.send(errand(0))
    came = brought(crew_)[0]
    crew_.stop()
    assert [p.items for p in came] == [page(1, n).items for n in range(1, 6)]
    assert hands() == []


def test_stop_wakes_who_sleeps_and_who_waits_at_a_full_queue() -> None:
    """One hand pauses for an hour, one before its first page, the others stand at a full queue: all are gone within two seconds."""

    def walk(errand_: Errand, clock: Clock) -> Iterator[Page]:
        if errand_.part == 0:
            clock.sleep(3600)
        yield from walked(1000)(errand_, clock)

    crew_ = crew(walk, 4, SystemClock())
    for part in range(4):
        crew_.send(errand(part, after=3600 if part == 1 else 0))
    until(lambda: isinstance(crew_, Hands) and crew_._queue.full())
    began = time.monotonic()
    crew_.stop()
    assert time.monotonic() - began < 2
    assert hands() == []


class Parts:
    """A third party in four parts of many pages each, cut by a range; with an hour's sleep in one of them where that is wanted."""

    name = "shop"
    ranged = True

    def __init__(self, pages: int, width: int, *, asleep: bool = False, gone: int | None = None) -> None:
        self.meter = Meter()
        self.pages, self.wide, self.asleep, self.gone = pages, width, asleep, gone
        self.asked: list[tuple[str, int]] = []

    def width(self, _: str) -> int:
        return self.wide

    def planner(self, _: Listing) -> "Parts":
        return self

    def following(self, parts: Any) -> Partition | None:
        number = len(parts)
        assert all(isinstance(one, Part) for one in parts)
        return None if number > 3 else Partition(name=f"r{number}", low=number or None, high=number + 1 if number < 3 else None)

    def fetch(self, listing: Listing) -> Iterator[Page]:
        part = int(listing.partition.name[1:])
        first = 1 if listing.resume is None else int(listing.resume["n"]) + 1
        for number in range(first, self.pages + 1):
            if self.asleep and part == 2 and number == 2:
                assert listing.clock is not None
                listing.clock.sleep(3600)
            if part == self.gone and number == 3:
                raise Unreachable("the shop is gone")
            self.asked.append((listing.partition.name, number))
            yield page(part, number, last=number == self.pages)


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("ends", [KeyboardInterrupt, LostLease])
def test_what_the_run_is_stopped_by_leaves_the_spool_whole_and_no_thread(width: int, ends: type[BaseException], tmp_path: Path) -> None:
    """Ctrl-C, or a lease that is lost, after the ninth page: raised within two seconds, nothing is written after it, and the rest is gone on with."""
    pages = count(1)

    def stops(_: object) -> None:
        if next(pages) == 9:
            raise ends("enough")

    shop = Parts(20, width, asleep=width > 1)
    spool = Spool.open(tmp_path / "s")
    began = time.monotonic()
    with pytest.raises(ends):
        land(shop, Listing(resource="orders"), spool, clock=SystemClock(), on_page=stops)
    assert time.monotonic() - began < 3
    assert hands() == []
    sizes = [(tmp_path / "s" / name).stat().st_size for name in (DATA, PAGES)]
    there = list(spool.frames())
    spool.close()
    assert len(there) == 9
    spool = Spool.open(tmp_path / "s")
    assert list(spool.frames()) == there
    assert [(tmp_path / "s" / name).stat().st_size for name in (DATA, PAGES)] == sizes
    rest = Parts(20, width)
    coverage = land(rest, Listing(resource="orders"), spool, clock=SystemClock())
    assert coverage.whole
    assert len(rest.asked) == len(set(rest.asked)) == 4 * 20 - 9, "no page that is on disk was asked for again"
    assert sorted(spool.frames()) == sorted(page(part, n).items[0] + b"\n" for part in range(4) for n in range(1, 21))
    spool.close()


@pytest.mark.parametrize("width", [1, 4])
def test_a_third_party_that_is_gone_stops_every_part_and_keeps_what_came(width: int, tmp_path: Path) -> None:
    """Unreachable in one part is the fetch's: it raises, no thread is left, and the next attempt asks for the rest alone."""
    spool = Spool.open(tmp_path / "s")
    with pytest.raises(Unreachable):
        land(Parts(20, width, gone=1), Listing(resource="orders"), spool, clock=ManualClock())
    assert hands() == []
    there = spool.pages
    assert there >= 2
    rest = Parts(20, width)
    assert land(rest, Listing(resource="orders"), spool, clock=ManualClock()).whole
    assert len(rest.asked) == len(set(rest.asked)) == 80 - there
    spool.close()
