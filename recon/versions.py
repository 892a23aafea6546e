"""The versions of an event's data: what an older one was, how it is raised to the newest, and how the newest is still told in it.

A step leads from one version to its neighbour. Steps are pure: the same data always gives the same data, nothing else is read, and
what they are given is not changed.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

Data = Mapping[str, Any]
Step = Callable[[dict[str, Any]], Data]

DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class UnknownVersion(ValueError):
    """Data of a version that nobody here knows a way to or from; the message says which ones are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """An older version of an event's data.

    `up` makes data of the next version out of data of this one; it runs on replay and on consumption. `down` is the way back: where
    it is given, every event is sent in this version too, beside the newest, marked as deprecated, until the day `sunset` is over
    (an ISO date, UTC). Both get the event's `data` (`op`, `key`, `state`, `before`, `changed`, …) as a copy of their own.
    """

    number: int
    up: Step
    down: Step | None = None
    sunset: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.number, bool) or self.number < 1:
            msg = f"version {self.number!r}: versions count from 1"
            raise ValueError(msg)
        if (self.down is None) is not (self.sunset is None):
            msg = f"version {self.number}: what is still sent (down=) has a day on which that ends (sunset=), and the other way round"
            raise ValueError(msg)
        if self.sunset is not None:
            try:
                date.fromisoformat(self.sunset if DAY.fullmatch(self.sunset) else "")
            except ValueError:
                msg = f"version {self.number}: sunset={self.sunset!r} is no day, such as 2027-03-31"
                raise ValueError(msg) from None

    def over(self, today: date) -> bool:
        """Whether its last day is past; False for one that is not sent at all."""
        return self.sunset is not None and today > date.fromisoformat(self.sunset)


class Versions:
    """A chain of versions: `current`, and the older ones that lead to it without a gap. Raises ValueError for any other chain."""

    def __init__(self, current: int, older: Sequence[Version] = ()) -> None:
        numbers = [one.number for one in older]
        if numbers != list(range(current - len(numbers), current)):
            msg = f"versions {', '.join(map(str, numbers))} do not lead to version {current} one after another, oldest first"
            raise ValueError(msg)
        self.current = current
        self.older = {one.number: one for one in older}
        idle = [one.number for one in older if one.down is not None and one not in self.sent]
        if idle:
            msg = f"version {idle[-1]} has down=, and nothing leads down to it: version {idle[-1] + 1} has none"
            raise ValueError(msg)

    @property
    def known(self) -> range:
        """Every version that can be read."""
        return range(self.current - len(self.older), self.current + 1)

    @property
    def sent(self) -> tuple[Version, ...]:
        """The older versions that are sent beside the newest, newest first: a chain of `down` ends where one is missing."""
        found: list[Version] = []
        for number in sorted(self.older, reverse=True):
            if self.older[number].down is None:
                break
            found.append(self.older[number])
        return tuple(found)

    def sent_on(self, today: date) -> tuple[Version, ...]:
        """Those of them whose last day is not over, newest first."""
        return tuple(one for one in self.sent if not one.over(today))

    def raised(self, data: Data, number: int) -> Data:
        """Data of version `number` as data of the newest. Raises UnknownVersion."""
        if number not in self.known:
            msg = f"version {number} is not known here; known are {', '.join(map(str, self.known))}"
            raise UnknownVersion(msg)
        for one in range(number, self.current):
            data = self.older[one].up(dict(data))
        return data

    def lowered(self, data: Data, number: int) -> Data:
        """Data of the newest version as data of version `number`. Raises UnknownVersion where no way leads there."""
        for one in range(self.current - 1, number - 1, -1):
            step = self.older[one].down if one in self.older else None
            if step is None:
                msg = f"version {self.current} cannot be told in version {number}: nothing leads from {one + 1} to {one}"
                raise UnknownVersion(msg)
            data = step(dict(data))
        return data
