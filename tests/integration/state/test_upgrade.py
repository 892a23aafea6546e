"""From each released version's state, with its data in it, to this version's: nothing is lost, and everything goes on from there."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, select, text

from recon.state import upgrade
from recon.state.confirmed import confirmed_at
from recon.state.database import State
from recon.state.tables import HEAD, events, meta, metadata, micros
from tests.acceptance.cli_project import ROOT, Shell
from tests.integration.state.released.shop import DOMAINS, Shop, serving
from tests.servers.fault_server import Answer

RELEASED = Path(__file__).parent / "released"
#: Version to the revision of its state; each has two files of SQL beside `make.py`, which made them.
VERSIONS = {"0.1.0": "0001"}
#: It was left a month ago: leases have run out, and an interrupted run is too old to be gone on with.
MONTH = 30 * 86_400_000_000
AGING = f"update {{0}}recon_runs set started_at = started_at - {MONTH}; update {{0}}recon_leases set expires_at = expires_at - {MONTH}"
KILLED = """
import os, sys
from recon.state import upgrade
from recon.state.database import State
real = upgrade._migrate
def cut(conn, shown):
    real(conn, shown)
    os._exit(137)
upgrade._migrate = cut
State.open(sys.argv[1])
"""


def test_every_released_version_has_its_files() -> None:
    """Both kinds of database for each version that is named, and no file that no test reads."""
    assert {f"{version}.{kind}.sql" for version in VERSIONS for kind in ("sqlite", "postgresql")} == {
        path.name for path in RELEASED.glob("*.sql")
    }


def test_the_files_hold_what_a_night_may_leave() -> None:
    """Runs in every state, plans in every state that lasts, events that wait and that were refused, what a person said, slots."""
    database = sqlite3.connect(":memory:")
    database.executescript((RELEASED / "0.1.0.sqlite.sql").read_text())

    def states(table: str) -> set[str]:
        return {state for (state,) in database.execute(f"select distinct state from {table}")}

    left = "planned fetching sealed diffed confirming held approved rejected expired emitted done failed"
    assert states("recon_runs") == set(left.split())
    assert states("recon_plans") == {"held", "approved", "rejected", "expired", "enqueued"}
    assert states("recon_outbox") == {"waiting", "sent", "dead"}
    assert states("recon_ledger") == {"open", "resolved"}
    assert states("recon_slots") == {"pending", "done", "skipped"}
    assert database.execute("select count(*) from recon_acks where ended_at is null").fetchone() == (1,)
    database.close()


@pytest.fixture(params=[(version, kind) for version in VERSIONS for kind in ("sqlite", "postgresql")], ids="-".join)
def released(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database as the released version left it."""
    version, kind = request.param
    script = (RELEASED / f"{version}.{kind}.sql").read_text()
    if kind == "sqlite":
        path = tmp_path / "released.db"
        database = sqlite3.connect(path)
        database.executescript(script)
        database.executescript(AGING.format(""))
        database.close()
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("database")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(script.encode())
        connection.execute(AGING.format("public.").encode())
    return url


@pytest.fixture
def shop(tmp_path: Path, released: str) -> Iterator[Shop]:
    """The project that the released version worked on, with that state."""
    with serving() as server:
        shop = Shop(tmp_path / "shop", server)
        shop.environ["RECON_STATE_URL"] = released
        yield shop


