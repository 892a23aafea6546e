"""The clockwork: APScheduler 3, held to what it does well (waiting for the next of several times), and a trigger of our own.

Its cron trigger skips nights around clock changes, its stores lose or double firings, and its default grace of a second drops whatever wakes
late; so here the jobs live in memory, times are UTC, every missed firing is one firing, however late, and a firing does nothing but
say which slot is due.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.base import BaseTrigger

from recon.schedule.trigger import Timetable


class SlotTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler 3 ships no types
    """A timetable as APScheduler asks for it."""

    def __init__(self, table: Timetable) -> None:
        self.table = table

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """The next slot after the previous one, so that none is passed over; at the start, the first from now on."""
        return self.table.after(previous_fire_time or now - timedelta(microseconds=1))


class Firing:
    """Calls `due(domain, instant)` for each slot as it comes, on a thread of its own, until stopped."""

    def __init__(self, tables: Mapping[str, Timetable], due: Callable[[str, datetime], None]) -> None:
        self._tables = tables
        self._due = due
        self._scheduler: Any = BlockingScheduler(
            jobstores={"default": MemoryJobStore()},
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        for domain, table in tables.items():
            self._scheduler.add_job(self._fire, SlotTrigger(table), args=[domain], id=domain)
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="schedule", daemon=True)

    def start(self) -> None:
        """Begin to fire."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether it still goes. APScheduler's own `running` stays true after its thread has died."""
        return self._thread.is_alive()

    def look_again(self) -> None:
        """After the machine slept: waiting is by a clock that stood still meanwhile."""
        if self._scheduler.running:
            self._scheduler.wakeup()

    def stop(self) -> None:
        """Fire no more."""
        self._stopping = True
        if self._thread.is_alive() and self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        self._thread.join(5.0)

    def _work(self) -> None:
        try:
            self._scheduler.start()
        except Exception:
            # Stopped in the middle of a look, it finds its own jobs gone; otherwise it dies, and `alive` tells.
            if not self._stopping:
                raise

    def _fire(self, domain: str) -> None:
        # Several missed firings come as one, so the slot is the latest there is, not the one that was waited for.
        instant = self._tables[domain].latest(datetime.now(UTC))
        if instant is not None:
            self._due(domain, instant)
