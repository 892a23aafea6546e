"""The steps of a command, counted as it takes them, and what may befall it at one of them. Runs inside the process that is to suffer.

A step is: a statement or commit of the state database; a request; a call of a publisher and its answer; a read of the store; every
open-for-writing, write, fsync, truncation, rename, removal and new folder that our code asks the system for; and the very end. A
write is two steps: before it, and with half of its bytes on the disk. What DuckDB and SQLite write by themselves does not pass here:
a full disk and a bound on file sizes reach them (`test_disk.py`), and `kill -9` at any moment (`test_kill_nine.py`).
"""

import builtins
import errno as errors
import io
import os
import signal
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DISK = frozenset({"open", "write", "torn", "fsync", "truncate", "rename", "remove", "folder"})
KILLED = 137


@dataclass
class Fate:
    """At the step `at` (counted from 1, among `kinds`): die, stop as SIGSTOP does, or fail with `errno`. `at` 0 only counts."""

    at: int = 0
    act: str = "count"
    kinds: frozenset[str] | None = None
    errno: int = errors.EIO


class Steps:
    """Counts, and acts at the one step."""

    def __init__(self, fate: Fate, folder: Path) -> None:
        self.fate = fate
        self.folder = str(folder)
        self.taken: list[str] = []
        self.hit = ""
        self._lock = threading.Lock()
        self._full: set[int] = set()
        self._write = os.write

    def step(self, kind: str) -> bool:
        """One step; answers whether it is to fail."""
        fate = self.fate
        if fate.kinds is not None and kind not in fate.kinds:
            return False
        # The lease's thread beats by the clock, so a stop counts the work's own steps only; and a stop from there would
        # fall within the work's batch of rows, where the server does not call the session idle (docs/reliability.md, 5).
        if fate.act == "stop" and threading.current_thread().name.startswith("lease "):
            return False
        with self._lock:
            self.taken.append(kind)
            chosen = len(self.taken) == fate.at
        if not chosen:
            return False
        self.hit = kind
        if fate.act == "fail":
            return True
        if kind != "torn":
            self.strike()
        return kind == "torn"

    def strike(self) -> None:
        """The process dies on the spot, or stops."""
        if self.fate.act == "die":
            os._exit(KILLED)
        if self.fate.act == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)

    def error(self) -> OSError:
        """What the system answers."""
        return OSError(self.fate.errno, os.strerror(self.fate.errno))

    def guarded(self, kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """A call that is a step before it is made."""

        def inner(*args: Any, **named: Any) -> Any:
            if self.step(kind):
                raise self.error()
            return call(*args, **named)

        return inner

    def write(self, handle: int, data: Any) -> int:
        """os.write: all of it, none, or half and then the end or the error."""
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return self._write(handle, data)
        if handle in self._full:
            self._full.discard(handle)
            raise self.error()
        if self.step("write"):
            raise self.error()
        if self.step("torn"):
            half = memoryview(data)[: max(1, len(data) // 2)]
            done = self._write(handle, half)
            if self.fate.act == "fail":
                self._full.add(handle)
                return done
            self.strike()
            return done
        return self._write(handle, data)

    def open(self, path: Any, flags: int, *rest: Any, **named: Any) -> int:
        """os.open, a step where it is for writing."""
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and self.step("open"):
            raise self.error()
        return _OPEN(path, flags, *rest, **named)

    def file(self, path: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
        """open and Path.open, for writing below the world's folder: each write of the buffer is an os.write."""
        ours = isinstance(path, str | os.PathLike) and str(Path(path).absolute()).startswith(self.folder)
        if not ours or not set(mode) & set("wax+"):
            return _FILE(path, mode, *rest, **named)
        if self.step("open"):
            raise self.error()
        buffered = io.BufferedWriter(_Raw(self, path, mode))
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding=named.get("encoding"))


class _Raw(io.FileIO):
    """A file whose writes are steps."""

    def __init__(self, steps: Steps, path: Any, mode: str) -> None:
        super().__init__(os.fspath(path), mode.replace("b", "").replace("t", ""))
        self._steps = steps

    def write(self, data: Any) -> int:
        return self._steps.write(self.fileno(), data)


_OPEN = os.open
_FILE = io.open


def watch(steps: Steps) -> None:
    """Lays the steps under everything, for good: this process has no other use."""
    from sqlalchemy import Engine, event
    from sqlalchemy.engine.default import DefaultDialect

    from recon.fetch.transport import Transport
    from recon.outbox import delivery
    from recon.stores.sqlite import SqliteStore

    os.write, os.open = steps.write, steps.open
    io.open = builtins.open = steps.file
    for name, kind in (("fsync", "fsync"), ("ftruncate", "truncate"), ("replace", "rename"), ("rename", "rename"), ("unlink", "remove")):
        setattr(os, name, steps.guarded(kind, getattr(os, name)))
    os.mkdir = steps.guarded("folder", os.mkdir)
    event.listen(Engine, "before_cursor_execute", lambda *_: steps.step("sql"))
    DefaultDialect.do_commit = steps.guarded("commit", DefaultDialect.do_commit)
    Transport.send = steps.guarded("request", Transport.send)
    SqliteStore.get_many = steps.guarded("store", SqliteStore.get_many)
    SqliteStore.scan = steps.guarded("store", SqliteStore.scan)
    publish = steps.guarded("publish", delivery._Drain._published)

    def published(*args: Any) -> Any:
        outcomes = publish(*args)
        steps.step("published")
        return outcomes

    delivery._Drain._published = published
