"""Servers that come from npm: where their packages are, and how one is started on a port of its own.

`tests/node/package-lock.json` pins them; `npm ci --ignore-scripts --prefix tests/node` installs them.
"""

import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "node"
MODULES = FOLDER / "node_modules"
READY_SECONDS = 20.0


def reason_to_skip(package: str) -> str | None:
    """Why this package cannot be used here, None where it can."""
    if shutil.which("node") is None:
        return f"no Node.js on this machine: {package} comes from npm"
    if not (MODULES / package / "package.json").is_file():
        return f"{package} is not installed: npm ci --ignore-scripts --prefix tests/node"
    return None


def require(package: str) -> Path:
    """The package's folder; skips the test, saying why, where it is not installed."""
    reason = reason_to_skip(package)
    if reason is not None:
        pytest.skip(reason)
    return MODULES / package


def start(script: str, arguments: Sequence[str] = ()) -> tuple["subprocess.Popen[str]", int]:
    """Runs a script that listens on a port of its own choosing and prints it as its first line: (process, port).

    The port comes from the child's own output, so the listener is the child. The caller ends it with `stop`.
    """
    process = subprocess.Popen(
        ["node", "-e", script, *arguments],
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    # A child that hangs before it prints is ended, which ends the read below.
    watchdog = threading.Timer(READY_SECONDS, process.kill)
    watchdog.start()
    line = process.stdout.readline().strip()
    watchdog.cancel()
    if not line.isdigit():
        rest = process.stdout.read(2000) if process.poll() is not None else ""
        stop(process)
        msg = f"the server printed no port but {line!r} {rest!r}"
        raise AssertionError(msg)
    return process, int(line)


def stop(process: "subprocess.Popen[str]") -> None:
    """Ends a server that `start` started."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=10)
    if process.stdout is not None:
        process.stdout.close()