@pytest.fixture
def recon(shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Command lines in it."""
    return Shell(shop, monkeypatch, capsys)  # type: ignore[arg-type]  # it asks for a folder and an environment, which both shops have


def engine(url: str) -> Any:
    """The database without this program's own opening of it, which would migrate it."""
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


def contents(url: str) -> dict[str, tuple[list[str], list[Any]]]:
    """Table -> its columns, and all its rows in some order that stays."""
    found = {}
    with (made := engine(url)).connect() as conn:
        for table in sorted(inspect(conn).get_table_names()):
            columns = [column["name"] for column in inspect(conn).get_columns(table)]
            rows = [
                tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in conn.execute(text(f"select * from {table}"))
            ]
            found[table] = columns, sorted(rows, key=repr)
    made.dispose()
    return found


def query(url: str, statement: str) -> list[Any]:
    """What a statement answers."""
    with (made := engine(url)).connect() as conn:
        rows = [tuple(row) for row in conn.execute(text(statement))]
    made.dispose()
    return rows


def test_every_row_is_there_afterwards_and_the_schema_is_the_declared_one(released: str) -> None:
    """Each old table's columns hold what they held; Alembic sees no difference to `tables.metadata`."""
    before = contents(released)

    with State.open(released) as state, state.read() as conn:
        context = MigrationContext.configure(conn, opts={"version_table": upgrade.VERSION_TABLE, "compare_server_default": False})
        differences = compare_metadata(context, metadata)
        assert upgrade.revision(conn) == HEAD
    after = contents(released)

    assert differences == []
    assert before[upgrade.VERSION_TABLE][1] == [("0001",)]
    for table, (columns, rows) in before.items():
        if table not in {upgrade.VERSION_TABLE, meta.name}:
            places = [after[table][0].index(column) for column in columns]
            assert sorted((tuple(row[at] for at in places) for row in after[table][1]), key=repr) == rows, table
    assert sum(len(rows) for _, rows in before.values()) > 100


def test_what_was_confirmed_stays_confirmed(released: str) -> None:
    """The moment that the older version wrote beside each event is the one that this version reads."""
    before = query(released, "select id, confirmed_at from recon_events where confirmed_at is not null order by id")

    with State.open(released) as state, state.read() as conn:
        rows = conn.execute(select(events.c.id, confirmed_at().label("at")).order_by(events.c.id)).all()

    assert [(row.id, micros(row.at)) for row in rows if row.at is not None] == before
    assert 0 < len(before) < len(rows)


def test_everything_goes_on_after_the_upgrade(shop: Shop, recon: Shell, released: str) -> None:
    """The held plan is approved, the approved one sent, what waits delivered, and the night after finds all mended and says so."""
    shop.server.on("/slow", Answer(status=200))
    runs = json.loads(recon("runs", "--json").out)
    plan = {
        row[0]: row[1:]
        for row in query(released, "select r.domain, r.id, p.checksum from recon_runs r join recon_plans p on p.run_id = r.id")
    }
    waiting = query(released, "select distinct domain from recon_outbox where state = 'waiting'")

    approved = recon("approve", plan["held"][0], "--plan", plan["held"][1][:8], "--reason", "seen")
    published = recon("publish", "--json")
    sent = recon("run", "approved")
    for domain in DOMAINS:
        for key in ("o001", "o002"):
            shop.mend(domain, key)
        shop.sql(f"delete from {domain} where id = 'o999'")
    night = recon("run", "--all", "--json")

    assert len(runs["runs"]) == 14
    assert {one["domain"] for one in runs["unfinished"]} == {
        "planned",
        "fetching",
        "sealed",
        "diffed",
        "confirming",
        "emitted",
        "held",
        "approved",
    }
    assert sorted(waiting) == [("emitted",), ("waiting",)]
    # The night that follows in the same command finds the same drift again, and is held: nothing has applied the events yet.
    assert (approved.code, published.code, sent.code) == (0, 0, 4), approved.err + published.err + sent.err
    assert query(released, f"select state from recon_runs where id = '{plan['approved'][0]}'") == [("done",)]
    assert query(released, f"select count(*) from recon_outbox where run_id = '{plan['approved'][0]}' and state = 'sent'") == [(3,)]
    assert sum(one["confirmed"] for one in json.loads(published.out)["deliveries"]) == 5
    assert night.code == 0, night.err
    verdicts = {one["domain"]: one["verdict"] for one in json.loads(night.out)["runs"]}
    assert verdicts == dict.fromkeys(DOMAINS, "clean")
    left = dict(query(released, "select domain, state from recon_runs where reason like 'given up%'"))
    assert left == dict.fromkeys(("planned", "fetching", "sealed", "diffed", "confirming"), "failed")
    assert query(released, "select distinct state from recon_ledger") == [("resolved",)]
    assert query(released, "select count(*) from recon_outbox where state = 'waiting'") == [(0,)]
    assert query(released, "select domain, event_id from recon_outbox where state = 'dead'") != []
    assert query(released, "select key from recon_acks where ended_at is null") == []
    assert query(released, "select count(*) from recon_outbox group by event_id, emission having count(*) > 1") == []


def test_an_upgrade_that_is_killed_leaves_the_old_state_whole(released: str) -> None:
    """The process dies when all is migrated and nothing committed: every table is as it was, and the next one to open it upgrades."""
    before = contents(released)

    done = subprocess.run([sys.executable, "-c", KILLED, released], cwd=ROOT, capture_output=True, timeout=60)

    assert done.returncode == 137, done.stderr
    assert contents(released) == before
    with State.open(released) as state, state.read() as conn:
        assert upgrade.revision(conn) == HEAD


def test_an_older_program_says_that_it_is_older(shop: Shop, recon: Shell, released: str) -> None:
    """The command ends with 2 and changes nothing; its two lines name both versions, both revisions and the way out."""
    with State.open(released) as state, state.begin() as conn:
        conn.execute(text(f"UPDATE {upgrade.VERSION_TABLE} SET version_num = '9999'"))
        conn.execute(meta.update().values(value="7.0.1"))
    before = contents(released)

    for words in (("run", "orders"), ("runs",), ("publish",)):
        said = recon(*words)

        assert said.code == 2
        assert "is at revision 9999, written by nightly-recon 7.0.1" in said.err
        assert "run nightly-recon 7.0.1 on this host too" in said.err
        assert len(said.err.strip().splitlines()) == 2
    assert contents(released) == before
