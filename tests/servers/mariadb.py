"""A MariaDB server of one's own: Debian's `mariadbd`, on a free loopback port, with its data in a temporary folder.

Where it is not installed the tests that want it skip: `needed` is their mark. `mariadb` (one server for the tests of a process) and
`maria` (a fresh database's URL for each test) are its fixtures. As root it runs as root: it is ours alone, and bound to loopback.

https://mariadb.com/kb/en/mariadb-install-db/ (read 2026-11)
"""

import atexit
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Self

import pymysql
import pytest
from pymysql.constants import CLIENT

from tests.servers.postgres import free_port

PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
USER = "recon"
PASSWORD = "loopback-only"
MEMORY = Path("/dev/shm")
ROOM_BYTES = 1 << 30
START_SECONDS = 30.0
STOP_SECONDS = 20.0
LOCK_SECONDS = 30.0
DISK: Mapping[str, str] = {
    # A process that is killed loses nothing by this, only a machine that loses its power.
    "innodb-flush-method": "nosync",
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-doublewrite": "OFF",
    "sync-frm": "OFF",
    "innodb-log-file-size": "4M",
    "innodb-data-file-path": "ibdata1:4M:autoextend",
    "innodb-temp-data-file-path": "ibtmp1:1M:autoextend",
}
SETTINGS: Mapping[str, str] = {
    **DISK,
    "bind-address": "127.0.0.1",
    "innodb-buffer-pool-size": "24M",
    "key-buffer-size": "1M",
    "max-connections": "60",
    "performance-schema": "OFF",
    "skip-name-resolve": "ON",
    # A night that is somewhere else: what takes the server's own zone for UTC is found out.
    "default-time-zone": "+05:30",
    "character-set-server": "utf8mb4",
}

needed = pytest.mark.skipif(
    shutil.which("mariadbd", path=PLACES) is None, reason="MariaDB is not installed: apt-get install mariadb-server"
)


