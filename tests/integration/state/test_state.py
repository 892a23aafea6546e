"""The state database: created for its user alone, migrated once whoever comes first, refused when newer, and clear when the machine is at fault."""

import os
import re
import sqlite3
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, select, text

from recon import __version__
from recon.errors import BadSetting, LocalFault, StateError, StateTooNew
from recon.state import engine as engines
from recon.state import faults, upgrade
from recon.state.database import State
from recon.state.tables import HEAD, REVISIONS, meta, metadata, micros, moment
from recon.testing.clock import FixedClock

CHILD = Path(__file__).parent / "child.py"
MIGRATIONS = Path(upgrade.__file__).parent / "migrations"


def test_the_revisions_are_those_of_the_migration_files() -> None:
    """The constant that spares Alembic's import says what Alembic would say."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    script = ScriptDirectory.from_config(config)

    assert script.get_heads() == [HEAD]
    assert tuple(reversed([revision.revision for revision in script.walk_revisions()])) == REVISIONS


def test_a_new_database_has_the_tables_as_they_are_declared(url: str) -> None:
    """Every table, column, key and index, as Alembic sees them."""
    with State.open(url) as state, state.read() as conn:
        context = MigrationContext.configure(conn, opts={"version_table": upgrade.VERSION_TABLE, "compare_server_default": False})
        assert compare_metadata(context, metadata) == []
        assert conn.execute(select(meta.c.value)).scalar_one() == __version__


SCHEMA = {
    "sqlite": ["SELECT type, name, replace(sql, '\"', '') FROM sqlite_master"],
    "postgresql": [
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns WHERE table_schema = 'public'",
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT conname, conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
        "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace",
    ],
}


def schema(conn: Connection) -> list[list[str]]:
    """Everything that the database itself says of its tables, in some order that stays; where a column stands in its table is left out."""
    rows = [row for question in SCHEMA[conn.dialect.name] for row in conn.execute(text(question))]
    return sorted(sorted(" ".join(part.split()) for value in row for part in re.split(r"[,()]", str(value))) for row in rows)


def test_a_new_database_is_as_all_the_migrations_would_have_made_it(url: str) -> None:
    """Made at once, it has the tables, columns, keys, checks and indexes that the migrations make one after the other, and their revision."""
    engine = engines.make(url)
    with engine.connect() as conn, conn.execution_options(recon_write=True).begin():
        upgrade._migrate(conn, url)
        migrated, revision = schema(conn), upgrade.revision(conn)
        metadata.drop_all(conn)
        upgrade.versions.drop(conn)
        assert schema(conn) == []
    engine.dispose()

    with State.open(url) as state, state.read() as conn:
        assert schema(conn) == migrated
        assert upgrade.revision(conn) == revision == HEAD


def test_an_open_database_is_opened_again_without_alembic(tmp_path: Path) -> None:
    """At the newest revision nothing is migrated, and the import that costs a quarter of a second is not made."""
    url = f"sqlite:///{tmp_path}/state.db"
    State.open(url).close()
    script = f"import sys; from recon.state.database import State; State.open({url!r}).close(); print('alembic' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=CHILD.parents[3])

    assert done.stdout.strip() == "False"


def test_four_processes_that_open_an_empty_database_at_once_all_succeed(url: str) -> None:
    """One migrates, the others wait for it."""
    words = [sys.executable, CHILD, "open", url]
    children = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()

    results = [child.communicate(timeout=60) for child in children]

    assert [out.strip() for out, _ in results] == ["opened"] * 4, results
    with State.open(url) as state, state.read() as conn:
        assert upgrade.revision(conn) == HEAD


def test_a_beginning_that_is_cut_short_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one transaction: killed in the middle, the database is as it was, and the next process begins anew."""
    real = upgrade._create

    def cut(conn) -> None:
        real(conn)
        raise KeyboardInterrupt

    monkeypatch.setattr(upgrade, "_create", cut)
    with pytest.raises(KeyboardInterrupt):
        State.open(url)
    monkeypatch.undo()

    with State.open(url) as state, state.read() as conn:
        assert upgrade.revision(conn) == HEAD


def test_a_newer_database_is_refused_with_both_versions(url: str) -> None:
    """The message names what wrote it, what this is, and the way out; nothing is changed."""
    with State.open(url) as state, state.begin() as conn:
        conn.execute(text(f"UPDATE {upgrade.VERSION_TABLE} SET version_num = '9999'"))
        conn.execute(meta.update().values(value="7.0.1"))

    with pytest.raises(StateTooNew) as refused:
        State.open(url)

    message = refused.value.message
    assert "revision 9999, written by nightly-recon 7.0.1" in message
    assert f"this is nightly-recon {__version__}, which knows up to {HEAD}" in message
    assert "run nightly-recon 7.0.1" in (refused.value.hint or "")
    assert refused.value.exit_code == 2


