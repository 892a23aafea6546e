"""Pace: what a third party has been seen to take, once it throttled. Halved when it throttles again, raised a little while it does not."""

import math
from collections import deque
from collections.abc import Sequence

from recon.fetch.rate import MARGIN, Rate

#: The shortest and longest stretch over which requests are counted, in seconds.
SHORTEST, LONGEST = 1.0, 60.0
#: A pace never falls below one request a minute.
SLOWEST = 1 / 60
#: A rise is a sixteenth of what was thought to be allowed, after this many requests went through; doubled each time it proves too high.
STEPS, FIRST_RISE, LAST_RISE = 16, 64, 4096
#: What went through in the last stretch is what is allowed, less this much.
BELOW = 0.96


class Pace:
    """The spacing of requests under one credential; without any until the first throttle. Not locked: its limiter does that.

    After a throttle the pace is half of what it was, but no less than what did go through in the stretch before (so that a limit of
    half the declared one is found at once), and rises again step by step. Requests that were under way at a throttle and are
    throttled with it do not halve it again.
    """

    def __init__(self, rates: Sequence[Rate] = ()) -> None:
        self.declare(rates)
        self._through: deque[float] = deque()
        self._first: float | None = None
        self._last = -math.inf
        self._cut_at = -math.inf
        self._top = 0.0
        self._rise_after = FIRST_RISE
        self._since = 0
        #: Requests a second, spread evenly; None: as fast as the declared rates let through.
        self.rate: float | None = None

    def declare(self, rates: Sequence[Rate]) -> None:
        """Starts out from the shortest of the declared rates; one of an hour or a day says nothing about how requests may follow each other."""
        short = min((rate for rate in rates if rate.per <= LONGEST), key=lambda rate: rate.per, default=None)
        self._declared = short.requests / short.per if short else None
        self._stretch = max(SHORTEST, short.per) if short else SHORTEST

    def ready_at(self, now: float) -> float:
        """When the next request may go."""
        return now if self.rate is None else self._last + MARGIN / self.rate

    def take(self, now: float) -> None:
        """One goes."""
        self._first = now if self._first is None else self._first
        self._last = now

    def passed(self, sent: float) -> None:
        """The request that was sent at this moment went through."""
        self._through.append(sent)
        while self._through[0] <= sent - self._stretch:
            self._through.popleft()
        if self.rate is None:
            return
        self._since += 1
        if self._since >= self._rise_after:
            self.rate = min(self._top, self.rate + self._top / STEPS)
            self._since = 0

    def throttled(self, sent: float, now: float) -> bool:
        """The request that was sent at this moment was throttled; whether the pace was cut for it."""
        if sent <= self._cut_at:
            return False
        self._cut_at = now
        through = sum(one > sent - self._stretch for one in self._through)
        if self.rate is None:
            spent = min(self._stretch, sent - (sent if self._first is None else self._first))
            self._top = self._declared or (through + 1) / max(spent, SHORTEST / 10)
        elif self._since < self._rise_after:
            self._rise_after = min(LAST_RISE, self._rise_after * 2)
        pace = self._top if self.rate is None else self.rate
        self.rate = max(SLOWEST, pace / 2, BELOW * min(pace, through / self._stretch))
        self._since = 0
        return True
