"""What a command prints: results on stdout, everything else on stderr, and progress as the place allows."""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from recon.duration import words_of
from recon.inert import terminal
from recon.progress import Progress, Silent
from recon.redact import redact

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from recon.report.text import Line

HEARTBEAT_SECONDS = 60.0


class Console:
    """One command's voice. A reader that goes away (`| head`) closes it quietly; the command goes on and its exit code stands."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.closed = False

    def out(self, text: str) -> None:
        """A result, on stdout."""
        self._writing(lambda: sys.stdout.write(text if text.endswith("\n") or not text else f"{text}\n"))

    def lines(self, lines: Iterable["Line"]) -> None:
        """A rendering of `recon.report.text`, on stdout."""
        from recon.report.text import emit

        self._writing(lambda: emit(lines, sys.stdout))

    @property
    def width(self) -> int | None:
        """How many characters stdout shows in a line; None where it is no terminal and COLUMNS does not say."""
        if not sys.stdout.isatty() and not os.environ.get("COLUMNS", "").isdigit():
            return None
        return shutil.get_terminal_size().columns

    def json(self, document: Mapping[str, Any]) -> None:
        """One JSON document, on stdout."""
        from recon.report.json_ import text

        self.out(text(document))

    def raw(self, pieces: Iterable[bytes]) -> None:
        """Bytes of a file format, on stdout, as they come."""
        for piece in pieces:
            if self.closed:
                return
            self._writing(lambda piece=piece: sys.stdout.buffer.write(piece))  # type: ignore[misc]  # a default argument binds the loop's value

    def say(self, text: str) -> None:
        """A remark for the person at the terminal, on stderr; not with -q."""
        if not self.quiet:
            sys.stderr.write("".join(f"{terminal(line)}\n" for line in redact(text).split("\n")))

    def complain(self, text: str) -> None:
        """What must be read, on stderr, -q or not."""
        sys.stderr.write(redact(text if text.endswith("\n") else f"{text}\n"))

    def _writing(self, write: Callable[[], Any]) -> None:
        if self.closed:
            return
        try:
            write()
            sys.stdout.flush()
        except BrokenPipeError:
            self.closed = True
            # What is still buffered must not raise again when the interpreter ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    @contextmanager
    def progress(self, domain: str) -> Iterator[Progress]:
        """A listener for one domain's run: bars on a terminal, a line a minute elsewhere, nothing with -q."""
        if self.quiet:
            yield Silent()
        elif sys.stderr.isatty():
            with RichProgress.shown(domain) as listener:
                yield listener
        else:
            with HeartbeatProgress(domain) as beating:
                yield beating


def _to_stderr(text: str) -> None:
    # Looked up at each call: the stream may have been exchanged since.
    sys.stderr.write(text)


class HeartbeatProgress:
    """One line a minute, from a thread of its own, so that a stage that is stuck is seen to be stuck."""

    def __init__(self, domain: str, *, every: float = HEARTBEAT_SECONDS, write: Callable[[str], object] | None = None) -> None:
        self._domain = domain
        self._every = every
        self._write = write or _to_stderr
        self._started = self._moved = time.monotonic()
        self._stage = ""
        self._done: tuple[int, int | None, str] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat {domain}", daemon=True)

    def stage(self, name: str) -> None:
        self._stage, self._done, self._moved = name, None, time.monotonic()

    def advance(self, done: int, total: int | None, unit: str) -> None:
        self._done, self._moved = (done, total, unit), time.monotonic()

    def note(self, text: str) -> None:
        self._write(f"{terminal(redact(f'{self._domain}: {text}'))}\n")

    def line(self) -> str:
        """`orders: fetch, 12,300 of 40,000 items, 2m 03s`."""
        now = time.monotonic()
        parts = [self._stage or "starting"]
        if self._done is not None:
            done, total, unit = self._done
            parts.append(f"{done:,} of {total:,} {unit}" if total else f"{done:,} {unit}")
        parts.append(words_of(now - self._started))
        if now - self._moved >= self._every:
            parts.append(f"nothing moved for {words_of(now - self._moved)}")
        return terminal(redact(f"{self._domain}: {', '.join(parts)}"))

    def _beat(self) -> None:
        while not self._stop.wait(self._every):
            self._write(f"{self.line()}\n")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


class RichProgress:
    """A bar per stage, on a terminal; gone when the run is over."""

    def __init__(self, domain: str, bars: "Bars") -> None:
        self._domain = domain
        self._bars = bars
        self._task: TaskID | None = None

    @classmethod
    @contextmanager
    def shown(cls, domain: str) -> Iterator["RichProgress"]:
        """The bars, drawn on stderr until the end."""
        from rich.console import Console as Screen
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[words]}", markup=False),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=Screen(stderr=True, markup=False, highlight=False, emoji=False), transient=True) as bars:
            yield cls(domain, bars)

    def stage(self, name: str) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(terminal(f"{self._domain}  {name}"), total=None, words="")

    def advance(self, done: int, total: int | None, unit: str) -> None:
        if self._task is None:
            self.stage("working")
        assert self._task is not None
        words = f"{done:,} of {total:,} {unit}" if total else f"{done:,} {unit}"
        self._bars.update(self._task, completed=done, total=total, words=terminal(words))

    def note(self, text: str) -> None:
        self._bars.console.print(terminal(redact(f"{self._domain}: {text}")), markup=False, highlight=False)
