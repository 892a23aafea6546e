"""A server's process that stands still."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

STOP_SECONDS = 5.0


@contextlib.contextmanager
def standing(process: subprocess.Popen[bytes] | None) -> Iterator[None]:
    """While this lasts the process takes connections and answers nothing."""
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    until = time.monotonic() + STOP_SECONDS
    # The signal returns at once, and its threads stop one after another: on a busy machine one answers yet.
    while any(_state(task) != "T" for task in Path(f"/proc/{process.pid}/task").iterdir()):
        assert time.monotonic() < until, "the process did not come to a stand"
        time.sleep(0.001)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def _state(task: Path) -> str:
    """What the kernel says of a thread, in a letter."""
    return (task / "stat").read_text().rpartition(")")[2].split()[0]
