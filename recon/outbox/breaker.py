"""A circuit breaker: after several failures in a row a destination is left alone for a while, longer each time.

Pure: it reads no clock, it is told the time in seconds of any clock that never goes back.
"""


class Breaker:
    """Closed until `threshold` failures in a row; then open for `base` seconds, doubled at each further failure up to `cap`.

    When that time is over, one attempt is let through; its success closes the breaker. `failures` are those of another process, which
    found it so: it begins with one attempt.
    """

    def __init__(self, *, threshold: int = 3, base: float = 1.0, cap: float = 60.0, failures: int = 0) -> None:
        self.threshold = threshold
        self.base = base
        self.cap = cap
        self.failures = failures
        self._until = 0.0

    @property
    def probing(self) -> bool:
        """Whether the next attempt is a probe: as little as possible should be sent."""
        return self.failures >= self.threshold

    def wait(self, now: float) -> float:
        """Seconds until the next attempt may be made; 0 when it may be made now."""
        return max(0.0, self._until - now)

    def success(self) -> None:
        """The destination answered."""
        self.failures = 0
        self._until = 0.0

    def failure(self, now: float, *, after: float | None = None) -> None:
        """It did not; `after` is how long it asked to be left alone, which is honoured from the first failure on."""
        self.failures += 1
        pause = after or 0.0
        if self.probing:
            pause = max(pause, min(self.cap, self.base * 2.0 ** min(self.failures - self.threshold, 30)))
        self._until = max(self._until, now + pause)
