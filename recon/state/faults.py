"""What a driver raises, said again in this system's errors: the one place where the state database's faults are translated."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from recon.errors import LocalFault, ReconError, StateError
from recon.files import crowded, room_left

#: A fragment of SQLite's message -> (whether the machine is at fault, what to say, the way out).
SQLITE_FAULTS = (
    (
        "disk is full",
        True,
        "the disk is full",
        "free some space; nothing of this transaction was kept, and the run goes on from its last state",
    ),
    ("readonly database", True, "the file cannot be written", "give the user that runs recon write access to the file and its folder"),
    ("unable to open", True, "the file cannot be opened", "the folder must exist and be writable for the user that runs recon"),
    (
        "disk i/o error",
        True,
        "the disk answers with an error",
        "look at the system's log for the disk; a network file system cannot hold the state",
    ),
    ("locked", False, "another process has kept it locked for too long", "see `recon runs` for what is at work, then try again"),
    ("not a database", False, "the file is not a SQLite database", "set [state] url to another path, or move this file away"),
    ("malformed", False, "the file is damaged", "restore it from a backup, or move it away: the next run starts a fresh ledger"),
)

#: The class of PostgreSQL's error -> (what to say, or nothing for its own words; the way out).
POSTGRES_FAULTS = {
    "LockNotAvailable": ("another process has kept it locked for too long", "see `recon runs` for what is at work, then try again"),
    "InsufficientPrivilege": (
        "",
        "give this user CREATE on the schema for the upgrade, and SELECT, INSERT, UPDATE and DELETE on the tables recon_*",
    ),
}


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Lets every driver error inside leave as a leaf of `recon.errors`; `url` is masked already."""
    try:
        yield
    except ReconError:
        raise
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise leaf(error, url) from error


def leaf(error: Exception, url: str) -> ReconError:
    """The error to raise for a driver's error."""
    if isinstance(error, PoolTimeout):
        return StateError(f"state database {url}: no free connection within the time allowed", hint="fewer domains at once, or try again")
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    words = " ".join(str(cause).split())[:300]
    if isinstance(cause, sqlite3.Error):
        file = Path(url.partition(":///")[2])
        # Where the last page of its index in memory finds no room, SQLite speaks of an I/O error and not of a full disk.
        said = "disk is full" if "disk i/o error" in words.lower() and crowded(file) else words.lower()
        for fragment, machine, what, hint in SQLITE_FAULTS:
            if fragment in said:
                room = room_left(file) if machine else ""
                return (LocalFault if machine else StateError)(f"state database {url}: {what}{room}", hint=hint)
    if known := POSTGRES_FAULTS.get(cause.__class__.__name__):
        return StateError(f"state database {url}: {known[0] or words}", hint=known[1])
    if "No space left on device" in words:
        return LocalFault(f"state database {url}: its server's disk is full", hint="free some space at the database server, then try again")
    if isinstance(error, DBAPIError) and (
        error.connection_invalidated or error.__class__.__name__ in {"OperationalError", "InterfaceError"}
    ):
        return StateError(
            f"state database {url} cannot be used: {words}", hint="is the server up, and are user and password right? then try again"
        )
    return StateError(f"state database {url}: {cause.__class__.__name__}: {words}")
