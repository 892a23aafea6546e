"""Files that are whole or not there: written beside their place, synced, then renamed; private to their owner."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from recon.errors import LocalFault

FULL = {errno.ENOSPC, errno.EDQUOT}
SHUT = {errno.EACCES, errno.EPERM, errno.EROFS}
GATHER_BYTES = 256 * 1024


@contextmanager
def local_faults(path: Path, doing: str) -> Iterator[None]:
    """Translates OSError into LocalFault: what was being done to which path, why it failed, what room is left, and the way out."""
    try:
        yield
    except OSError as error:
        raise fault_of(path, doing, error) from error


def fault_of(path: Path, doing: str, error: OSError) -> LocalFault:
    """This machine's fault in words."""
    why = os.strerror(error.errno).lower() if error.errno else str(error)
    return LocalFault(f"{doing} {path}: {why}{room_left(path)}", hint=way_out(error.errno, path))


def room_left(path: Path) -> str:
    """What is free on the disk of `path`, as the tail of a message; nothing where that cannot be told."""
    free = _free(path)
    return "" if free is None else f"; {free / 1e6:,.1f} MB are free"


def crowded(path: Path) -> bool:
    """Whether the disk of `path` has less than a megabyte left, so that an error there is most likely the want of room."""
    free = _free(path)
    return free is not None and free < 1_000_000


def _free(path: Path) -> int | None:
    for place in (path, *path.parents):
        try:
            return shutil.disk_usage(place).free
        except OSError:
            continue
    return None


def way_out(code: int | None, path: Path) -> str:
    """What to do about an error of the system at `path`."""
    if code in FULL:
        return f"make room on the disk of {path.parent} (df -h {path.parent}), then run the command again"
    if code in SHUT:
        return f"the user that runs recon must be able to write in {path.parent} (ls -ld {path.parent})"
    if code in {errno.ENOTDIR, errno.EEXIST}:
        return f"a part of {path} is a file and not a folder; move it away or name another folder"
    if code == errno.ELOOP:
        return f"{path} is or leads through a symbolic link; recon follows none: name the real place"
    return f"look at {path.parent}, then run the command again"


class LocalFile:
    """A new file that is written piece by piece, mode 0600, and closed at the end; what the disk does wrong is a LocalFault, and nothing else is."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        with local_faults(self.path, "writing"):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            self._handle = os.open(self.path, flags, 0o600)
        self._gathered = bytearray()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._flush()
        finally:
            os.close(self._handle)

    def write(self, piece: bytes) -> None:
        """Appends the piece."""
        self._gathered += piece
        if len(self._gathered) >= GATHER_BYTES:
            self._flush()

    def _flush(self) -> None:
        with local_faults(self.path, "writing"):
            _write_all(self._handle, bytes(self._gathered))
        self._gathered.clear()


def private_folder(path: Path) -> Path:
    """The folder, made with mode 0700 where it is not there, parents too; an existing folder keeps its mode.

    Raises LocalFault where it cannot be made or `path` itself is a symbolic link or a file.
    """
    with local_faults(path, "making folder"):
        if path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        for folder in [*reversed(path.parents), path]:
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
        if not path.is_dir():
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    return path


def write_atomically(path: Path, pieces: Iterable[bytes]) -> None:
    """Writes the pieces to `path` in one step, mode 0600: a reader sees the old file or the whole new one, after a crash too.

    The folder must be there. A symbolic link at `path` is replaced, never followed. What iterating `pieces` raises comes through
    as it is, and leaves nothing behind; a full disk or a folder that cannot be written is a LocalFault with the way out.
    """
    spare = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.part")
    with local_faults(path, "writing"):
        handle = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            for piece in _gathered(pieces):
                with local_faults(path, "writing"):
                    _write_all(handle, piece)
            with local_faults(path, "writing"):
                os.fsync(handle)
        finally:
            os.close(handle)
        with local_faults(path, "writing"):
            spare.replace(path)
            _sync_folder(path.parent)
    except BaseException:
        # Also on Ctrl-C: a half-written spare file must not stay behind.
        with suppress(OSError):
            spare.unlink()
        raise


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces: one system call per row would cost more than the rows."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) >= GATHER_BYTES:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


def _write_all(handle: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(handle, view) :]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
