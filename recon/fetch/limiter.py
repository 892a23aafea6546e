"""A declared rate, kept: a token bucket that all threads of one provider share, and that a Retry-After stops whole."""

import threading
from dataclasses import dataclass

from recon.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """At most `requests` in any `per` seconds on average, with bursts of no more than a second's worth (at least one)."""

    requests: float
    per: float = 1.0

    def __post_init__(self) -> None:
        if self.requests <= 0 or self.per <= 0:
            msg = f"rate of {self.requests} requests per {self.per} s: both must be above 0"
            raise ValueError(msg)


class Limiter:
    """Lets requests through at the rate. Without a rate only `pause` holds anyone back.

    Tokens are booked ahead: a thread takes its place in line under the lock and waits outside it, so that
    waiting is fair and the lock is never held while sleeping.
    """

    def __init__(self, rate: Rate | None) -> None:
        self._interval = 0.0 if rate is None else rate.per / rate.requests
        self._burst = 0.0 if rate is None else max(0.0, min(1.0, rate.per) - self._interval)
        self._free_at = float("-inf")
        self._paused_until = float("-inf")
        self._lock = threading.Lock()

    def wait(self, clock: Clock) -> float:
        """Waits for this request's turn; answers the seconds waited."""
        waited = 0.0
        with self._lock:
            now = clock.monotonic()
            turn = max(self._free_at, now - self._burst)
            self._free_at = turn + self._interval
            at = max(turn, self._paused_until)
        # A pause may begin or grow while this thread waits, so the time is looked at again after each sleep.
        while at > now:
            asked = at - now
            clock.sleep(asked)
            before, now = now, clock.monotonic()
            waited += now - before
            if now - before < asked / 2:
                # The sleep was cut short: the process is asked to stop, and must not spin here.
                break
            with self._lock:
                at = max(turn, self._paused_until)
        return waited

    def pause(self, seconds: float, clock: Clock) -> None:
        """Lets nothing through for this long, as a Retry-After asks: it speaks to the credential, not to one request."""
        with self._lock:
            self._paused_until = max(self._paused_until, clock.monotonic() + seconds)
