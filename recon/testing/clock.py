"""A clock that only a test moves."""

import threading
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 3, 3, 0, tzinfo=UTC)


class FixedClock:
    """Stands still at `at` (aware; a night in January by default) until `sleep` or `advance` moves it; `slept` keeps each sleep, in seconds."""

    def __init__(self, at: datetime = START) -> None:
        if at.tzinfo is None:
            msg = f"FixedClock({at!r}): an aware time is needed, such as datetime(2026, 1, 3, tzinfo=UTC)"
            raise ValueError(msg)
        self._start = at.astimezone(UTC)
        self._gone = 0.0
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._gone)

    def monotonic(self) -> float:
        return self._gone

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self._gone += max(0.0, seconds)

    def advance(self, seconds: float) -> None:
        """Time goes by without anybody sleeping."""
        with self._lock:
            self._gone += seconds
