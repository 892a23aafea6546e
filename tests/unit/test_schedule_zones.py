"""Every zone, 48 times of day, two years: no night skipped, none doubled, against the law read from the zones' own files.

Zones whose clocks do the same over these years are one, so each law is checked once. What is checked of a law, and why that is all of it:

- around each change, two days on either side, every one of the 48 times, forward (`after`) and back (`latest`). `Timetable` never looks
  further than 26 hours from the instants it is asked about, so a change that is two days off is out of its sight;
- between changes the offset is constant, and a slot is its wall time less that offset. What could still go wrong there depends on the
  date (the end of a month, a leap day) or on the time of day. All dates of the two years are walked for every law at one of the 48
  times, another for each law; all 48 times are walked over all dates for UTC.

The soak test goes through every zone, time and date without any such argument.
"""

import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from multiprocessing import get_context
from zoneinfo import available_timezones

import pytest

from recon.schedule.trigger import Timetable
from tests.faults.results import record
from tests.unit.zones import Law, law_of, stretch

FIRST, LAST = date(2025, 1, 1), date(2026, 12, 31)
START, END = datetime(2024, 12, 29, tzinfo=UTC), datetime(2027, 1, 3, tzinfo=UTC)
HALVES = range(48)
SECOND = timedelta(seconds=1)


def all_zones() -> list[str]:
    return sorted(zone for zone in available_timezones() if not zone.startswith(("posix", "right", "localtime")))


def laws() -> dict[Law, list[str]]:
    """Every law there is in these years, with the zones that have it."""
    found: dict[Law, list[str]] = defaultdict(list)
    for zone in all_zones():
        found[law_of(zone, START, END)].append(zone)
    return found


def held(zone: str, law: Law, half: int, first: date, last: date, *, back: bool = False) -> int:
    """Walks a time of day through these dates and holds each slot against the law; answers how many slots there were."""
    table = Timetable(f"{half % 2 * 30} {half // 2} * * *", zone)
    expected = law.slots(first, last, 30 * half)

    assert table.between(expected[0] - SECOND, expected[-1]) == expected, f"{zone} {table.line}"
    if back:
        for slot, following in pairwise(expected):
            assert table.latest(slot) == slot, f"{zone} {table.line} {slot}"
            assert table.latest(following - SECOND) == slot, f"{zone} {table.line} {following}"
    return len(expected)


def check(number: int, zone: str, law: Law) -> tuple[int, int]:
    """One law: every time around every change, and one time through all dates; answers how many slots and how many nights those were."""
    changed = [datetime.fromtimestamp(at, UTC).date() for at, _, _ in law.changes]
    slots = nights = 0
    for first, last in stretch(FIRST, LAST, changed):
        for half in HALVES:
            slots += held(zone, law, half, first, last, back=True)
            nights += (last - first).days + 1
    every = HALVES if law == Law(0, ()) else [number % 48]
    for half in every:
        slots += held(zone, law, half, FIRST, LAST)
        nights += (LAST - FIRST).days + 1
    return slots, nights


def test_all_zones_at_all_clock_changes() -> None:
    """0 skipped and 0 doubled: every zone, every change of its clock in two years, 48 times of day, and every date between."""
    began = time.monotonic()
    found = laws()
    work = [(number, zones[0], law) for number, (law, zones) in enumerate(found.items())]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        counts = list(pool.map(check, *zip(*work, strict=True), chunksize=4))
    slots, nights = (sum(column) for column in zip(*counts, strict=True))
    changes = sum(len(law.changes) for law in found)
    shared = sum(len(law.changes) * len(zones) for law, zones in found.items())

    note = f"slots, one for each night; {len(all_zones())} zones in {len(found)} laws, {changes} changes ({shared} counted for each zone)"
    record("all zones at all clock changes", slots, nights, seconds=time.monotonic() - began, note=note)
    assert len(all_zones()) > 400
    assert changes > 50
    assert slots == nights, "one slot for each night: none skipped, none doubled"


@pytest.mark.soak
def test_all_zones_exhaustively() -> None:
    """Every zone there is, 48 times of day, every date of two years, with no argument about what need not be looked at."""
    began = time.monotonic()
    nights = (LAST - FIRST).days + 1
    total = sum(held(zone, law_of(zone, START, END), half, FIRST, LAST) for zone in all_zones() for half in HALVES)

    wanted = len(all_zones()) * 48 * nights
    record("all zones, times and dates", total, wanted, seconds=time.monotonic() - began, note="two years, 48 times of day")
    assert total == wanted


def test_the_oracle_knows_the_law() -> None:
    """By name: New York's gap and repeat, Lord Howe's half hour, and a zone without changes, as their governments have them."""
    york = law_of("America/New_York", START, END)
    assert york.slots(date(2026, 3, 8), date(2026, 3, 8), 150) == [datetime(2026, 3, 8, 7, 30, tzinfo=UTC)]
    assert york.slots(date(2026, 11, 1), date(2026, 11, 1), 90) == [datetime(2026, 11, 1, 5, 30, tzinfo=UTC)]
    assert law_of("Australia/Lord_Howe", START, END).offsets() == {37800, 39600}
    assert law_of("Asia/Kolkata", START, END) == Law(19800, ())
