"""The demo's clock: real time for whatever takes time, placed on the story's dates; waiting is skipped."""

import threading
import time
from datetime import datetime, timedelta


class StoryClock:
    """Starts at `at` and runs with the machine. `sleep` puts it forward at once, so a settle time of two minutes costs none."""

    def __init__(self, at: datetime) -> None:
        self._lock = threading.Lock()
        self._skipped = 0.0
        self._started = time.monotonic()
        self._at = at

    def now(self) -> datetime:
        return self._at + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return time.monotonic() - self._started + self._skipped

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._skipped += max(0.0, seconds)

    def move(self, at: datetime) -> None:
        """On to another moment of the story; never back."""
        self.sleep((at - self.now()).total_seconds())
