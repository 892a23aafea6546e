"""Time, injected: everything that reads a clock or waits takes a `Clock`, so that a test can own it."""

import time
from datetime import UTC, datetime
from threading import Event
from typing import Protocol


class Clock(Protocol):
    """What the engine needs of time."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; returns early when the process is asked to stop."""
        ...


class SystemClock:
    """The machine's own clock. `stop` wakes every sleeper, for a graceful end."""

    def __init__(self) -> None:
        self.stop = Event()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        self.stop.wait(max(0.0, seconds))


def iso(moment: datetime) -> str:
    """UTC with `Z`, to the second unless there are microseconds: the one way times are written."""
    text = moment.astimezone(UTC).isoformat(timespec="auto")
    return text.replace("+00:00", "Z")


def parse_iso(text: str) -> datetime:
    """The reverse of `iso`; raises ValueError on a time without an offset, or one that is of no year in UTC."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        msg = f"time without an offset: {text!r}"
        raise ValueError(msg)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        msg = f"time outside the calendar: {text!r}"
        raise ValueError(msg) from None
