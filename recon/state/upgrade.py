"""Brings a state database to the newest revision, one process at a time, and refuses one that is newer than this program."""

from pathlib import Path

from sqlalchemy import Column, Connection, Engine, MetaData, PrimaryKeyConstraint, String, Table, inspect, select, text
from sqlalchemy.exc import DBAPIError

from recon import __version__
from recon.errors import StateError, StateTooNew
from recon.state.tables import HEAD, REVISIONS, meta, metadata

VERSION_TABLE = "recon_version"
#: As Alembic makes it.
versions = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)
STORED = text(f"SELECT version_num FROM {VERSION_TABLE}")
# A number of our own for PostgreSQL's advisory lock, held for the length of one migration only (never as a lease).
MIGRATION_LOCK = text("SELECT pg_advisory_xact_lock(7236112384510)")


def to_head(engine: Engine, shown: str) -> None:
    """Migrates where it is needed. A database that is up to date costs one query, and Alembic is not imported."""
    with engine.connect() as conn:
        stored = revision(conn)
        if stored == HEAD:
            return
        refuse_newer(conn, stored, shown)
    # In one transaction, so that a process killed in the middle leaves the old revision, whole.
    with engine.connect() as conn, conn.execution_options(recon_write=True).begin():
        if engine.dialect.name == "postgresql":
            conn.execute(MIGRATION_LOCK)
        stored = revision(conn)
        if stored == HEAD:
            return
        refuse_newer(conn, stored, shown)
        if stored is None:
            _create(conn)
        else:
            _migrate(conn, shown)
        conn.execute(meta.delete().where(meta.c.name == "program"))
        conn.execute(meta.insert().values(name="program", value=__version__))


def revision(conn: Connection) -> str | None:
    """The stored revision; None for a database without one."""
    if conn.dialect.name == "sqlite" or conn.in_nested_transaction():
        try:
            return conn.execute(STORED).scalar_one_or_none()
        except DBAPIError as error:
            if "no such table" in str(error):
                return None
            raise
    # A failed statement would spoil a PostgreSQL transaction, so the catalogue is asked first; and by way of a table of its own, since to
    # open one is what makes a session hear, in the middle of a transaction, of the tables that another one has made.
    asked = text("SELECT oid FROM pg_catalog.pg_class WHERE oid = to_regclass(:name)")
    if conn.execute(asked, {"name": VERSION_TABLE}).scalar_one_or_none() is None:
        return None
    return conn.execute(STORED).scalar_one_or_none()


def refuse_newer(conn: Connection, stored: str | None, shown: str) -> None:
    """Raises StateTooNew for a revision that this program does not know."""
    if stored is None or stored in REVISIONS:
        return
    writer = "a newer version"
    if inspect(conn).has_table(meta.name):
        program = conn.execute(select(meta.c.value).where(meta.c.name == "program")).scalar_one_or_none()
        writer = f"nightly-recon {program}" if program else writer
    msg = f"state database {shown} is at revision {stored}, written by {writer}; this is nightly-recon {__version__}, which knows up to {HEAD}"
    raise StateTooNew(msg, hint=f"run {writer} on this host too, or set [state] url to a database of this version's own")


def _create(conn: Connection) -> None:
    """A new database as it is at the newest revision, at once: every migration one after the other, and Alembic with them, take ten times as long.

    A table of ours that is there already is refused by the database.
    """
    metadata.create_all(conn, checkfirst=False)
    versions.create(conn, checkfirst=True)
    conn.execute(versions.insert().values(version_num=HEAD))


def _migrate(conn: Connection, shown: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    # Config reads % as the start of a reference.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = conn
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        msg = f"state database {shown} could not be brought to revision {HEAD}: {error}"
        raise StateError(msg) from error
