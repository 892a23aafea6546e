"""A consistent copy of a SQLite state while others go on writing; and, for PostgreSQL, the command that makes one."""

import os
import secrets
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

from recon.errors import BadRequest, StateError
from recon.files import local_faults
from recon.state import engine as engines
from recon.state import faults
from recon.state.upgrade import VERSION_TABLE

HEADER = b"SQLite format 3\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A finished copy: where it is, its size, the revision of its tables, and how many runs are in it."""

    file: Path
    bytes: int
    revision: str
    runs: int


def backup(url: str, file: Path) -> Backup:
    """Copies the SQLite state behind `url` into `file`, mode 0600: the old file, or the whole new one, never a part.

    The copy is one read of the database, so it is consistent, whoever writes meanwhile, and nobody waits for it; nothing is migrated.
    It is checked before it takes its place. Raises BadRequest for a state in PostgreSQL (with the command that serves there), for one
    that is not there, and for a `file` that is something else; StateError for a damaged one; LocalFault.
    """
    parsed = engines.make(url).url
    if parsed.get_backend_name() != "sqlite":
        msg = f"the state is in PostgreSQL ({parsed.render_as_string(hide_password=True)}), which makes its own backups"
        raise BadRequest(msg, hint=dump_command(parsed))
    source = Path(parsed.database or "")
    _refuse_wrong_places(source, file)
    with faults.translated(parsed.render_as_string(hide_password=True)), _spare(file) as spare:
        with closing(sqlite3.connect(source, timeout=engines.BUSY_SECONDS)) as reading, closing(sqlite3.connect(spare)) as writing:
            # All pages in one step: a copy in several would begin anew with every write of another process.
            reading.backup(writing, pages=-1)
            # One file, without a log beside it: the switch to write-ahead mode is made again when it is opened.
            writing.execute("PRAGMA journal_mode = DELETE")
            found = _sound(writing, source)
        size = spare.stat().st_size
    return Backup(file=file, bytes=size, revision=found[0], runs=found[1])


def dump_command(url: URL) -> str:
    """What a person types for a PostgreSQL state; the password is left to PGPASSWORD or ~/.pgpass."""
    # Not `url.set`: to it, a password of None means that the old one stays.
    url = url.difference_update_query(["password"])
    plain = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query).render_as_string()
    return f"pg_dump --format=custom --table='recon_*' --file=recon-state.dump {shlex.quote(plain)}"


def _refuse_wrong_places(source: Path, file: Path) -> None:
    if not source.is_file():
        msg = f"there is no state yet: {source}"
        raise BadRequest(msg, hint="the first run makes it; [state] url says where")
    if not file.exists():
        return
    if not file.is_file():
        msg = f"{file} is no file"
        raise BadRequest(msg, hint="name the file that the backup is to be, such as recon-state.db")
    with local_faults(file, "reading"), file.open("rb") as there:
        ours = there.read(len(HEADER)) == HEADER
    if file.samefile(source) or not ours:
        msg = f"{file} is {'the state itself' if ours else 'no SQLite database'}, and is not written over"
        raise BadRequest(msg, hint="name another file: recon state backup recon-state.db")


@contextmanager
def _spare(file: Path) -> Iterator[Path]:
    """A private file beside `file`, which takes its place at the end, and is gone if anything fails."""
    spare = file.with_name(f".{file.name[:100]}.{secrets.token_hex(6)}.part")
    with local_faults(file, "writing"):
        os.close(os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    try:
        yield spare
        with local_faults(file, "writing"):
            _synced(spare)
            spare.replace(file)
            _synced(file.parent)
    except BaseException:
        for left in (spare, spare.with_name(f"{spare.name}-journal")):
            with suppress(OSError):
                left.unlink()
        raise


def _synced(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sound(copy: sqlite3.Connection, source: Path) -> tuple[str, int]:
    """The copy's revision and its number of runs; StateError where it is damaged."""
    said = [row[0] for row in copy.execute("PRAGMA integrity_check(3)")]
    if said != ["ok"]:
        msg = f"state database {source} is damaged, and was not copied: {'; '.join(said)}"
        raise StateError(msg, hint="restore the last good backup (docs/state.md), then look at the disk")
    if copy.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [VERSION_TABLE]).fetchone() is None:
        msg = f"{source} is a SQLite database, and no state of recon's"
        raise BadRequest(msg, hint="[state] url says where the state is")
    revision: str = copy.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()[0]
    runs: int = copy.execute("SELECT count(*) FROM recon_runs").fetchone()[0]
    return revision, runs
