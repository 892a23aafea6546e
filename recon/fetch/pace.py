"""Pace: what a third party has been seen to take, once it throttled. Halved when it throttles again, raised a little while it does not."""

import math
from collections import deque
from collections.abc import Sequence

from recon.fetch.rate import MARGIN, Rate, Spacing

#: The shortest and longest stretch over which requests are counted, in seconds.
SHORTEST, LONGEST = 1.0, 60.0
#: A pace never falls below one request a minute.
SLOWEST = 1 / 60
#: A rise is a sixteenth of what was thought to be allowed, after this many requests went through. Near the pace that was throttled last,
#: from `NEAR` of it on, this doubles each time it proves too high.
STEPS, FIRST_RISE, LAST_RISE, NEAR = 16, 32, 4096, 0.9
#: What went through in the last stretch is what is allowed, less this much.
BELOW = 0.96
#: As in `rate`, within the margin: here no count of tokens stands behind the spacing.
LATE_SECONDS = 0.02


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
        self._spacing = Spacing()
        self._cut_at = -math.inf
        self._top = 0.0
        self._refused = 0.0
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
        return now if self.rate is None else self._spacing.ready_at()

    def take(self, now: float) -> None:
        """One goes."""
        self._first = now if self._first is None else self._first
        if self.rate is not None:
            interval = MARGIN / self.rate
            self._spacing.take(now, interval, late=min(LATE_SECONDS, interval / 2))

    def passed(self, sent: float) -> None:
        """The request that was sent at this moment went through."""
        self._through.append(sent)
        while self._through[0] <= sent - self._stretch:
            self._through.popleft()
        if self.rate is None:
            return
        self._since += 1
        higher = min(self._top, self.rate + self._top / STEPS)
        if self._since >= (self._rise_after if higher > NEAR * self._refused else FIRST_RISE):
            self.rate, self._since = higher, 0

    def throttled(self, sent: float, now: float) -> bool:
        """The request that was sent at this moment was throttled; whether the pace was cut for it."""
        if sent <= self._cut_at:
            return False
        self._cut_at = now
        through = sum(one > sent - self._stretch for one in self._through)
        if self.rate is None:
            spent = min(self._stretch, sent - (sent if self._first is None else self._first))
            self._top = self._declared or (through + 1) / max(spent, SHORTEST / 10)
        pace = self._top if self.rate is None else self.rate
        if pace > NEAR * self._refused and self._refused:
            self._rise_after = min(LAST_RISE, self._rise_after * 2)
        self._refused = pace
        self.rate = max(SLOWEST, pace / 2, BELOW * min(pace, through / self._stretch))
        self._since = 0
        return True
