"""Dates in the names of files: `settled-{date:%Y%m%d}.csv` on each of the last days."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

PLACE = re.compile(r"\{date(?::([^{}]*))?\}")
MOST_DAYS = 3_660


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Which days' files are meant: `count` of them, the newest `ago` days before the run's own date."""

    count: int = 1
    ago: int = 0

    def before(self, today: date) -> list[date]:
        """The days, oldest first."""
        newest = today - timedelta(days=self.ago)
        return [newest - timedelta(days=back) for back in range(self.count - 1, -1, -1)]


def dated(names: Sequence[str]) -> bool:
    """Whether one of the names has a date in it."""
    return any(PLACE.search(name) for name in names)


def on_days(names: Sequence[str], days: Sequence[date]) -> list[str]:
    """The names as they are on each day, oldest first; one without a date in it stands once, where it first stood."""
    return list(dict.fromkeys(_on(name, day) for day in days for name in names))


def _on(name: str, day: date) -> str:
    return PLACE.sub(lambda found: f"{day:{found.group(1) or '%Y-%m-%d'}}", name)