def test_the_file_and_its_folder_are_for_their_user_alone(tmp_path: Path) -> None:
    """0700 and 0600, whatever the umask; the write-ahead log takes after the file; a file that was open to others is closed."""
    before = os.umask(0)
    try:
        state = State.open(f"sqlite:///{tmp_path}/new/state.db")
    finally:
        os.umask(before)
    with state, state.begin() as conn:
        conn.execute(insert(meta).values(name="x", value="y"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}
    assert "state.db-wal" in modes

    (tmp_path / "new/state.db").chmod(0o644)
    State.open(f"sqlite:///{tmp_path}/new/state.db").close()
    assert stat.S_IMODE((tmp_path / "new/state.db").stat().st_mode) == 0o600


def test_sqlite_is_durable_and_write_ahead(tmp_path: Path) -> None:
    """WAL, synchronous FULL and foreign keys hold on every connection."""
    with State.open(f"sqlite:///{tmp_path}/state.db") as state, state.read() as conn:
        pragmas = {name: conn.execute(text(f"PRAGMA {name}")).scalar_one() for name in ("journal_mode", "synchronous", "foreign_keys")}

    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_the_databases_clock_is_near_the_machines(url: str) -> None:
    """Aware, in UTC, and right to a second on this one machine; on PostgreSQL it goes on within a transaction."""
    with State.open(url) as state:
        assert abs(state.now() - datetime.now(UTC)) < timedelta(seconds=1)
        with state.begin() as conn:
            first = state.now(conn)
            while (second := state.now(conn)) == first:
                pass
            assert second > first


def test_a_given_clock_stands_in_for_the_databases(tmp_path: Path) -> None:
    """For the simulation, which owns time."""
    clock = FixedClock()
    with State.open(f"sqlite:///{tmp_path}/state.db", clock=clock) as state:
        assert state.now() == clock.now()


def test_a_transaction_that_raises_leaves_nothing(url: str) -> None:
    """Whatever the exception."""
    with State.open(url) as state:
        with pytest.raises(ZeroDivisionError), state.begin() as conn:
            conn.execute(insert(meta).values(name="x", value="y"))
            raise ZeroDivisionError
        with state.read() as conn:
            assert conn.execute(select(meta.c.name).where(meta.c.name == "x")).all() == []


def test_a_read_sees_one_state_of_the_database(url: str) -> None:
    """What is committed while it lasts is not seen in it."""
    with State.open(url) as state, state.read() as reading:
        before = reading.execute(select(meta)).all()
        with state.begin() as conn:
            conn.execute(insert(meta).values(name="x", value="y"))

        assert reading.execute(select(meta)).all() == before


def test_times_keep_their_microseconds_and_demand_a_zone() -> None:
    """Whole microseconds, also before the epoch and far away, without the rounding of floating point."""
    for at in (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), datetime(2283, 3, 4, 5, 6, 7, 123_457, tzinfo=UTC)):
        assert moment(micros(at)) == at
    with pytest.raises(ValueError, match="without a zone"):
        micros(datetime(2026, 1, 1))


@pytest.mark.parametrize(
    "bad", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true", "mysql://host/db", "no url at all"]
)
def test_a_url_that_cannot_hold_the_state_is_a_wrong_setting(bad: str) -> None:
    """Refused before anything is opened, with the forms that serve."""
    with pytest.raises(BadSetting) as refused:
        State.open(bad)

    assert "sqlite:///path" in (refused.value.hint or "")


def test_a_password_is_never_shown(postgres) -> None:
    """Neither in the state's own words nor in those of a failed connection."""
    with pytest.raises(StateError) as failed:
        State.open("postgresql://recon:canary-7Q@127.0.0.1:1/none")

    assert "canary-7Q" not in f"{failed.value.message} {failed.value.hint}"
    with State.open(postgres.url()) as state:
        assert "loopback-only" not in state.url


def test_values_are_never_shown_in_a_databases_complaint(url: str) -> None:
    """A constraint that is broken names the constraint; the customer's record stays out of the message."""
    with State.open(url) as state:
        with pytest.raises(StateError) as failed, state.begin() as conn:
            conn.execute(insert(meta), [{"name": "x", "value": "canary-7Q"}, {"name": "x", "value": "canary-7Q"}])

        assert "canary-7Q" not in failed.value.message
        cause = failed.value.__cause__
        assert "canary-7Q" not in str(cause)


