"""`recon state backup` and `recon state check`: a copy that is whole whoever writes, a night from the copy, and every law seen broken once."""

import json
import os
import shlex
import shutil
import sqlite3
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

from recon.state.tables import HEAD
from tests.acceptance.cli_project import Shell, Shop
from tests.integration.state.test_upgrade import RELEASED
from tests.servers.postgres import PASSWORD, PostgresServer


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A project of two domains, the orders adrift."""
    (tmp_path / "shop").mkdir()
    shop = Shop.made(tmp_path / "shop")
    shop.drift()
    return shop


@pytest.fixture
def recon(shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Command lines in it."""
    return Shell(shop, monkeypatch, capsys)


def events(shop: Shop) -> list[str]:
    """The ids of the events that went out, in order."""
    return [json.loads(line)["id"] for line in (shop.folder / "events.jsonl").read_text().splitlines()]


def test_a_copy_is_of_one_moment_while_others_write(shop: Shop, recon: Shell, tmp_path: Path) -> None:
    """A writer adds two rows a transaction without a pause: each of ten copies has an even number, is whole, private, and alone."""
    recon("run", "orders")
    state, copy = shop.folder / ".recon/state.db", tmp_path / "copy.db"
    done, written = threading.Event(), 0

    def write() -> None:
        nonlocal written
        database = sqlite3.connect(state, isolation_level=None, timeout=30)
        while not done.is_set():
            database.execute("begin immediate")
            for half in ("a", "b"):
                database.execute("insert into recon_meta values (?, ?)", [f"pair {written} {half}", "x" * 500])
            database.execute("commit")
            written += 1
        database.close()

    writer = threading.Thread(target=write)
    writer.start()
    counts = []
    try:
        for _ in range(10):
            said = recon("state", "backup", str(copy), "--json")
            assert said.code == 0, said.err
            with sqlite3.connect(f"file:{copy}?mode=ro", uri=True) as database:
                counts.append(database.execute("select count(*) from recon_meta where name like 'pair%'").fetchone()[0])
                assert database.execute("pragma integrity_check").fetchall() == [("ok",)]
            database.close()
    finally:
        done.set()
        writer.join()
    body = json.loads(said.out)

    assert counts == sorted(counts)
    assert [count % 2 for count in counts] == [0] * 10
    assert written > 10
    assert (body["revision"], body["runs"], body["bytes"]) == (HEAD, 1, copy.stat().st_size)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["copy.db"]


def test_a_night_from_a_restored_copy(shop: Shop, recon: Shell, tmp_path: Path) -> None:
    """Restored as the page says, the state is sound; what was told after the backup is told again, under the same ids."""
    recon("run", "refunds")
    backup = recon("state", "backup", "--json")
    copy = shop.folder / json.loads(backup.out)["file"]
    recon("run", "orders")
    recon("run", "refunds")
    recon("run", "orders")
    for name in ("state.db-wal", "state.db-shm"):
        (shop.folder / ".recon" / name).unlink(missing_ok=True)
    shutil.copy(copy, shop.folder / ".recon/state.db")

    check, runs, night = recon("state", "check"), json.loads(recon("runs", "--json").out)["runs"], recon("run", "orders")

    assert (backup.code, check.code, night.code) == (0, 0, 0)
    assert len(runs) == 1
    assert (len(events(shop)), len(set(events(shop)))) == (9, 3)


