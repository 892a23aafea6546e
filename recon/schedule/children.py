"""The runs that the service has started: each `recon run` in a process of its own, one per domain, only so many at once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from recon.clock import iso


def run_command(domain: str, slot: datetime) -> list[str]:
    """What a person would type for this slot."""
    return [sys.executable, "-m", "recon", "run", domain, "--slot", iso(slot)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One slot of one domain on its way; `tries` counts the runs started for it, this one among them."""

    domain: str
    slot: datetime
    tries: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A run at work."""

    task: Task
    process: "subprocess.Popen[bytes]"
    started: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run that ended: its exit code (negative: killed by that signal) and how many seconds it took."""

    task: Task
    code: int
    seconds: float


class Children:
    """Starts runs and collects them. `command` makes a task's command line; `folder` is the project's."""

    def __init__(
        self, folder: Path, environ: Mapping[str, str], *, command: Callable[[str, datetime], Sequence[str]] = run_command
    ) -> None:
        self._environ = {**environ, "RECON_PROJECT": str(folder)}
        self._folder = folder
        self._command = command
        self._running: dict[str, Child] = {}

    def __len__(self) -> int:
        return len(self._running)

    def of(self, domain: str) -> Child | None:
        """The domain's run, where one is at work."""
        return self._running.get(domain)

    def tasks(self) -> list[Task]:
        """What is at work."""
        return [child.task for child in self._running.values()]

    def start(self, task: Task) -> Child:
        """Start a run; raises OSError where the machine cannot. Its output goes where the service's own goes."""
        process = subprocess.Popen(
            self._command(task.domain, task.slot),
            stdin=subprocess.DEVNULL,
            env=self._environ,
            # A session of its own: Ctrl-C at the terminal reaches the service alone, which ends its runs in order.
            start_new_session=True,
        )
        child = Child(task=task, process=process, started=time.monotonic())
        self._running[task.domain] = child
        return child

    def collect(self) -> list[Ended]:
        """The runs that have ended since the last look."""
        ended = []
        for domain, child in list(self._running.items()):
            code = child.process.poll()
            if code is not None:
                del self._running[domain]
                ended.append(Ended(task=child.task, code=code, seconds=time.monotonic() - child.started))
        return ended

    def stop(self, grace: float) -> tuple[list[Ended], int]:
        """Ask every run to end (SIGTERM), wait `grace` seconds at most, then kill. Answers what ended, and how many had to be killed."""
        for child in self._running.values():
            _signal(child, signal.SIGTERM)
        until = time.monotonic() + grace
        ended: list[Ended] = []
        while self._running and time.monotonic() < until:
            ended += self.collect()
            time.sleep(0.02)
        killed = len(self._running)
        for child in self._running.values():
            _signal(child, signal.SIGKILL)
            child.process.wait()
        return ended + self.collect(), killed


def _signal(child: Child, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        # The run leads its own session, so what it started itself (a secret's command) hears of it too.
        os.killpg(child.process.pid, number)
