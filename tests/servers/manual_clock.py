"""A clock that stands until someone sleeps: waits cost nothing and are written down."""

import threading
from datetime import UTC, datetime, timedelta


class ManualClock:
    """Implements `recon.clock.Clock`; `slept` lists every wait in seconds."""

    def __init__(self, start: datetime = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)) -> None:
        self._start = start
        self._lock = threading.Lock()
        self.elapsed = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return self.elapsed

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.elapsed += max(0.0, seconds)