class MariaServer:
    """`start`, `kill`, `restart`, `stop`, `new_database`, `run`. A context manager too."""

    def __init__(self, *, settings: Mapping[str, str] | None = None) -> None:
        self.settings = {**SETTINGS, **(settings or {})}
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._names = count(1)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Makes the data folder (once) and starts the server; returns when it takes connections."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="recon-maria-", dir=_memory()))
            atexit.register(self.stop)
            self._install()
        for _ in range(3):
            self.port = self.port or free_port()
            if self._launch():
                return
            self.port = 0  # Somebody took the port between the look and the start.
        raise RuntimeError(f"MariaDB did not start; its log ends:\n{self.log()[-2000:]}")

    def kill(self) -> None:
        """As a crash: no word to anybody, the data stays."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """A crash, and the server is back on the same port."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """Ends it, by its id, and deletes the data."""
        self._end(signal.SIGKILL)
        if self._folder is not None:
            folder, self._folder = self._folder, None
            shutil.rmtree(folder, ignore_errors=True)
            atexit.unregister(self.stop)

    def url(self, database: str = "mysql", *, user: str = USER, password: str = PASSWORD, driver: str = "mysql+pymysql") -> str:
        """The URL of one of its databases."""
        return f"{driver}://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self, collation: str = "utf8mb4_general_ci") -> str:
        """A fresh database's URL; by default its texts fold case and accents, as MariaDB has them where nobody says otherwise."""
        name = f"db{next(self._names)}"
        self.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE {collation}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drops it, with whoever is connected to it."""
        name = url.rpartition("/")[2]
        for row in self.run("SELECT id FROM information_schema.processlist WHERE db = %s", [name]):
            with contextlib.suppress(pymysql.Error):
                self.run(f"KILL {int(row[0])}")
        self.run(f"DROP DATABASE IF EXISTS {name}")

    def connect(self, url: str | None = None, **more: Any) -> "pymysql.Connection[Any]":
        """An autocommit connection of the superuser's."""
        words: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD, "autocommit": True}
        if url is not None:
            words["database"] = url.rpartition("/")[2]
        return pymysql.connect(**{**words, "charset": "utf8mb4", "client_flag": CLIENT.MULTI_STATEMENTS, **more})

    def run(self, statement: str, values: Any = None, *, url: str | None = None, zone: str | None = None) -> list[tuple[Any, ...]]:
        """Statements of the superuser's, and the rows of the last; in the database of `url`, in the server's time zone or that of the session."""
        begin = None if zone is None else f"SET time_zone = '{zone}'"
        with contextlib.closing(self.connect(url, init_command=begin)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            rows = list(cursor.fetchall())
            while cursor.nextset():
                rows = list(cursor.fetchall())
            return rows

    def await_a_lock(self, unless: Callable[[], bool] = lambda: False) -> None:
        """Returns once a session waits for another one's lock, or needs not be waited for."""
        until = time.monotonic() + LOCK_SECONDS
        while not unless() and not self.run("SELECT 1 FROM information_schema.innodb_lock_waits"):
            assert time.monotonic() < until, "nobody waits"
            # Asked again within a tenth of a second it gives the old answer, for ever (CACHE_MIN_IDLE_TIME_US in InnoDB's trx0i_s.cc).
            time.sleep(0.15)

    def log(self) -> str:
        """What the server wrote."""
        path = self._folder / "server.log" if self._folder else None
        return path.read_text(errors="replace") if path and path.exists() else ""

    def _install(self) -> None:
        assert self._folder is not None
        words = ["mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", f"--user={_user()}"]
        words += [f"--datadir={self._folder / 'data'}", *(f"--{name}={value}" for name, value in DISK.items())]
        done = subprocess.run(words, capture_output=True, check=False, timeout=60, env=_environ(), cwd=self._folder)
        if done.returncode:
            raise RuntimeError(f"mariadb-install-db failed: {(done.stdout + done.stderr).decode(errors='replace')}")
        setup = (
            f"CREATE OR REPLACE USER {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';",
            f"GRANT ALL ON *.* TO {USER}@'127.0.0.1' WITH GRANT OPTION;",
            "DROP USER root@'127.0.0.1';",  # It has no password.
        )
        (self._folder / "setup.sql").write_text("\n".join(setup))

    def _launch(self) -> bool:
        assert self._folder is not None
        program = shutil.which("mariadbd", path=PLACES)
        assert program is not None
        words = [program, "--no-defaults", f"--datadir={self._folder / 'data'}", f"--user={_user()}", f"--port={self.port}"]
        words += [f"--socket={self._folder / 'socket'}", f"--pid-file={self._folder / 'pid'}"]
        words += [f"--{name}={value}" for name, value in self.settings.items()]
        setup = self._folder / "setup.sql"
        if setup.exists():
            words.append(f"--init-file={setup}")
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environ(), cwd=self._folder)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(pymysql.Error, OSError):
                self.connect(connect_timeout=2).close()
                setup.unlink(missing_ok=True)
                return True
            time.sleep(0.02)
        self._end(signal.SIGKILL)
        return False

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(how)
            process.wait(STOP_SECONDS)


def _memory() -> str | None:
    """A folder in memory, where there is one with room: nothing here is to outlast the machine. None is the usual place."""
    return str(MEMORY) if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES else None


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _environ() -> dict[str, str]:
    return {"PATH": PLACES, "LC_ALL": "C", "TZ": "UTC"}


@cache
def shared() -> MariaServer:
    """The one server of this process, wherever the fixture is imported."""
    server = MariaServer()
    server.start()
    return server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaServer]:
    """One MariaDB server for all tests; skips where there is none."""
    if shutil.which("mariadbd", path=PLACES) is None:
        pytest.skip("MariaDB is not installed: apt-get install mariadb-server")
    yield shared()
    shared().stop()
    shared.cache_clear()


@pytest.fixture
def maria(mariadb: MariaServer) -> Iterator[str]:
    """An empty database's URL (`mysql+pymysql://…`)."""
    url = mariadb.new_database()
    yield url
    mariadb.drop_database(url)
