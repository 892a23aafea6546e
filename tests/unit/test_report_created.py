"""When the missing ones were created: the sentence is said when it is true and only then."""

import random
import re
from datetime import UTC, datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from recon.report.created import MOST_BUCKETS, MOST_UNITS, CreatedCounts, created_window

BASE = datetime(2026, 11, 22, 1, 10, tzinfo=UTC)
MOMENTS = st.lists(st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)), max_size=80)


def _outage(width: float, inside: int, outside: int, seed: int = 1) -> list[datetime]:
    chance = random.Random(seed)
    moments = [BASE + timedelta(seconds=chance.uniform(0, width)) for _ in range(inside)]
    return moments + [BASE - timedelta(seconds=chance.uniform(86400, 60 * 86400)) for _ in range(outside)]


CLUSTERED = st.builds(
    _outage,
    st.integers(1, 5 * 3600),
    st.integers(10, 200),
    st.integers(0, 40),
    st.integers(0, 10**6),
)


def test_an_outage_shows_itself_in_words() -> None:
    """96 of 100 within half an hour are told with their share, local times, zone and day."""
    window = created_window(_outage(1799, 960, 40), "Europe/Paris")

    assert window is not None
    assert window.sentence == "96% of the missing were created between 02:10 and 02:40 (Europe/Paris), 22 November 2026"
    assert (BASE, BASE + timedelta(minutes=30)) == (window.start, window.end)


def test_what_is_spread_out_is_not_said_to_be_a_window() -> None:
    """Items spread evenly over ten days give a histogram and no sentence."""
    chance = random.Random(5)
    window = created_window(BASE + timedelta(seconds=chance.uniform(0, 10 * 86400)) for _ in range(2000))

    assert window is not None
    assert window.sentence == ""
    assert sum(bucket.count for bucket in window.buckets) == 2000


def test_too_few_are_no_window() -> None:
    """Nine in one minute say nothing yet, ten do; none at all give no histogram."""
    assert created_window([]) is None
    few, enough = created_window([BASE] * 9), created_window([BASE] * 10)

    assert few is not None
    assert few.sentence == ""
    assert enough is not None
    assert enough.sentence.startswith("100% of the missing were created between 01:10 and 01:11 (UTC)")


@settings(max_examples=80, deadline=None)
@example(_outage(61, 11, 2, 3))
@given(MOMENTS | CLUSTERED)
def test_the_sentence_is_true(moments: list[datetime]) -> None:
    """Whatever the times: the share told is the share of the window told, the rule holds, and no item is lost from the picture."""
    window = created_window(moments)
    if not moments:
        assert window is None
        return

    assert window is not None
    assert len(moments) == window.earlier + window.later + sum(bucket.count for bucket in window.buckets)
    assert 1 <= len(window.buckets) <= MOST_BUCKETS
    assert bool(window.sentence) == (window.start is not None)
    span = (max(moments) - min(moments)).total_seconds()
    if window.start is None or window.end is None:
        _no_window_fits(moments)
        return
    inside = sum(window.start <= moment < window.end for moment in moments)
    told = re.match(r"(\d+)%", window.sentence)
    assert told is not None
    assert int(told[1]) == inside * 100 // len(moments)
    assert inside * 10 >= 8 * len(moments)
    # The core's limit, what widening may add on each side, and the rounding.
    assert (window.end - window.start).total_seconds() <= 2.5 * max(6 * 3600, span / 10 + 120) + 2 * 86400


def _no_window_fits(moments: list[datetime]) -> None:
    """The oracle: no stretch of six hours, counted by whole minutes, holds enough of them."""
    minutes = sorted(int(moment.timestamp() // 60) for moment in moments)
    need = -(-len(minutes) * 4 // 5)
    tight = any(minutes[n + need - 1] - minutes[n] < 360 for n in range(len(minutes) - need + 1))
    assert len(moments) < 10 or not tight


def test_a_window_across_midnight_names_both_days() -> None:
    """Local midnight inside the window: both ends carry their day."""
    window = created_window([datetime(2026, 11, 22, 22, 50, tzinfo=UTC) + timedelta(minutes=n) for n in range(30)], "Europe/Paris")

    assert window is not None
    assert "between 22 November 2026, 23:50, and 23 November 2026, 00:20 (Europe/Paris)" in window.sentence


def test_a_window_over_a_clock_change_is_told_in_utc() -> None:
    """Where local time jumps within the window, UTC is unambiguous."""
    window = created_window([datetime(2026, 10, 25, 0, 40, tzinfo=UTC) + timedelta(minutes=n) for n in range(40)], "Europe/Paris")

    assert window is not None
    assert "between 2026-10-25T00:40:00Z and 2026-10-25T01:20:00Z" in window.sentence


def test_memory_is_bounded_over_decades() -> None:
    """A time in each of more minutes than are kept apart makes the unit coarser, and counts stay whole."""
    counts = CreatedCounts()
    number = MOST_UNITS + 5000
    for n in range(number):
        counts.add(BASE + timedelta(minutes=n), 2)

    assert len(counts.counts) <= MOST_UNITS
    assert 2 * number == sum(counts.counts.values())
    assert counts.unit == 600