def test_a_copy_that_fails_leaves_the_last_one(shop: Shop, recon: Shell, tmp_path: Path) -> None:
    """A damaged state is not copied over a good backup; nothing half-made stays; the way out is said."""
    recon("run", "orders")
    state, copy = shop.folder / ".recon/state.db", tmp_path / "copy.db"
    assert recon("state", "backup", str(copy)).code == 0
    good = copy.read_bytes()
    pages = state.stat().st_size // 4096
    with state.open("r+b") as file:
        for page in range(pages // 2, pages):
            file.seek(page * 4096)
            file.write(os.urandom(256))

    said, checked = recon("state", "backup", str(copy)), recon("state", "check")

    assert said.code == 75
    assert "damaged" in said.err
    assert copy.read_bytes() == good
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["copy.db"]
    assert checked.code in {1, 75}
    assert "restore" in checked.out + checked.err


@pytest.mark.parametrize("name", ["recon.toml", ".recon/state.db", ".", "nowhere/copy.db"])
def test_a_place_that_must_not_be_written_over_is_refused(shop: Shop, recon: Shell, name: str) -> None:
    """The settings, the state itself, a folder, a folder that is not there: refused, and unharmed."""
    recon("run", "orders")
    before = (shop.folder / "recon.toml").read_bytes()

    said = recon("state", "backup", name)

    assert said.code in {2, 75}
    assert "hint" in said.err
    assert (shop.folder / "recon.toml").read_bytes() == before
    assert recon("state", "check").code == 0


def test_where_there_is_no_state_none_is_made(shop: Shop, recon: Shell) -> None:
    """Neither command creates the database that it was asked about."""
    said = recon("state", "backup"), recon("state", "check")

    assert [one.code for one in said] == [2, 2]
    assert all("no state yet" in one.err for one in said)
    assert not (shop.folder / ".recon/state.db").exists()


def test_a_state_in_postgresql_is_dumped_by_the_command_that_is_named(
    shop: Shop, recon: Shell, database: str, postgres: PostgresServer
) -> None:
    """Exit 2 without the password; the very command makes a dump, and a night runs from what it restores."""
    shop.environ["RECON_STATE_URL"] = database
    recon("run", "orders")

    said = recon("state", "backup")
    command = shlex.split(next(line for line in said.err.splitlines() if "pg_dump" in line).partition("hint:")[2])
    command[0] = postgres.binary("pg_dump")
    env = {"PGPASSWORD": PASSWORD, "PATH": os.environ["PATH"]}
    subprocess.run(command, cwd=shop.folder, env=env, check=True, capture_output=True, timeout=60)
    restored = postgres.new_database()
    words = [postgres.binary("pg_restore"), "--dbname", restored, "--no-owner", shop.folder / "recon-state.dump"]
    subprocess.run(words, env=env, check=True, capture_output=True, timeout=60)
    shop.environ["RECON_STATE_URL"] = restored
    check, night = recon("state", "check"), recon("run", "orders")
    shop.environ.pop("RECON_STATE_URL")
    postgres.drop_database(restored)

    assert said.code == 2
    assert PASSWORD not in said.out + said.err
    assert (check.code, night.code) == (0, 0), check.out + night.err
    assert (len(events(shop)), len(set(events(shop)))) == (6, 3)


BREAKS = {
    "nothing waits of a run that sent nothing": "update recon_runs set state = 'rejected'",
    "what was sent had passed its guards": "update recon_plans set state = 'held'",
    "an enqueued plan's events are all there": "delete from recon_outbox",
    "fences only grow": "update recon_leases set fence = 0",
    "one fence, one run": "insert into recon_runs select {copied} from recon_runs limit 1",
    "a held run has a held plan": "update recon_runs set state = 'held'",
    "orphans": "update recon_ledger set last_run = 'gone'",
}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_broken_law_is_found_and_named(shop: Shop, recon: Shell, kind: str, request: pytest.FixtureRequest) -> None:
    """Sound before; each break alone makes that check fail, exit 1, with what to do; sound again once it is undone."""
    url = str(request.getfixturevalue("database")) if kind == "postgresql" else None
    if url is not None:
        shop.environ["RECON_STATE_URL"] = url
    recon("run", "orders")
    assert recon("state", "check").code == 0

    seen = {}
    for law, statement in BREAKS.items():
        undo = broken(shop, url, statement)
        said = recon("state", "check", "--json")
        seen[law] = (said.code, law in {one["name"] for one in json.loads(said.out)["findings"] if one["level"] == "fail"})
        undo()

    assert seen == dict.fromkeys(BREAKS, (1, True))
    said = recon("state", "check")
    assert (said.code, "FAIL" in said.out) == (0, False)


def broken(shop: Shop, url: str | None, statement: str) -> Any:
    """Breaks the state; answers what undoes it: the rows of every table as they were."""
    state = shop.folder / ".recon/state.db"
    connection: Any = sqlite3.connect(state) if url is None else psycopg.connect(url)
    row = connection.execute("select * from recon_runs")
    columns = [column[0] for column in row.description]
    copied = ", ".join("'01ZZZZZZZZZZZZZZZZZZZZZZZZ'" if column == "id" else column for column in columns)
    tables = ("recon_runs", "recon_plans", "recon_outbox", "recon_leases", "recon_ledger")
    kept = {table: connection.execute(f"select * from {table}").fetchall() for table in tables}
    connection.execute(statement.format(copied=copied))
    connection.commit()
    connection.close()

    def undo() -> None:
        back: Any = sqlite3.connect(state) if url is None else psycopg.connect(url)
        if url is not None:
            back.execute("set session_replication_role = replica")
        mark = "?" if url is None else "%s"
        for table, rows in kept.items():
            back.execute(f"delete from {table}")
            for one in rows:
                back.execute(f"insert into {table} values ({', '.join([mark] * len(one))})", one)
        back.commit()
        back.close()

    return undo


def test_a_released_state_is_looked_at_and_copied_before_it_is_upgraded(shop: Shop, recon: Shell, tmp_path: Path) -> None:
    """Neither command migrates: the copy is of the old revision, and both say which it is."""
    (shop.folder / ".recon").mkdir()
    state = shop.folder / ".recon/state.db"
    database = sqlite3.connect(state)
    database.executescript((RELEASED / "0.1.0.sqlite.sql").read_text())
    database.close()

    check, copied = recon("state", "check"), recon("state", "backup", str(tmp_path / "old.db"), "--json")

    assert (check.code, copied.code) == (0, 0)
    assert f"WARN  revision: 0001; this version's is {HEAD}" in check.out
    assert json.loads(copied.out)["revision"] == "0001"
    for file in (state, tmp_path / "old.db"):
        database = sqlite3.connect(file)
        assert database.execute("select version_num from recon_version").fetchall() == [("0001",)]
        database.close()


def test_runs_that_were_left_are_a_warning(shop: Shop, recon: Shell) -> None:
    """A run nobody is at work on is no damage: exit 0, with the command that goes on with it."""
    recon("run", "orders")
    with sqlite3.connect(shop.folder / ".recon/state.db") as database:
        database.execute("update recon_runs set state = 'emitted'")
    database.close()

    said = recon("state", "check")

    assert said.code == 0
    assert "WARN  unfinished: 1 runs were left" in said.out
    assert "recon run orders" in said.out
