"""Rates: what a third party allows as it is declared, and the tokens of one rate."""

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

#: A token comes back this much later than the arithmetic says: requests do not travel equally long, and a limit is judged on arrival.
MARGIN = 1.02


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


class Bucket:
    """The tokens of one rate: `requests` of them, each of which comes back `per` seconds after it was taken.

    So no stretch of `per` seconds, wherever it begins, sees more requests than declared, whether the third party counts in fixed
    windows, in sliding ones, or lets a bucket leak. Not locked: its limiter does that.
    """

    def __init__(self, rate: Rate) -> None:
        self._tokens = max(1, int(rate.requests))
        self._back = rate.per * self._tokens / rate.requests * MARGIN
        self._taken: deque[float] = deque()

    def ready_at(self, now: float) -> float:
        """When there is a token: `now` or before, or later."""
        while self._taken and self._taken[0] + self._back <= now:
            self._taken.popleft()
        return now if len(self._taken) < self._tokens else self._taken[-self._tokens] + self._back

    def take(self, now: float) -> None:
        """Takes one."""
        self._taken.append(now)
