"""`type = "stdout"`: one line of CloudEvents JSON per event on standard output, for pipes and for looking."""

import os
import select
import sys
import time
from collections.abc import Sequence

from recon.errors import DeliveryError
from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
from recon.section import Section

#: POSIX promises that a pipe that is ready takes PIPE_BUF bytes without blocking; 4096 on Linux, at least 512 anywhere.
CHUNK = 512 if not hasattr(select, "PIPE_BUF") else select.PIPE_BUF


class StdoutPublisher:
    """Events as lines on standard output. CONFIRMED means that the operating system took the whole line.

    A reader that has gone (`recon run … | head`) makes the line being written UNKNOWN and the later ones RETRY; nothing is lost, they wait
    in the outbox. It takes no settings.
    """

    capabilities = Capabilities(batch=1000)

    def __init__(self, section: Section) -> None:
        self.name = section.name
        section.finish()
        self._torn = False

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        until = time.monotonic() + deadline
        outcomes: list[Outcome] = []
        stopped: str | None = None
        for message in batch:
            if stopped is not None:
                outcomes.append(Outcome(kind=OutcomeKind.RETRY, reason=f"not written: {stopped}"))
                continue
            line = (b"\n" if self._torn else b"") + message.body + b"\n"
            written, stopped = _write(line, until)
            if stopped is None:
                self._torn = False
                outcomes.append(Outcome(kind=OutcomeKind.CONFIRMED))
            else:
                self._torn = self._torn or written > 0
                kind = OutcomeKind.UNKNOWN if written else OutcomeKind.RETRY
                outcomes.append(Outcome(kind=kind, reason=stopped))
        return outcomes

    def health(self) -> str:
        if sys.stdout is None or sys.stdout.closed:
            msg = f"publisher {self.name}: standard output is closed"
            raise DeliveryError(msg, hint="run recon with standard output open, or choose another publisher")
        return "events go to standard output, a line each"

    def close(self) -> None:
        if sys.stdout is not None and not sys.stdout.closed:
            try:
                sys.stdout.flush()
            except OSError:
                # A reader that has gone was said per event already.
                return


def _write(line: bytes, until: float) -> tuple[int, str | None]:
    """How many bytes were taken, and why no more. Unbuffered, so that nothing is left over for the interpreter's last flush."""
    try:
        sys.stdout.flush()
        try:
            descriptor = sys.stdout.fileno()
        except (AttributeError, OSError):
            # A stand-in without a descriptor, as a test runner puts in place: it takes everything at once.
            if hasattr(sys.stdout, "buffer"):
                sys.stdout.buffer.write(line)
            else:
                sys.stdout.write(line.decode())
            return len(line), None
    except (OSError, ValueError, AttributeError) as error:
        # ValueError: closed; AttributeError: None, as where a service has no standard output.
        return 0, _words(error)
    done = 0
    try:
        while done < len(line):
            # A reader that stopped reading must not hold a run beyond its deadline.
            if not select.select([], [descriptor], [], max(0.0, until - time.monotonic()))[1]:
                return done, "standard output did not take it within the deadline"
            done += os.write(descriptor, line[done : done + CHUNK])
    except OSError as error:
        return done, _words(error)
    return done, None


def _words(error: BaseException) -> str:
    if isinstance(error, BrokenPipeError):
        return "the reader of standard output has gone"
    if isinstance(error, ValueError | AttributeError):
        return "standard output is closed"
    return f"standard output: {error.strerror if isinstance(error, OSError) and error.strerror else error}"
