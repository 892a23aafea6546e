"""Rates: what a third party allows as it is declared, and the tokens of one rate."""

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

#: A token comes back this much later than the arithmetic says: requests do not travel equally long, and a limit is judged on arrival.
MARGIN = 1.02
#: Rates of up to so many seconds are spread evenly, since many a third party allows no bursts; those of a minute or an hour are not.
SPREAD_SECONDS = 10.0
#: A request that goes late by up to so many seconds is made up for: a sleep always lasts a little too long.
LATE_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """At most `requests` in any `per` seconds: for all requests under one credential, or `each` endpoint (resource) by itself."""

    requests: float
    per: float = 1.0
    each: Literal["account", "endpoint"] = "account"

    def __post_init__(self) -> None:
        if not (0 < self.requests < math.inf and 0 < self.per < math.inf):
            msg = f"rate of {self.requests} requests per {self.per} s: both must be above 0"
            raise ValueError(msg)
        if self.each not in ("account", "endpoint"):
            msg = f"a rate is each account's or each endpoint's, not each {self.each!r}'s"
            raise ValueError(msg)


class Spacing:
    """Even spacing that keeps to its plan: a request that goes a little late does not delay those after it. Not locked."""

    def __init__(self) -> None:
        self._next = -math.inf

    def ready_at(self) -> float:
        """When the next may go."""
        return self._next

    def take(self, now: float, interval: float, *, late: float) -> None:
        """One goes; the next may after `interval` seconds, and sooner by as much as this one is late, up to `late`."""
        self._next = now + interval if self._next == -math.inf else max(self._next, now - late) + interval


class Bucket:
    """The tokens of one rate: `requests` of them, each of which comes back `per` seconds after it was taken, handed out evenly if `per` is short.

    So no stretch of `per` seconds, wherever it begins, sees more requests than declared, whether the third party counts in fixed
    windows, in sliding ones, or lets a bucket leak. Not locked: its limiter does that.
    """

    def __init__(self, rate: Rate) -> None:
        self._tokens = max(1, int(rate.requests))
        self._back = rate.per * self._tokens / rate.requests * MARGIN
        self._spacing = Spacing() if self._back <= SPREAD_SECONDS * MARGIN else None
        self._taken: deque[float] = deque()

    def ready_at(self, now: float) -> float:
        """When there is a token: `now` or before, or later."""
        while self._taken and self._taken[0] + self._back <= now:
            self._taken.popleft()
        token = now if len(self._taken) < self._tokens else self._taken[-self._tokens] + self._back
        return token if self._spacing is None else max(token, self._spacing.ready_at())

    def take(self, now: float) -> None:
        """Takes one."""
        self._taken.append(now)
        if self._spacing is not None:
            self._spacing.take(now, self._back / self._tokens, late=LATE_SECONDS)
