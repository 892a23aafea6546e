"""Copies: a file from elsewhere is brought here whole before a row of it is read, and an interrupted one is gone on with.

So a file that was cut, damaged or replaced gives no row at all, and what reads it waits for no network. A copy is named by its place and
its pin, so that a later process goes on with it, and with no other file. How far it has safely come stands beside it: what lies
behind that mark, after a power cut perhaps as zeros, is fetched again.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recon.clock import Clock
from recon.dumps.pin import Pin
from recon.dumps.place import Place
from recon.errors import CursorExpired, InvalidPage, OversizedBody
from recon.files import local_faults

MARK_BYTES = 8 * 1024 * 1024
KEPT_SECONDS = 2 * 86_400.0


class Copies:
    """Copies of a place's files in a folder of this machine; each goes once it was read to its end."""

    def __init__(self, folder: Path, place: Place) -> None:
        self.folder = folder
        self._place = place

    @contextmanager
    def brought(self, name: str, pin: Pin, clock: Clock) -> Iterator[Path]:
        """The whole file. Raises what `Place.blocks` raises, and LocalFault."""
        told = json.dumps([self._place.words, name, pin.params()])
        path = self.folder / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.copy"
        with local_faults(self.folder, "making"):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sweep()
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                # Another process brings the same file: each has its own.
                os.close(handle)
                path = path.with_suffix(f".{os.getpid()}.copy")
                with local_faults(path, "writing"):
                    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            self._bring(handle, path, name, pin, clock)
            yield path
            self._drop(path)
        except (CursorExpired, InvalidPage, OversizedBody):
            # It is no use: the next try brings it anew.
            self._drop(path)
            raise
        finally:
            os.close(handle)

    def _bring(self, handle: int, path: Path, name: str, pin: Pin, clock: Clock) -> None:
        with local_faults(path, "writing"):
            at = _marked(path)
            size = os.fstat(handle).st_size
            at = at if at <= size else 0
            os.ftruncate(handle, at)
            os.lseek(handle, at, os.SEEK_SET)
        marked = at
        if at and at == pin.size:
            return
        for block in self._place.blocks(name, pin, at, clock):
            with local_faults(path, "writing"):
                left = memoryview(block)
                while left:
                    left = left[os.write(handle, left) :]
                at += len(block)
                if at - marked >= MARK_BYTES:
                    _mark(handle, path, at)
                    marked = at
        with local_faults(path, "writing"):
            _mark(handle, path, at)

    def _drop(self, path: Path) -> None:
        with suppress(OSError):
            path.unlink(missing_ok=True)
            _beside(path).unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Copies that nobody came back for."""
        old = time.time() - KEPT_SECONDS
        for path in self.folder.glob("*.copy*"):
            with suppress(OSError):
                if path.stat().st_mtime < old:
                    path.unlink()


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.at")


def _marked(path: Path) -> int:
    try:
        return int(_beside(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _mark(handle: int, path: Path, at: int) -> None:
    os.fsync(handle)
    fresh = path.with_name(f"{path.name}.at.new")
    fresh.write_text(str(at), encoding="ascii")
    fresh.replace(_beside(path))
