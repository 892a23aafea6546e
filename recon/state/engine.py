"""The SQLAlchemy engine of the state database, with what each database needs said to it on connecting."""

import sqlite3
import time
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from recon.errors import BadSetting

BUSY_SECONDS = 120.0
"""How long a SQLite writer waits for another one. They are short, but for a plan: one of a million events takes over a minute."""

LIVENESS = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
"""A server that vanished without a word is noticed within a minute. https://www.postgresql.org/docs/current/libpq-connect.html"""

IDLE_SECONDS = 60.0
"""How long a writing transaction on PostgreSQL may stand idle: a process that is stopped inside one, or whose host is cut off, would
keep its lease's row locked, and nobody could take over. As long as a lease lasts."""

SILENT_SECONDS = 600.0
"""How long PostgreSQL may say nothing at all while it is waited for. Longer than any statement of ours takes, and than any lock is waited for."""

FORMS = "write sqlite:///path/to/state.db or postgresql://user@host/database"


def make(url: str) -> Engine:
    """The engine for a state URL; raises BadSetting for a URL that is none or names another kind of database."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        msg = "[state] url is not a database URL"
        raise BadSetting(msg, hint=FORMS) from None
    backend = parsed.get_backend_name()
    if backend in {"postgresql", "postgres"}:
        return _postgres(parsed)
    if backend != "sqlite":
        msg = f"[state] url: the state is kept in SQLite or PostgreSQL, not in {backend}"
        raise BadSetting(msg, hint=FORMS)
    if not parsed.database or parsed.database == ":memory:" or "mode=memory" in url:
        msg = "[state] url: a state in memory would forget every run"
        raise BadSetting(msg, hint=FORMS)
    return _sqlite(parsed)


def _postgres(url: URL) -> Engine:
    url = url.set(drivername="postgresql+psycopg")
    # hide_parameters, here and below: what is bound are records of customers, and errors reach logs.
    # UTC, so that nothing said by the server depends on its settings; a connection that was cut is found out before it is used.
    # A lock is waited for as long as on SQLite.
    session = f"-c timezone=UTC -c lock_timeout={round(BUSY_SECONDS * 1000)}"
    options = {"options": session, "application_name": "nightly-recon", "connect_timeout": 10, **LIVENESS}
    given = {name: value for name, value in options.items() if name not in url.query}
    engine = create_engine(url, connect_args=given, pool_pre_ping=True, pool_size=4, hide_parameters=True)

    from psycopg.pq import Format

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, args: list[Any], named: dict[str, Any]) -> Any:
        from recon.state.patience import PatientConnection

        connection = PatientConnection.connect(*args, **named)
        connection.patience = SILENT_SECONDS
        return connection

    @event.listens_for(engine, "before_cursor_execute")
    def ask(_conn: Connection, cursor: Any, _statement: str, _parameters: Any, context: Any, _many: Any) -> None:
        if context is not None and context.execution_options.get("recon_bytes", False):
            cursor.format = Format.BINARY

    return engine


def _sqlite(url: URL) -> Engine:
    engine = create_engine(
        url, poolclass=QueuePool, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: Any) -> None:
        # The driver would open transactions of its own, too late and of the wrong kind: `begin` below says BEGIN.
        connection.isolation_level = None
        cursor = connection.cursor()
        _write_ahead(cursor)
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(conn: Connection) -> None:
        write = conn.get_execution_options().get("recon_write", False)
        conn.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Switches to write-ahead logging once; the switch does not wait for others by itself, so it is tried again."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                return
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return
