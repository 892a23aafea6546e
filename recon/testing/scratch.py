"""Folders for worlds that live for a moment: in memory where this machine has such a place, and gone once their process is."""

import os
import re
import shutil
from pathlib import Path
from tempfile import gettempdir, mkdtemp


def scratch(name: str, *, shared: Path = Path("/dev/shm")) -> Path:  # noqa: S108 - only folders of our own in it are used
    """A fresh folder `NAME-PID-…`. In memory, since a process that dies loses nothing there.

    Those of the same name whose process is gone are removed first: what is killed in the middle cannot clean up after itself.
    """
    place = shared if os.access(shared, os.W_OK) else Path(gettempdir())
    for old in place.glob(f"{name}-*"):
        found = re.fullmatch(rf"{re.escape(name)}-(\d+)-\w+", old.name)
        if found and not _lives(int(found[1])):
            shutil.rmtree(old, ignore_errors=True)
    return Path(mkdtemp(prefix=f"{name}-{os.getpid()}-", dir=place))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