def test_a_folder_that_cannot_be_made_is_this_machines_fault(tmp_path: Path) -> None:
    """A file where the folder should be: the message names the path, and the hint says what to do."""
    (tmp_path / "blocked").write_text("a file")

    with pytest.raises(LocalFault) as failed:
        State.open(f"sqlite:///{tmp_path}/blocked/state.db")

    assert "blocked" in failed.value.message
    assert "is a file and not a folder" in (failed.value.hint or "")
    assert failed.value.exit_code == 75


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    """Somebody's notes under the state's name are left alone."""
    path = tmp_path / "state.db"
    path.write_text("these are my notes " * 100)

    with pytest.raises(StateError, match="not a SQLite database"):
        State.open(f"sqlite:///{path}")

    assert path.read_text().startswith("these are my notes")


def test_a_full_disk_loses_the_transaction_and_nothing_else(tmp_path: Path) -> None:
    """The disk's end is played by SQLite's own page limit; what was committed before stays readable, and the run can go on."""
    with State.open(f"sqlite:///{tmp_path}/state.db") as state:
        with state.begin() as conn:
            conn.execute(insert(meta).values(name="kept", value="1"))
        with pytest.raises(LocalFault) as failed, state.begin() as conn:
            pages = conn.execute(text("PRAGMA page_count")).scalar_one()
            conn.execute(text(f"PRAGMA max_page_count = {pages}"))
            conn.execute(insert(meta), [{"name": f"n{n}", "value": "x" * 2000} for n in range(100)])

        assert "the disk is full" in failed.value.message
        with state.read() as conn:
            assert conn.execute(select(meta.c.name).where(meta.c.name.in_(["kept", "n0"]))).scalars().all() == ["kept"]


@pytest.mark.parametrize(
    ("free", "says", "way"), [(524_288, "the disk is full", "free some space"), (10**9, "answers with an error", "log")]
)
def test_an_io_error_on_a_disk_without_room_is_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, says: str, way: str
) -> None:
    """SQLite calls it an I/O error where its shared memory finds no room: the way out is to make room, and not the system's log."""
    monkeypatch.setattr("recon.files.shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    error = faults.leaf(sqlite3.OperationalError("disk I/O error"), f"sqlite:///{tmp_path}/state.db")
    assert says in error.message
    assert way in (error.hint or "")


@pytest.mark.skipif(
    not (os.geteuid() == 0 and Path("/proc/filesystems").read_text().find("tmpfs") >= 0), reason="mounting a small tmpfs needs root"
)
def test_a_really_full_disk_says_so(tmp_path: Path) -> None:
    """A tmpfs of one mebibyte: the words of the kernel reach the person, on creation and on writing."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    try:
        with State.open(f"sqlite:///{disk}/state.db") as state:
            with pytest.raises(LocalFault) as failed, state.begin() as conn:
                conn.execute(insert(meta), [{"name": f"n{n}", "value": "x" * 2000} for n in range(2000)])
            assert "disk" in failed.value.message
            with state.read() as conn:
                assert conn.execute(select(meta.c.name)).scalars().all() == ["program"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_user_without_rights_is_told_which_are_wanted(postgres) -> None:
    """On a database where it may not create a table."""
    url = postgres.new_database()
    name = url.rpartition("/")[2]
    with postgres.connect() as admin:
        admin.execute("CREATE ROLE poor LOGIN PASSWORD 'poor'")
    try:
        with pytest.raises(StateError, match="permission denied") as failed:
            State.open(postgres.url(name, user="poor", password="poor"))
        assert "CREATE on the schema" in (failed.value.hint or "")
    finally:
        postgres.drop_database(url)
        with postgres.connect() as admin:
            admin.execute("DROP ROLE poor")


def test_a_server_that_goes_away_is_a_state_error(postgres) -> None:
    """The connection is cut in the middle of a transaction: the error says what to look at, and the next transaction works again."""
    url = postgres.new_database()
    with State.open(url) as state:
        with pytest.raises(StateError) as failed, state.begin() as conn:
            pid = conn.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with postgres.connect() as admin:
                admin.execute("SELECT pg_terminate_backend(%s)", (pid,))
            conn.execute(select(meta)).all()
        assert failed.value.exit_code == 75
        assert "is the server up" in (failed.value.hint or "")
        with state.begin() as conn:
            assert conn.execute(select(meta)).all()
    postgres.drop_database(url)
