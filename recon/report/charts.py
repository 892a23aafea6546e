"""Small pictures as geometry: the template draws the rectangles, and says the same in words beside them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from recon.duration import words_of
from recon.report.figures import CreatedBucket, CreatedWindow, RunFigures, RunPoint, Verdict
from recon.report.words import moment, plural, single

MOST_RUNS = 30
LEAST_SLOTS = 15
"""So that three runs are three bars and not three walls; the latest is always at the right edge."""
HEIGHT = 100.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle in a box 100 high, `look` is its class, `title` what it stands for."""

    x: float
    y: float
    width: float
    height: float
    title: str
    look: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars in a box `width` x 100, and the picture in one sentence for who does not see it."""

    bars: tuple[Bar, ...]
    width: float
    words: str
    first: str = ""
    last: str = ""
    scale: str = ""


def points(figures: RunFigures) -> tuple[RunPoint, ...]:
    """The runs before this one and this one itself; a look at single items is no point on the line."""
    before = tuple(point for point in figures.history if point.run != figures.run)
    if single(figures):
        return before
    this = RunPoint(
        run=figures.run,
        started_at=figures.started_at,
        verdict=figures.verdict,
        discrepancies=figures.discrepancies,
        compared=figures.compared,
    )
    return (*before, this)


def sparkline(history: Sequence[RunPoint], timezone: str = "UTC", *, most: int = MOST_RUNS) -> Chart | None:
    """The last runs, oldest first: a bar as high as there were discrepancies; a hollow one where nothing was compared."""
    points = sorted(history, key=lambda point: point.started_at)[-most:]
    if not points:
        return None
    top = max(point.discrepancies for point in points)
    slots = max(len(points), LEAST_SLOTS)
    bars = []
    for number, point in enumerate(points, slots - len(points)):
        known = point.verdict not in {Verdict.INCOMPLETE, Verdict.FAILED}
        # By the square root, or one bad night would press all others flat.
        height = max(4.0, HEIGHT * math.sqrt(point.discrepancies / top)) if known and top else 4.0
        height = height if known else HEIGHT
        found = plural(point.discrepancies, "discrepancy", "discrepancies") if known else "nothing known"
        title = f"{moment(point.started_at, timezone)}: {point.verdict.value}, {found}"
        bars.append(Bar(number * 10 + 1.5, HEIGHT - height, 7, height, title, point.verdict.value))
    words = f"The last {plural(len(points), 'run')}: at most {plural(top, 'discrepancy', 'discrepancies')}, the latest is {points[-1].verdict.value}."
    first, last = (_day(point.started_at, timezone) for point in (points[0], points[-1]))
    return Chart(tuple(bars), slots * 10, words, f"from {first}", f"to {last}", f"at most {top:,} (square-root scale)")


def created_chart(window: CreatedWindow, timezone: str = "UTC") -> Chart | None:
    """The histogram of creation times, with the named window marked."""
    buckets = window.buckets
    if not buckets:
        return None
    top = max(bucket.count for bucket in buckets)
    bars = []
    for number, bucket in enumerate(buckets):
        height = max(2.0, HEIGHT * bucket.count / top) if bucket.count else 0.0
        title = f"{moment(bucket.start, timezone)}, {words_of(bucket.seconds)}: {bucket.count:,}"
        bars.append(Bar(number * 10 + 0.75, HEIGHT - height, 8.5, height, title, "dense" if _inside(bucket, window) else ""))
    step = words_of(buckets[0].seconds).replace(" 00s", "").replace(" 00m", "").replace(" 00h", "")
    words = window.sentence or f"Creation times of the missing, in steps of {step}; at most {top:,} in one."
    first, last = (_clock(when, timezone) for when in (buckets[0].start, buckets[-1].start + timedelta(seconds=buckets[-1].seconds)))
    return Chart(tuple(bars), len(buckets) * 10, words, first, last, f"at most {top:,} in {step}")


def _inside(bucket: CreatedBucket, window: CreatedWindow) -> bool:
    if window.start is None or window.end is None:
        return False
    middle = bucket.start.timestamp() + bucket.seconds / 2
    return window.start.timestamp() <= middle < window.end.timestamp()


def _local(when: datetime, timezone: str) -> datetime:
    try:
        return when.astimezone(ZoneInfo(timezone))
    except (ZoneInfoNotFoundError, ValueError):
        return when


def _day(when: datetime, timezone: str) -> str:
    return f"{_local(when, timezone):%Y-%m-%d}"


def _clock(when: datetime, timezone: str) -> str:
    return f"{_local(when, timezone):%Y-%m-%d %H:%M}"
