"""Limiter: when a request may go, for everything in this process that asks the same third party under the same credential."""

import math
import threading
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from recon.clock import Clock
from recon.duration import words_of
from recon.errors import Throttled
from recon.fetch.pace import Pace
from recon.fetch.quota import Points, Quota, Window
from recon.fetch.rate import Bucket, Rate

__all__ = ["Limiter", "Rate", "Turn", "limiters"]

#: Clocks do not add up to the last bit.
EPSILON = 1e-9
WAY_OUT = "lower rate, or raise max_wait, in the provider's table of recon.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A request's leave to go: when it got it, on the clock's monotonic scale, and the seconds that it waited for it."""

    at: float
    waited: float = 0.0


class Limiter:
    """Lets requests through at the declared rates, at the pace that the third party has shown to take, within what it says is left.

    `width` is how many may be under way at once: halved at a throttle, one more after each round that went through. A pause holds
    everyone back. Safe to share between threads; no lock is held while someone sleeps.
    """

    def __init__(self, rates: Sequence[Rate] = (), *, width: int = 1) -> None:
        self._rates = tuple(dict.fromkeys(rates))
        self._buckets: dict[tuple[Rate, str], Bucket] = {}
        self._pace = Pace(self._rates)
        self._quota = Quota()
        self._paused_until = -math.inf
        self._widest = width
        self._width = float(width)
        self._under_way = 0
        self._changed = threading.Condition()

    def take(self, clock: Clock, *, subject: str = "request", endpoint: str = "", longest: float = math.inf) -> Turn:
        """Waits for this request's turn; Throttled where the third party asked for a pause that lasts longer than `longest` seconds."""
        waited = 0.0
        while True:
            with self._changed:
                while self._under_way >= max(1, int(self._width)):
                    self._changed.wait()
                now = clock.monotonic()
                if self._paused_until - now > longest:
                    pause = words_of(self._paused_until - now)
                    msg = f"{subject}: not sent, the third party asks for a pause of {pause}, max_wait is {words_of(longest)}"
                    raise Throttled(msg, hint=WAY_OUT)
                at = self._ready_at(now, endpoint)
                if at <= now + EPSILON:
                    return self._go(now, endpoint, waited)
            clock.sleep(at - now)
            slept = clock.monotonic() - now
            waited += slept
            if slept < (at - now) / 2:
                # The sleep was cut short: the process is asked to stop, and must not spin here.
                with self._changed:
                    return self._go(clock.monotonic(), endpoint, waited)

    def passed(self, turn: Turn, clock: Clock, told: Sequence[Window | Points] = ()) -> None:
        """The request got an answer that is no throttle; `told` is what the answer says of the limits."""
        with self._changed:
            self._pace.passed(turn.at)
            self._width = min(float(self._widest), self._width + 1 / max(1.0, self._width))
            self._back(told, clock)

    def throttled(self, turn: Turn, clock: Clock, told: Sequence[Window | Points] = ()) -> None:
        """The request was told to slow down."""
        with self._changed:
            if self._pace.throttled(turn.at, clock.monotonic()):
                self._width = max(1.0, self._width / 2)
            self._back(told, clock)

    def lost(self, clock: Clock) -> None:
        """The request got no answer, or one that says nothing of rates: nothing is learned."""
        with self._changed:
            self._back((), clock)

    def pause(self, seconds: float, clock: Clock) -> None:
        """Lets nothing through for this long, as a Retry-After asks: it speaks to the credential, not to one request."""
        with self._changed:
            self._paused_until = max(self._paused_until, clock.monotonic() + seconds)

    def widen(self, to: int, rates: Sequence[Rate] = ()) -> None:
        """How many may be under way from now on, for all who share it together; rates that are new hold beside the others."""
        with self._changed:
            more = max(0, to - self._widest)
            self._widest = max(1, to)
            self._width = max(1.0, min(float(self._widest), self._width + more))
            self._hold(rates)
            self._changed.notify_all()

    def hold(self, rates: Sequence[Rate]) -> None:
        """Holds these rates too."""
        with self._changed:
            self._hold(rates)
            self._changed.notify_all()

    def expect(self, points: Points) -> None:
        """A bucket of points that is known of before any answer tells how it stands."""
        with self._changed:
            self._quota.expect(points)

    def _hold(self, rates: Sequence[Rate]) -> None:
        if new := [rate for rate in rates if rate not in self._rates]:
            self._rates = (*self._rates, *new)
            self._pace.declare(self._rates)

    @property
    def pace(self) -> float | None:
        """Requests a second that it keeps to since a throttle; None while there was none."""
        return self._pace.rate

    def _ready_at(self, now: float, endpoint: str) -> float:
        declared = (bucket.ready_at(now) for bucket in self._buckets_of(endpoint))
        return max(now, self._paused_until, self._pace.ready_at(now), self._quota.ready_at(now), *declared)

    def _go(self, now: float, endpoint: str, waited: float) -> Turn:
        for bucket in self._buckets_of(endpoint):
            bucket.take(now)
        self._pace.take(now)
        self._quota.take(now)
        self._under_way += 1
        return Turn(at=now, waited=waited)

    def _back(self, told: Sequence[Window | Points], clock: Clock) -> None:
        self._under_way -= 1
        for one in told:
            self._quota.note(one, clock.monotonic(), under_way=self._under_way)
        self._changed.notify_all()

    def _buckets_of(self, endpoint: str) -> list[Bucket]:
        found = []
        for rate in self._rates:
            place = (rate, endpoint if rate.each == "endpoint" else "")
            if place not in self._buckets:
                self._buckets[place] = Bucket(rate)
            found.append(self._buckets[place])
        return found


class _Limiters:
    """The limiters of this process, one per account: whoever asks the same origin under the same credential shares one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: The limiter of each account, and the widths of those who share it.
        self._shared: dict[Hashable, tuple[Limiter, list[int]]] = {}
        self._leaving: deque[tuple[Hashable, int]] = deque()

    def join(self, account: Hashable, rates: Sequence[Rate], width: int) -> Limiter:
        """The account's limiter, which now holds these rates too. As many are let through at once as the widest of those who share it
        declares: what the third party takes does not grow with the number of those who ask.
        """
        with self._lock:
            limiter, widths = self._shared.get(account, (None, []))
            widths.append(width)
            if limiter is None:
                limiter = Limiter(rates, width=width)
            else:
                limiter.widen(max(widths), rates)
            self._shared[account] = (limiter, widths)
        self._let_go()
        return limiter

    def leave(self, account: Hashable, width: int) -> None:
        """One who joined is done; with the last one the limiter is forgotten.

        The garbage collector may call this at any instant, so in a thread that holds the lock just now: nothing here may wait for it.
        """
        self._leaving.append((account, width))
        self._let_go()

    def _let_go(self) -> None:
        """Settles those who are done, unless somebody is at it, who then settles these too."""
        while self._leaving and self._lock.acquire(blocking=False):
            try:
                while self._leaving:
                    self._left(*self._leaving.popleft())
            finally:
                self._lock.release()

    def _left(self, account: Hashable, width: int) -> None:
        limiter, widths = self._shared[account]
        widths.remove(width)
        if widths:
            limiter.widen(max(widths))
        else:
            del self._shared[account]


limiters = _Limiters()
