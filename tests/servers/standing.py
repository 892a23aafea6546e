"""A server's process that stands still."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator


@contextlib.contextmanager
def standing(process: subprocess.Popen[bytes] | None) -> Iterator[None]:
    """While this lasts the process takes connections and answers nothing."""
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)
