"""`recon schedule` as it is, in a hurry: takes and leases of seconds, looks every 50 ms. With KILL=PHASE it dies there by SIGKILL, once.

    python launch_schedule.py FOLDER

The phases: `record` a slot was just written down, `take` it was just taken, `start` its run was just started, `end` the run has ended and
that is not written down yet, `settled` it has just been.
"""

import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from recon.clock import iso
from recon.commands.frame import Frame
from recon.schedule import children, reload, serve
from recon.state.slots import Slots

KEEP = 1.0
RUN = """
import sys
from recon.state import runs
for begin in (runs.Runs.start, runs.Runs.resume):
    begin.__kwdefaults__["ttl"] = 1.5
import cli
sys.exit(cli.run(sys.argv[1:]))
"""


def command(domain: str, slot: datetime) -> list[str]:
    """A run whose lease is short, too."""
    return [sys.executable, "-c", RUN, "run", domain, "--slot", iso(slot)]


def dying(real: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
    """The same, and the end of this process with it."""

    def inner(*args: Any, **options: Any) -> Any:
        found = None if before else real(*args, **options)
        if before or found:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    return inner


def main() -> int:
    serve.Service.__init__.__kwdefaults__ |= {"keep": KEEP, "look": 0.05, "retries": (0.2, 0.2, 0.2), "grace": 5.0}
    children.Children.__init__.__kwdefaults__["command"] = command
    reload.Source.__init__.__kwdefaults__["every"] = 0.1
    phase = os.environ.pop("KILL", "")
    if phase == "record":
        Slots.record = dying(Slots.record, before=False)
    elif phase == "take":
        Slots.take = dying(Slots.take, before=False)
    elif phase == "start":
        children.Children.start = dying(children.Children.start, before=False)
    elif phase == "end":
        Slots.finish = dying(Slots.finish, before=True)
    elif phase == "settled":
        real = Slots.finish
        Slots.finish = lambda *args, **options: dying(real, before=True)() if real(*args, **options) is None else None
    frame = Frame(folder=Path(sys.argv[1]), console=None, clock=serve.SystemClock())
    with frame.both() as (project, state):
        return serve.serve(project, state, clock=frame.clock)


if __name__ == "__main__":
    sys.exit(main())
