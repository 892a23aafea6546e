"""Processes with everything imported, made by fork: a command line costs its own work and no start.

`Nursery` is the test's side. The other side (`python -m tests.faults.nursery`) has one thread and no open file when it forks, so a
child is as good as a fresh process. Each child runs one command line in one folder, with a `Fate`.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a child ended, or that it stands still. `steps` are the kinds of the steps it took, where it came to its end by itself."""

    pid: int
    code: int | None
    out: str = ""
    err: str = ""
    steps: list[str] = field(default_factory=list)
    hit: str = ""

    @property
    def stopped(self) -> bool:
        return self.code is None


class Nursery:
    """A context manager; `run` makes a child and waits until it has ended or stopped. `within` is a command that the whole nursery runs under."""

    def __init__(self, within: Sequence[str] = ()) -> None:
        self._within = list(within)

    def __enter__(self) -> Self:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RECON")}
        env = {**kept, "PYTHONPATH": str(ROOT), "RECON_PLUGINS": "none", "COLUMNS": "200"}
        line = [*self._within, sys.executable, "-P", "-m", "tests.faults.nursery"]
        self._process = subprocess.Popen(line, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def run(self, folder: Path, *words: str, env: dict[str, str] | None = None, **fate: Any) -> Ended:
        """One command line in this folder. `ttl` and `busy` shorten the lease and the wait for a lock, in seconds (and, on PostgreSQL, how long a transaction may stand idle), `silent` how long PostgreSQL may say nothing, `deliver` how long the night delivers; `limit` bounds files, in bytes."""
        return self._ask({"folder": str(folder), "words": words, "env": env or {}, **fate})

    def go_on(self, ended: Ended) -> Ended:
        """Lets a stopped child go on, and waits for its end."""
        return self._ask({"continue": ended.pid})

    def _ask(self, order: dict[str, Any]) -> Ended:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the nursery died"
        return Ended(**json.loads(line))


def _serve() -> None:
    end_with_parent()
    warm()
    folders: dict[int, Path] = {}
    for line in sys.stdin:
        order = json.loads(line)
        if "continue" in order:
            pid = order["continue"]
            os.kill(pid, signal.SIGCONT)
        else:
            pid = os.fork()
            if pid == 0:
                _live(order)
            folders[pid] = Path(order["folder"])
        _, status = os.waitpid(pid, os.WUNTRACED)
        print(json.dumps(_told(pid, status, folders[pid])), flush=True)


def end_with_parent() -> None:
    """A test that is killed leaves nobody behind. PR_SET_PDEATHSIG: https://man7.org/linux/man-pages/man2/prctl.2.html"""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def warm() -> None:
    """Every module that a command loads, and nothing that starts a thread."""
    import pkgutil
    from importlib import import_module

    import recon
    import recon.commands

    skipped = {"recon.__main__", "recon.demo", "recon.state.migrations"}
    for found in pkgutil.walk_packages(recon.__path__, "recon."):
        if not any(found.name == one or found.name.startswith(one + ".") for one in skipped):
            import_module(found.name)
    for name in ("cli", "alembic.command", "alembic.config", "jinja2", "sqlite3", "tests.faults.steps"):
        import_module(name)


def _live(order: dict[str, Any]) -> None:
    """The child: never comes back."""
    end_with_parent()
    folder = Path(order["folder"])
    os.chdir(folder)
    os.environ.update(order["env"])
    os.environ["HOME"] = str(folder)
    place = folder.parent / f"{folder.name}.{os.getpid()}"
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(f"{place}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code = 1
    try:
        code = _command(order, folder, place)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _command(order: dict[str, Any], folder: Path, place: Path) -> int:
    import resource

    import cli
    from tests.faults.steps import Fate, Steps, watch

    _shorten(order)
    if order.get("limit"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"], order["limit"]))
    kinds = order.get("kinds")
    steps = Steps(
        Fate(order.get("at", 0), order.get("act", "count"), frozenset(kinds) if kinds else None, order.get("errno", 5)), folder.resolve()
    )
    write, opened = os.write, os.open
    if "act" in order:
        watch(steps)
    code = cli.run(order["words"])
    steps.step("end")
    handle = opened(f"{place}.steps", os.O_WRONLY | os.O_CREAT, 0o600)
    write(handle, json.dumps({"steps": steps.taken, "hit": steps.hit}).encode())
    return code


def _shorten(order: dict[str, Any]) -> None:
    """A test has no minute to wait for a lease, nor two for a lock."""
    from recon.run import delivering
    from recon.state import engine, lease

    if order.get("busy"):
        engine.BUSY_SECONDS = order["busy"]
        engine.IDLE_SECONDS = 0.5
    engine.SILENT_SECONDS = order.get("silent", engine.SILENT_SECONDS)
    delivering.PUBLISH_SECONDS = order.get("deliver", delivering.PUBLISH_SECONDS)
    if ttl := order.get("ttl"):
        acquire = lease.acquire
        lease.acquire = lambda state, conn, domain, owner, _ttl=0.0: acquire(state, conn, domain, owner, ttl)


def _told(pid: int, status: int, folder: Path) -> dict[str, Any]:
    if os.WIFSTOPPED(status):
        return {"pid": pid, "code": None}
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    told: dict[str, Any] = {"pid": pid, "code": code}
    for name in ("out", "err", "steps"):
        path = folder.parent / f"{folder.name}.{pid}.{name}"
        if path.exists():
            text = path.read_text(errors="replace")
            path.unlink()
            told |= json.loads(text) if name == "steps" else {name: text}
    return told


if __name__ == "__main__":
    _serve()
