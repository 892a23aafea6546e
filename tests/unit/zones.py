"""The law of every zone, read from the time zone database's own files (TZif, RFC 8536) without a line of `zoneinfo`, and the slots it makes.

This is the oracle of the schedule's tests: it shares no code with `Timetable`, which goes by `zoneinfo` and `cronsim`. It knows a zone as
stretches of constant offset and works out a wall time's instant from them by whole seconds.
"""

import re
import struct
from bisect import bisect_right
from calendar import timegm
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from pathlib import Path
from zoneinfo import TZPATH

YEARS = (2024, 2027)
"""What the footer's rule is written out for; the tests look at 2025 and 2026, and a day on either side."""

Change = tuple[int, int, int]
"""A change of the clock: the second (UTC) at which it comes, the offset before it and the one after, in seconds."""


@dataclass(frozen=True)
class Law:
    """A zone over the years looked at: the offset at their start, and every change, in order. Two zones with equal laws are one."""

    first: int
    changes: tuple[Change, ...]

    def offsets(self) -> set[int]:
        """Every offset that holds at some time."""
        return {self.first, *(after for _, _, after in self.changes)}

    def instant(self, wall: int) -> int:
        """The second (UTC) of a wall time, itself given as if it were UTC.

        The first time where it comes twice; as much later as the clock jumped where it does not come at all.
        """
        starts = [-(2**40), *(at for at, _, _ in self.changes)]
        ends = [*starts[1:], 2**40]
        offsets = [self.first, *(after for _, _, after in self.changes)]
        found = [wall - offset for start, end, offset in zip(starts, ends, offsets, strict=True) if start <= wall - offset < end]
        if found:
            return min(found)
        (before,) = {before for at, before, after in self.changes if at + before <= wall < at + after}
        return wall - before

    def slots(self, first: date, last: date, minutes: int) -> list[datetime]:
        """The instants of a wall time (minutes after midnight) on each of these dates, in order, each once."""
        days = (last - first).days + 1
        walls = [timegm((first + timedelta(days=n)).timetuple()) + 60 * minutes for n in range(days)]
        return [datetime.fromtimestamp(second, UTC) for second in sorted({self.instant(wall) for wall in walls})]


def law_of(zone: str, start: datetime, end: datetime) -> Law:
    """The law of a zone between two instants."""
    first, changes = _read(_file(zone))
    begin, until = int(start.timestamp()), int(end.timestamp())
    inside = []
    offset = first
    for at, after in changes:
        if at >= until:
            break
        if after != offset and at >= begin:
            inside.append((at, offset, after))
        offset = after
    return Law(inside[0][1] if inside else offset, tuple(inside))


def _file(zone: str) -> bytes:
    """The zone's file: the machine's own, else that of the tzdata package, in the order in which `zoneinfo` looks."""
    for folder in TZPATH:
        path = Path(folder, zone)
        if path.is_file():
            return path.read_bytes()
    return resources.files("tzdata").joinpath("zoneinfo", *zone.split("/")).read_bytes()


def _read(data: bytes) -> tuple[int, list[tuple[int, int]]]:
    """The offset before the first change, and (second, offset from then on) for each: those of the table, then those of the footer's rule."""
    head = struct.Struct(">4sc15x6l")
    magic, version, *counts = head.unpack_from(data)
    assert magic == b"TZif", "no TZif file"
    assert version >= b"2", "an old file, without 64-bit times"
    utc, std, leap, times, types, letters = counts
    at = head.size + times * 5 + types * 6 + letters + leap * 8 + std + utc
    _, _, utc, std, leap, times, types, letters = head.unpack_from(data, at)
    at += head.size
    moments = struct.unpack_from(f">{times}q", data, at)
    indices = data[at + 8 * times : at + 9 * times]
    kinds = [struct.unpack_from(">lBB", data, at + 9 * times + 6 * n)[0] for n in range(types)]
    end = at + 9 * times + 6 * types + letters + leap * 12 + std + utc
    footer = data[end:].decode().strip("\n")
    changes = [(moment, kinds[index]) for moment, index in zip(moments, indices, strict=True)]
    last = changes[-1][0] if changes else -(2**40)
    ruled = [change for change in _rule(footer) if change[0] > last]
    return kinds[0], [*changes, *ruled]


NAME = r"(?:<[^>]+>|[A-Za-z]+)"
OFFSET = r"[+-]?\d+(?::\d+){0,2}"
FOOTER = re.compile(rf"{NAME}({OFFSET})(?:{NAME}({OFFSET})?,([^,]+),([^,]+))?")


def _rule(footer: str) -> list[tuple[int, int]]:
    """The changes that a footer such as `CET-1CEST,M3.5.0,M10.5.0/3` means for the years looked at; the sign of its offsets is reversed."""
    found = FOOTER.fullmatch(footer)
    assert found, footer
    standard = -_seconds(found[1])
    if found[3] is None:
        return []
    summer = -_seconds(found[2]) if found[2] else standard + 3600
    changes = []
    for year in range(*YEARS):
        changes.append((_moment(found[3], year) - standard, summer))
        changes.append((_moment(found[4], year) - summer, standard))
    return sorted(changes)


def _moment(rule: str, year: int) -> int:
    """The wall time of a rule (`M3.5.0/2`, `J60`, `59`) in a year, in seconds as if it were UTC."""
    day, _, clock = rule.partition("/")
    if day.startswith("M"):
        month, week, weekday = (int(part) for part in day[1:].split("."))
        first = date(year, month, 1)
        found = first + timedelta(days=(weekday - first.isoweekday()) % 7 + 7 * (week - 1))
        while found.month != month:
            found -= timedelta(days=7)
    elif day.startswith("J"):
        leap = (date(year, 3, 1) - date(year, 2, 28)).days == 2
        number = int(day[1:])
        found = date(year, 1, 1) + timedelta(days=number - 1 + (leap and number >= 60))
    else:
        found = date(year, 1, 1) + timedelta(days=int(day))
    return timegm(found.timetuple()) + (_seconds(clock) if clock else 7200)


def _seconds(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    parts = [int(part) for part in text.lstrip("+-").split(":")]
    return sign * sum(part * size for part, size in zip(parts, (3600, 60, 1), strict=False))


def stretch(first: date, last: date, around: list[date]) -> list[tuple[date, date]]:
    """Windows of two days on either side of each date, joined where they meet, within the first and the last date."""
    windows: list[tuple[date, date]] = []
    for day in sorted(around):
        low, high = max(first, day - timedelta(days=2)), min(last, day + timedelta(days=2))
        if windows and low <= windows[-1][1]:
            windows[-1] = (windows[-1][0], high)
        elif low <= high:
            windows.append((low, high))
    return windows


def offset_at(law: Law, second: int) -> int:
    """The offset that holds at a second."""
    index = bisect_right([at for at, _, _ in law.changes], second)
    return law.changes[index - 1][2] if index else law.first
