"""Slots around clock changes, over zones that change in every way there is, against an oracle of plain dates."""

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.schedule.firing import SlotTrigger
from recon.schedule.trigger import Timetable

ZONES = [
    "UTC", "America/New_York", "Europe/Berlin", "Australia/Sydney", "America/Santiago", "Africa/Cairo", "Asia/Beirut", "America/Havana",
    "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca", "America/St_Johns", "Pacific/Chatham", "Asia/Gaza", "Antarctica/Troll", "America/Asuncion",
]  # fmt: skip
TIMES = [time(0, 0), time(0, 30), time(1, 0), time(1, 30), time(2, 0), time(2, 30), time(3, 0), time(12, 0), time(23, 30)]
START = datetime(2025, 1, 1, tzinfo=UTC)


def nightly(at: time, zone: str) -> Timetable:
    return Timetable(f"{at.minute} {at.hour} * * *", zone)


def check(zone_name: str, at: time, days: int) -> int:
    """Every local date has exactly one slot, at its wall time or as much later as the clock jumped; answers how many were held."""
    zone = ZoneInfo(zone_name)
    first = START.astimezone(zone).date() + timedelta(days=1)
    expected = [datetime.combine(first + timedelta(days=n), at, zone).replace(fold=0).astimezone(UTC) for n in range(days)]
    table = nightly(at, zone_name)
    slots = table.between(expected[0] - timedelta(microseconds=1), expected[-1])

    assert slots == expected, f"{zone_name} {at}: {set(expected) ^ set(slots)}"
    gaps = [b - a for a, b in pairwise(slots)]
    assert all(timedelta(hours=21) <= gap <= timedelta(hours=27) for gap in gaps), f"{zone_name} {at}"
    return len(slots)


@pytest.mark.parametrize("zone", ZONES)
def test_no_night_skipped_none_doubled(zone: str) -> None:
    """Two years of nights at nine times of day: 0 skipped, 0 doubled, each at the instant of the slot rule."""
    assert sum(check(zone, at, 730) for at in TIMES) == 730 * len(TIMES)


@pytest.mark.parametrize("zone", ["America/New_York", "America/Santiago", "Australia/Lord_Howe", "America/Havana"])
def test_latest_is_the_reverse_of_after(zone: str) -> None:
    """For every slot of a year, `latest` finds it at its instant and until the next, and never one from the future."""
    for at in (time(0, 0), time(0, 30), time(2, 30)):
        table = nightly(at, zone)
        slots = table.between(START, START + timedelta(days=366))
        for slot, following in pairwise(slots):
            assert table.latest(slot) == slot
            assert table.latest(following - timedelta(microseconds=1)) == slot
            assert table.after(slot - timedelta(microseconds=1)) == slot


@given(
    minute=st.sampled_from(["0", "30", "0,30", "15", "*/15", "*", "5-50/15"]),
    hour=st.sampled_from(["0", "2", "1,2", "0-3", "*", "*/2", "2,3", "23"]),
    rest=st.sampled_from(["* * *", "* * 0", "1 * *", "*/2 * *", "8 3 0"]),
    zone=st.sampled_from(ZONES),
    seconds=st.integers(0, 700 * 86400),
)
@settings(max_examples=150, deadline=None)
def test_any_line_goes_forward_and_back(minute: str, hour: str, rest: str, zone: str, seconds: int) -> None:
    """Whatever the line, slots strictly increase, `latest` agrees with `after`, and no slot lies between neighbours."""
    table = Timetable(f"{minute} {hour} {rest}", zone)
    moment = START + timedelta(seconds=seconds)
    slot = table.after(moment)
    assert slot is not None
    assert slot > moment
    assert table.latest(slot) == slot
    before = table.latest(moment)
    assert before is not None
    assert before <= moment
    assert table.after(before) == slot


def test_gap_and_repeat_by_name() -> None:
    """New York: 02:30 in the gap runs at 03:30 summer time, 01:30 in the repeated hour runs once, the first time."""
    spring = nightly(time(2, 30), "America/New_York").between(datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC))
    autumn = nightly(time(1, 30), "America/New_York").between(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC))
    assert spring == [datetime(2026, 3, 8, 7, 30, tzinfo=UTC)]
    assert autumn == [datetime(2026, 11, 1, 5, 30, tzinfo=UTC)]


def test_two_wall_times_on_one_instant_are_one_slot() -> None:
    """02:00 and 03:00 are the same instant on the night of the spring change, and so one slot; in order always."""
    day = (datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC))
    assert Timetable("0 2,3 * * *", "America/New_York").between(*day) == [datetime(2026, 3, 8, 7, tzinfo=UTC)]
    halves = Timetable("0,30 2,3 * * *", "America/New_York").between(*day)
    assert halves == [datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 3, 8, 7, 30, tzinfo=UTC)]


def test_elapsing_lines_follow_the_real_clock() -> None:
    """Every fifteen minutes is every fifteen minutes, through the gap and through both of the repeated hours."""
    for start in (datetime(2026, 3, 8, 4, tzinfo=UTC), datetime(2026, 11, 1, 3, tzinfo=UTC)):
        slots = Timetable("*/15 * * * *", "America/New_York").between(start, start + timedelta(hours=6))
        assert slots == [start + timedelta(minutes=15 * n) for n in range(1, 25)]


def test_a_day_that_was_left_out() -> None:
    """Samoa had no 30 December 2011: its slot falls on the next day's, and counts once."""
    slots = nightly(time(3, 0), "Pacific/Apia").between(datetime(2011, 12, 28, tzinfo=UTC), datetime(2012, 1, 2, tzinfo=UTC))
    assert len(slots) == len(set(slots)) == 5
    assert [b > a for a, b in pairwise(slots)] == [True] * 4


@pytest.mark.parametrize(("line", "weekday"), [("0 3 * * 0", 6), ("0 3 * * 7", 6), ("0 3 * * 1", 0), ("0 3 * * SUN", 6)])
def test_weekdays_are_cron_s(line: str, weekday: int) -> None:
    """0 and 7 are Sunday and 1 is Monday, as in crontab(5)."""
    assert {slot.weekday() for slot in Timetable(line).between(START, START + timedelta(days=60))} == {weekday}


@pytest.mark.parametrize(
    ("line", "zone", "says"),
    [
        ("0 3 * *", "UTC", "five fields"), ("60 3 * * *", "UTC", "'60 3 * * *'"), ("0 3 * * 8", "UTC", "cron line"), ("0 0 3 * * *", "UTC", "five fields"),
        ("0 3 * * *", "Europe/Berln", "Europe/Berln"), ("0 3 * * *", "../etc/passwd", "no time zone"), ("0 3 30 2 *", "UTC", "cron line"),
    ],
)  # fmt: skip
def test_wrong_lines_and_zones(line: str, zone: str, says: str) -> None:
    """A line or zone that is none is refused with its text and what is wanted."""
    with pytest.raises(ValueError, match=r".") as caught:
        Timetable(line, zone)
    assert says in str(caught.value)


def test_trigger_walks_without_skipping() -> None:
    """As APScheduler asks it, from each firing to the next, the trigger yields every slot of the year once."""
    table = nightly(time(0, 30), "America/New_York")
    trigger = SlotTrigger(table)
    slot = trigger.get_next_fire_time(None, START)
    walked = []
    while slot is not None and slot < START + timedelta(days=365):
        walked.append(slot)
        slot = trigger.get_next_fire_time(slot, START)
    assert len(walked) == 365
    assert trigger.get_next_fire_time(None, walked[3]) == walked[3], "a slot that is just now is not passed over"
