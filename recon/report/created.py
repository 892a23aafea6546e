"""When the missing items were created: an outage of a webhook endpoint shows itself as one short, dense window.

The rule, in full. Creation times are counted by the minute (coarser only where they span years). The *core* is the shortest
stretch that holds at least 80% of them. There is a sentence only when there are at least ten of them and the core is at most six
hours long, or at most a tenth of the whole span where that is longer. The window is the core, widened at both ends while what
it takes in is at least half as dense as the core, trimmed where it is not, then rounded outwards to a step of its length. The share
that is told is counted anew over the final window, and rounded down.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from recon.clock import iso
from recon.report.figures import CreatedBucket, CreatedWindow

LEAST = 10
SHARE = 0.8
SHORT_SECONDS = 6 * 3600
SPAN_PART = 10
MOST_BUCKETS = 60
MOST_UNITS = 100_000
UNITS = (60, 600, 3600, 86400, 7 * 86400, 364 * 86400)
WIDTHS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 2 * 86400, 7 * 86400, 28 * 86400, 91 * 86400, 364 * 86400)


class CreatedCounts:
    """Counts creation times as they stream past, by the minute; memory stays bounded, since the unit grows with the span."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self._unit = 0

    @property
    def unit(self) -> int:
        """The seconds that one count stands for."""
        return UNITS[self._unit]

    def add(self, moment: datetime, times: int = 1) -> None:
        """Counts an aware time, so many times."""
        at = int(moment.timestamp() // self.unit)
        self.counts[at] = self.counts.get(at, 0) + times
        if len(self.counts) > MOST_UNITS and self._unit < len(UNITS) - 1:
            self._coarsen()

    def _coarsen(self) -> None:
        old = self.unit
        self._unit += 1
        coarse: dict[int, int] = {}
        for at, count in self.counts.items():
            wider = at * old // self.unit
            coarse[wider] = coarse.get(wider, 0) + count
        self.counts = coarse

    def window(self, timezone: str = "UTC") -> CreatedWindow | None:
        """The histogram and its sentence, told in `timezone`; None where nothing was counted."""
        if not self.counts:
            return None
        times = sorted(self.counts)
        starts = [at * self.unit for at in times]
        sums = [0, *accumulate(self.counts[at] for at in times)]
        dense = _densest(starts, sums, self.unit)
        if dense is None:
            return CreatedWindow(buckets=_buckets(starts, sums, starts[0], starts[-1] + self.unit, self.unit))
        start, end = dense
        room = max(end - start, self.unit)
        low, high = max(starts[0], start - 2 * room), min(starts[-1] + self.unit, end + 2 * room)
        buckets = _buckets(starts, sums, low, high, self.unit)
        first, last = _seconds(buckets[0].start), _seconds(buckets[-1].start) + buckets[-1].seconds
        inside = _between(starts, sums, start, end)
        return CreatedWindow(
            buckets=buckets,
            sentence=_sentence(inside, sums[-1], _moment(start), _moment(end), timezone),
            earlier=sums[bisect_left(starts, first)],
            later=sums[-1] - sums[bisect_left(starts, last)],
            start=_moment(start),
            end=_moment(end),
        )


def created_window(moments: Iterable[datetime], timezone: str = "UTC") -> CreatedWindow | None:
    """The histogram of these aware times and its sentence, told in `timezone`; None where there are none."""
    counts = CreatedCounts()
    for moment in moments:
        counts.add(moment)
    return counts.window(timezone)


def _densest(starts: Sequence[int], sums: Sequence[int], unit: int) -> tuple[int, int] | None:
    """The window of the rule above as (start, end) in epoch seconds, or None where there is none."""
    total = sums[-1]
    if total < LEAST:
        return None
    need = -(-int(total * SHARE * 1000) // 1000)
    best: tuple[int, int] | None = None
    low = 0
    for high in range(len(starts)):
        while sums[high + 1] - sums[low + 1] >= need:
            low += 1
        if sums[high + 1] - sums[low] >= need:
            width = starts[high] + unit - starts[low]
            if best is None or width < best[1] - best[0]:
                best = (starts[low], starts[high] + unit)
    assert best is not None
    span = starts[-1] + unit - starts[0]
    if best[1] - best[0] > max(SHORT_SECONDS, span / SPAN_PART):
        return None
    return _rounded(*_widened(starts, sums, best, unit), unit)


def _widened(starts: Sequence[int], sums: Sequence[int], core: tuple[int, int], unit: int) -> tuple[int, int]:
    start, end = core
    step = max(unit, (end - start) // 10 // unit * unit)
    dense = _between(starts, sums, start, end) / (end - start) / 2 * step
    while starts[0] < start and _between(starts, sums, start - step, start) >= dense:
        start -= step
    while end < starts[-1] + unit and _between(starts, sums, end, end + step) >= dense:
        end += step
    # A step may reach past the edge of what is dense: back to it, unit by unit, but never into the core.
    least = dense / step * unit
    while start < core[0] and _between(starts, sums, start, start + unit) < least:
        start += unit
    while end > core[1] and _between(starts, sums, end - unit, end) < least:
        end -= unit
    return start, end


def _rounded(start: int, end: int, unit: int) -> tuple[int, int]:
    length = end - start
    step = next((width for limit, width in ((900, 60), (7200, 300), (86400, 900), (7 * 86400, 3600)) if length <= limit), 86400)
    step = max(step, unit)
    return start // step * step, -(-end // step) * step


def _between(starts: Sequence[int], sums: Sequence[int], start: float, end: float) -> int:
    return sums[bisect_left(starts, end)] - sums[bisect_left(starts, start)]


def _buckets(starts: Sequence[int], sums: Sequence[int], low: int, high: int, unit: int) -> tuple[CreatedBucket, ...]:
    width = next((w for w in WIDTHS if w >= unit and (high - low) / w <= MOST_BUCKETS - 2), WIDTHS[-1])
    first = low // width * width
    count = -(-(high - first) // width)
    edges = [first + n * width for n in range(count + 1)]
    return tuple(
        CreatedBucket(start=_moment(edge), seconds=float(width), count=_between(starts, sums, edge, edge + width)) for edge in edges[:-1]
    )


def _moment(seconds: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def _seconds(moment: datetime) -> float:
    return moment.timestamp()


def _sentence(inside: int, total: int, start: datetime, end: datetime, timezone: str) -> str:
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError):
        zone, timezone = ZoneInfo("UTC"), "UTC"
    first, last = start.astimezone(zone), end.astimezone(zone)
    share = f"{inside * 100 // total}% of the missing were created"
    if first.utcoffset() != last.utcoffset():
        # Around a clock change local times come twice or not at all.
        return f"{share} between {iso(start)} and {iso(end)}"
    if first.date() == last.date():
        return f"{share} between {first:%H:%M} and {last:%H:%M} ({timezone}), {_day(first)}"
    return f"{share} between {_day(first)}, {first:%H:%M}, and {_day(last)}, {last:%H:%M} ({timezone})"


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"
