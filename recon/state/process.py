"""Which process holds a lease, told so that another one on the same machine can prove that it has ended.

A pid alone proves nothing: it may be of another machine, of another container, or have been given to another process since. So a process is
named by the boot of its machine, its namespaces, its pid and the instant at which it started.
"""

import hashlib
import os
import socket
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

PROC = Path("/proc")
ENDED = frozenset("ZX")
"""States of a thread that runs no more, by proc(5): a zombie that its parent has not asked after, and one that is dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A process, for good. `place` is a digest of host name, boot and namespaces; `started` counts the kernel's ticks since the boot."""

    place: str
    pid: int
    started: int


def mark() -> Mark | None:
    """This process; None on a machine that does not say enough, such as one without Linux's /proc."""
    pid = os.getpid()
    try:
        if str((PROC / "self").readlink()) != str(pid):
            # Another namespace's /proc, whose pids are not ours.
            return None
        return Mark(place=_place(), pid=pid, started=_started(pid))
    except (OSError, ValueError, IndexError):
        return None


def ended(held: Mark) -> bool:
    """Whether that process has certainly ended: it was one of this machine's as it runs now, and is not there, or another has its pid.

    Whatever cannot be seen counts as alive.
    """
    mine = mark()
    if mine is None or mine.place != held.place:
        return False
    try:
        # Asks whether it is there and sends nothing; /proc may hide the processes of other users.
        os.kill(held.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    try:
        return _started(held.pid) != held.started or _runs_no_more(held.pid)
    except (OSError, ValueError, IndexError):
        return False


@lru_cache(maxsize=1)
def _place() -> str:
    boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
    spaces = [str(space.readlink()) if (space := PROC / "self/ns" / name).is_symlink() else "" for name in ("pid", "time")]
    return hashlib.sha256("\n".join([socket.gethostname(), boot, *spaces]).encode()).hexdigest()[:16]


def _started(pid: int) -> int:
    """The 22nd field of /proc/PID/stat, by proc(5); the second, a name in brackets, may have anything in it."""
    return int(_fields(PROC / str(pid) / "stat")[19])


def _runs_no_more(pid: int) -> bool:
    """Whether every thread of it has ended, though nobody has asked after it yet."""
    threads = list((PROC / str(pid) / "task").iterdir())
    return bool(threads) and all(_fields(one / "stat")[0] in ENDED for one in threads)


def _fields(stat: Path) -> list[str]:
    return stat.read_text().rpartition(")")[2].split()
