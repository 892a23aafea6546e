"""Durations as people write them: `90s`, `15m`, `2h`, `1d`, `1h30m`, or seconds as a number."""

import re
from datetime import timedelta

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds_of(value: str | float | timedelta) -> float:
    """Seconds, from a text such as `1h30m`, a number of seconds or a timedelta.

    Raises ValueError for anything else; the message shows the forms that serve.
    """
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool):
        msg = "a duration is a text such as '15m', not true or false"
        raise ValueError(msg)
    if isinstance(value, int | float):
        if value < 0:
            msg = f"a duration cannot be negative: {value}"
            raise ValueError(msg)
        return float(value)
    text = value.strip().lower()
    parts = PART.findall(text)
    if not parts or "".join(n + u for n, u in parts) != text:
        msg = f"not a duration: {value!r}; write 90s, 15m, 2h, 1d or 1h30m"
        raise ValueError(msg)
    return sum(float(number) * UNITS[unit] for number, unit in parts)


def words_of(seconds: float) -> str:
    """A duration for a reader: `0.8s`, `42s`, `11m 02s`, `3h 05m`, `2d 04h`."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d {whole % 86400 // 3600:02d}h"
