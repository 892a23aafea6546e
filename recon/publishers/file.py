"""`type = "file"`: events appended to a file as lines of CloudEvents JSON."""

import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate

from recon.errors import DeliveryError
from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
from recon.section import Section

LOCK_POLL_SECONDS = 0.02
#: How much free space `health` wants to see before it calls the disk nearly full.
LOW_BYTES = 16 * 1024 * 1024


class FilePublisher:
    """Lines of JSON in a file. CONFIRMED means written whole and flushed to the disk (fsync).

    `path` is relative to recon.toml's folder; the folder is made 0700 and the file 0600. The file is opened for each batch, so it
    may be moved away at any time (logrotate needs no signal). A torn last line, from a crash, is left and ended, so that it never swallows the
    next event. Writers of several domains take turns. Symbolic links are not followed.
    """

    capabilities = Capabilities(batch=1000)

    def __init__(self, section: Section) -> None:
        self.name = section.name
        self.path = section.folder / section.text("path")
        section.finish()

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        until = time.monotonic() + deadline
        try:
            with self._opened(until) as descriptor:
                return self._append(descriptor, batch)
        except (OSError, TimeoutError) as error:
            return [Outcome(kind=OutcomeKind.RETRY, reason=self._words(error))] * len(batch)

    def health(self) -> str:
        try:
            with self._opened(time.monotonic() + 1.0):
                free = shutil.disk_usage(self.path.parent).free
        except (OSError, TimeoutError) as error:
            msg = f"publisher {self.name}: {self._words(error)}"
            raise DeliveryError(msg, hint="the folder must exist or be makeable, and be writable by the user that runs recon") from error
        if free < LOW_BYTES:
            msg = f"publisher {self.name}: {self.path.parent} has {free:,} bytes free, at least {LOW_BYTES:,} are wanted"
            raise DeliveryError(msg, hint="make room, or write elsewhere")
        return f"events are appended to {self.path}"

    def close(self) -> None:
        """Nothing is kept open."""

    @contextmanager
    def _opened(self, until: float) -> Iterator[int]:
        """The file, open to append and ours alone until closed."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                msg = "is not a regular file"
                raise OSError(msg)
            _lock(descriptor, until)
            if fresh:
                _sync_folder(str(self.path.parent))
            yield descriptor
        finally:
            os.close(descriptor)

    def _append(self, descriptor: int, batch: Sequence[Message]) -> list[Outcome]:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        lines = [message.body + b"\n" for message in batch]
        data = (b"\n" if torn else b"") + b"".join(lines)
        done, failure = _write(descriptor, data)
        ends = list(accumulate((len(line) for line in lines), initial=int(torn)))
        whole = sum(1 for end in ends[1:] if end <= done)
        if failure is not None and done > ends[whole]:
            # The part of a line goes, so that readers never see it; the whole lines before it stay and count.
            try:
                os.ftruncate(descriptor, size + ends[whole])
            except OSError:
                failure = OSError(failure.errno, f"{failure.strerror}; a part of a line stayed behind")
        try:
            os.fsync(descriptor)
        except OSError as error:
            reason = f"{self._words(error)} while flushing to the disk"
            return [Outcome(kind=OutcomeKind.UNKNOWN, reason=reason)] * len(batch)
        outcomes = [Outcome(kind=OutcomeKind.CONFIRMED)] * whole
        if failure is not None:
            outcomes += [Outcome(kind=OutcomeKind.RETRY, reason=self._words(failure))] * (len(batch) - whole)
        return outcomes

    def _words(self, error: OSError) -> str:
        return f"{self.path}: {error.strerror or error}"


def _lock(descriptor: int, until: float) -> None:
    """Waits for the other writers of this file, if any; raises TimeoutError when the deadline comes first."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                msg = "another process kept writing to it until the deadline"
                raise TimeoutError(msg) from None
            time.sleep(LOCK_POLL_SECONDS)
        else:
            return


def _write(descriptor: int, data: bytes) -> tuple[int, OSError | None]:
    """How many bytes went in, and what stopped the rest."""
    done = 0
    try:
        while done < len(data):
            done += os.write(descriptor, data[done:])
    except OSError as error:
        return done, error
    return done, None


def _sync_folder(folder: str) -> None:
    """A new file's name is on the disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
