"""The command line as a user calls it: a process of its own, in a folder of its own."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests import forked

ROOT = Path(__file__).parent.parent.parent


def recon(*words: object, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """One command, ended by itself; nothing of this machine's own projects or settings is in its reach."""
    surroundings = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    surroundings |= {"HOME": str(cwd), "PYTHONPATH": str(ROOT), **(env or {})}
    return forked.run([str(word) for word in words], cwd=cwd, env=surroundings, timeout=timeout)


def figures(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON document of a command."""
    assert done.stdout, f"exit {done.returncode}: {done.stderr}"
    return json.loads(done.stdout)


def heed_interrupts() -> None:
    """A suite that runs in a shell's background has SIGINT ignored, and hands that down; a terminal does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
