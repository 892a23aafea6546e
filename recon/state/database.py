"""The door to the reconciler's own database: opened once, migrated, and asked in transactions.

Driver errors are translated here and nowhere else: `begin` and `read` let out only `recon.errors` leaves for what a database
or a disk can do wrong.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from recon.clock import Clock
from recon.errors import LocalFault
from recon.files import room_left, way_out
from recon.state import engine as engines
from recon.state import faults, upgrade
from recon.state.tables import moment

SQLITE_NOW = text("SELECT CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000")
# clock_timestamp goes on within a transaction; now() would stand at its start, which may lie before a wait for a lock.
POSTGRES_NOW = text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)")


class State:
    """An open state database, at the newest revision.

    `url` is shown in messages and has its password masked. Given a `clock`, it stands in for the database's own: that is for
    tests and the simulation, which own time; a real run leaves leases and watermarks to the one clock that all hosts share.
    """

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self.engine = engine
        self.url = engine.url.render_as_string(hide_password=True)
        self.dialect = engine.dialect.name
        self._clock = clock

    @classmethod
    def open(cls, url: str, *, clock: Clock | None = None) -> "State":
        """Opens the database behind `url`, creates it where it is a SQLite file that is not there, and migrates it.

        `sqlite:///relative/path` or `sqlite:////absolute/path`; `postgresql://…` in any spelling goes to psycopg.
        Raises StateTooNew for a database of a newer version, StateError for one that cannot be reached or read, LocalFault for
        this machine's part: a folder that cannot be written, a full disk.
        """
        engine = engines.make(url)
        shown = engine.url.render_as_string(hide_password=True)
        try:
            if engine.dialect.name == "sqlite":
                _make_private(Path(engine.url.database or ""))
            with faults.translated(shown):
                upgrade.to_head(engine, shown)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, clock=clock)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One writing transaction: committed at the end, rolled back on any exception.

        On SQLite it takes the write lock at once (`BEGIN IMMEDIATE`), so what is read inside is what is written upon.
        """
        with faults.translated(self.url), self.engine.connect() as conn, conn.execution_options(recon_write=True).begin():
            if self.dialect == "postgresql":
                conn.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {round(engines.IDLE_SECONDS * 1000)}")
            yield conn

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent read: whatever is asked inside sees one state of the database. Rows may be streamed."""
        with faults.translated(self.url), self.engine.connect() as conn:
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True} if self.dialect == "postgresql" else {}
            with conn.execution_options(**options).begin():
                yield conn

    def now(self, conn: Connection | None = None) -> datetime:
        """The database's clock, aware, in UTC; on SQLite it ticks in milliseconds."""
        if self._clock is not None:
            return self._clock.now().astimezone(UTC)
        if conn is None:
            with self.read() as fresh:
                return self.now(fresh)
        value = conn.execute(SQLITE_NOW if self.dialect == "sqlite" else POSTGRES_NOW).scalar_one()
        return moment(int(value))

    def close(self) -> None:
        """Lets go of every connection."""
        try:
            self.engine.dispose()
        except SQLAlchemyError as error:
            raise faults.leaf(error, self.url) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _make_private(path: Path) -> None:
    """The file and its folder, for this user only: the state holds records of customers."""
    folder = path.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            status = os.fstat(handle)
            if status.st_mode & 0o077 and status.st_uid == os.geteuid():
                os.fchmod(handle, 0o600)
        finally:
            os.close(handle)
    except OSError as error:
        msg = f"state database {path}: {error.strerror or error.__class__.__name__}{room_left(path)}"
        raise LocalFault(msg, hint=f"{way_out(error.errno, path)}, or set [state] url to another place") from error
