"""Command lines in processes of their own, made by fork from one that has imported everything: a command costs its work, and no start.

`run` stands in for `subprocess.run` of `python -P -m recon`. The other side (`python -m tests.forked SOCKET`) has one thread and no open file
when it forks, so a child is as good as a fresh process: its own environment, folder, output, random numbers, and end. What is to show how
a command *starts* (what it imports, a wheel, a signal at once) starts one by itself.
"""

import array
import atexit
import functools
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
#: What Python or the C library reads at the start, once for all children: whoever sets one of these gets a real start.
AT_START = ("LC_", "LD_", "PYTHON", "MALLOC_", "GLIBC_", "TZ")
SETTLED = {"PYTHONPATH": str(ROOT)}
_STARTING = threading.Lock()


def run(
    words: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float, safe: bool = True
) -> "subprocess.CompletedProcess[str]":
    """One command, ended by itself, with what it said. `safe` is Python's -P, where a real start is wanted. Raises TimeoutExpired."""
    line = [sys.executable, *(["-P"] if safe else []), "-m", "recon", *words]
    if any(name.startswith(AT_START) and SETTLED.get(name) != value for name, value in env.items()) or not cwd.is_dir():
        return subprocess.run(line, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, socket.socket(socket.AF_UNIX) as asked:
        asked.connect(_server())
        order = json.dumps({"words": list(words), "cwd": str(cwd), "env": dict(env)}).encode()
        handles = array.array("i", [out.fileno(), err.fileno()])
        asked.sendmsg([len(order).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handles)])
        asked.sendall(order)
        with asked.makefile("rb") as answers:
            pid = int(answers.readline())
            asked.settimeout(timeout)
            try:
                code = int(answers.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(line, timeout) from None
        said = []
        for file in (out, err):
            file.seek(0)
            # As text, as `subprocess` has it: line ends are one.
            said.append(file.read().decode().replace("\r\n", "\n").replace("\r", "\n"))
        return subprocess.CompletedProcess(line, code, *said)


def _server() -> str:
    """The socket of this process's server, which ends with it; of several threads the first one starts it."""
    with _STARTING:
        return _started()


@functools.cache
def _started() -> str:
    folder = tempfile.mkdtemp(prefix="forked")
    place = f"{folder}/socket"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RECON")}
    line = [sys.executable, "-P", "-m", "tests.forked", place]
    server = subprocess.Popen(line, cwd=ROOT, env={**kept, **SETTLED, "RECON_PLUGINS": "none"}, stdin=subprocess.PIPE)

    def end() -> None:
        assert server.stdin is not None
        server.stdin.close()
        server.wait()
        shutil.rmtree(folder)

    atexit.register(end)
    while not os.path.exists(place):  # noqa: PTH110 - asked often, and of a text
        assert server.poll() is None, "the server that forks commands ended before it began"
        time.sleep(0.01)
    return place


def serve(place: str) -> None:
    """Forks for every order, until whoever started it is gone, and its end of our stdin with it."""
    from tests.faults.nursery import warm

    warm()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # So that nobody has to wait for those who wait.
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(f"{place}.new")
        door.listen(64)
        os.rename(f"{place}.new", place)  # noqa: PTH104 - as above
        while sys.stdin not in select.select([door, sys.stdin], [], [])[0]:
            order, _ = door.accept()
            if os.fork() == 0:
                door.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _waits(order)
            order.close()


def _waits(order: socket.socket) -> None:
    """A child that has one of its own do the work, and tells its end."""
    head, handles, *_ = socket.recv_fds(order, 4, 2)
    text = b""
    while len(text) < int.from_bytes(head, "big"):
        text += order.recv(1 << 16)
    pid = os.fork()
    if pid == 0:
        order.close()
        _lives(json.loads(text), *handles)
    order.sendall(b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    order.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _lives(order: dict[str, Any], out: int, err: int) -> None:
    """The command itself; never comes back."""
    code = 1
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        for handle, number in ((nothing, 0), (out, 1), (err, 2)):
            os.dup2(handle, number)
            os.close(handle)
        os.chdir(order["cwd"])
        os.environ.clear()
        os.environ.update(order["env"])
        random.seed()
        sys.argv = ["recon", *order["words"]]
        code = _ended()
    finally:
        os._exit(code)


def _ended() -> int:
    """The exit code, after everything that Python does at a process's end."""
    from recon.__main__ import main

    try:
        main()
        code: Any = 0
    except SystemExit as error:
        code = error.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = 120
    return code if isinstance(code, int) else 0 if code is None else 1


if __name__ == "__main__":
    serve(sys.argv[1])
