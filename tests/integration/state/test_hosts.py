"""Two hosts, each with a project folder and a disk of its own, on one PostgreSQL: what one leaves when it dies, the other brings to its end."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.commands import ROOT
from tests.acceptance.shop import PAGE, Shop
from tests.servers.fault_server import FaultServer

CHILD = Path(__file__).parent / "host.py"
DEAD = 137
#: Thirty items in pages of ten, of which the store lacks two and holds one otherwise.
DRIFT = {"k03": "missing", "k17": "missing", "k21": "changed"}


class Hosts:
    """One third party, one store, one file that events go to, one state; and hosts by name, each with its own folder."""

    def __init__(self, folder: Path, server: FaultServer, database: str, *, floor: int) -> None:
        (folder / "shared").mkdir()
        self.shop = Shop(folder / "shared", server, floor=floor)
        self.shop.sql("delete from bad where id in ('k03', 'k17')")
        self.shop.sql("update bad set status = 'open' where id = 'k21'")
        self.folder = folder
        self.database = database

    def home(self, name: str) -> Path:
        """The host's project: the same files, and a disk that no other host sees."""
        home = self.folder / name
        if not home.exists():
            shutil.copytree(self.shop.folder / "jobs", home / "jobs")
            toml = (self.shop.folder / "recon.toml").read_text()
            toml = toml.replace("sqlite:///shop.db", f"sqlite:///{self.shop.folder}/shop.db")
            (home / "recon.toml").write_text(toml.replace('"events.jsonl"', f'"{self.shop.folder}/events.jsonl"'))
        return home

    def __call__(self, name: str, stage: str, *words: str) -> "subprocess.CompletedProcess[str]":
        """A command line on a host that dies at the stage."""
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
        home = self.home(name)
        env = {**kept, **self.shop.env, "HOME": str(home), "PYTHONPATH": str(ROOT), "RECON_STATE_URL": self.database}
        line = [sys.executable, "-P", str(CHILD), name, stage, *words]
        done = subprocess.run(line, cwd=home, env=env, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        assert (done.returncode == DEAD) is (stage != "-"), done.stderr
        if stage != "-":
            # What a minute or two of waiting does: the dead host's leases run out.
            self.sql("update recon_leases set expires_at = 0")
        return done

    def figures(self, name: str, *words: str) -> dict[str, Any]:
        """The figures of a command that comes to its end."""
        done = self(name, "-", *words, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def sql(self, statement: str) -> list[Any]:
        """A statement on the state."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def run(self) -> dict[str, Any]:
        """The newest run as the database has it."""
        columns = "id", "state", "owner", "host", "folder", "watermark", "resumes", "whole"
        (row,) = self.sql(f"select {', '.join(columns)} from recon_runs order by id desc limit 1")
        return dict(zip(columns, row, strict=True))

    @property
    def sent(self) -> list[str]:
        """The keys of the events that went out, in order of the key."""
        file = self.shop.folder / "events.jsonl"
        events = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        assert len({event["id"] for event in events}) == len(events), "an event went out twice"
        return sorted(event["data"]["key"] for event in events)

    @property
    def pages_asked(self) -> int:
        """How many pages of the listing the third party has been asked for so far."""
        return sum(asked.path == "/bad" for asked in self.shop.server.requests)


@pytest.fixture
def hosts(tmp_path: Path, database: str, request: pytest.FixtureRequest) -> Iterator[Hosts]:
    """Hosts on one PostgreSQL; the parameter is the guard's floor."""
    with FaultServer() as server:
        yield Hosts(tmp_path, server, database, floor=getattr(request, "param", 20))


@pytest.mark.parametrize("stage", ["planned", "pages:2", "sealed", "diffed", "confirming"])
def test_a_dead_hosts_run_goes_on_elsewhere_from_a_fetch_of_its_own(hosts: Hosts, stage: str) -> None:
    """Dead before it sent anything: the same run is fetched again whole, under a later watermark, and corrects each item once."""
    hosts("alpha", stage, "run", "bad")
    left, asked = hosts.run(), hosts.pages_asked

    figures = hosts.figures("beta", "run", "bad")
    run = hosts.run()

    assert (figures["run"], run["resumes"], run["state"]) == (left["id"], 1, "done")
    assert (run["host"], run["owner"].partition(":")[0], run["folder"]) == (
        "beta",
        "beta",
        str(hosts.home("beta") / f".recon/runs/{run['id']}"),
    )
    assert left["watermark"] is None or run["watermark"] > left["watermark"]
    assert hosts.pages_asked - asked == 3
    coverage = figures["coverage"]
    assert (coverage["whole"], coverage["resumed"], coverage["records"], coverage["pages"]) == (True, False, 30, 3)
    assert ("fetched again, what alpha had fetched lies on its disk" in coverage["proof"]) is (stage != "planned")
    assert (figures["missing"], figures["extra"], figures["changed"]) == (2, 0, 1)
    assert hosts.sent == sorted(DRIFT)


def test_pages_of_a_fetch_that_another_host_has_begun_anew_are_not_gone_on_from(hosts: Hosts) -> None:
    """Dead, fetched again elsewhere, dead there too: back at home the old pages stand before the newer watermark, and are fetched again.

    Else an item that moved between the old page and the newer watermark would pass for one that stood still.
    """
    hosts("alpha", "pages:2", "run", "bad")
    first = hosts.run()["watermark"]
    hosts("beta", "pages:1", "run", "bad")
    second, asked = hosts.run()["watermark"], hosts.pages_asked

    figures = hosts.figures("alpha", "run", "bad")

    assert first < second < hosts.run()["watermark"]
    assert hosts.pages_asked - asked == 3
    assert (figures["coverage"]["whole"], figures["coverage"]["resumed"], figures["coverage"]["records"]) == (True, False, 30)
    assert hosts.sent == sorted(DRIFT)


def test_a_host_that_comes_back_to_its_own_pages_goes_on_from_them(hosts: Hosts) -> None:
    """Nobody else went on with it meanwhile: the pages on its disk serve, under the watermark that was taken before them."""
    hosts("alpha", "pages:2", "run", "bad")
    left, asked = hosts.run(), hosts.pages_asked

    figures = hosts.figures("alpha", "run", "bad")

    assert hosts.run()["watermark"] == left["watermark"]
    assert hosts.pages_asked - asked == 3 - 2
    assert figures["coverage"]["resumed"] is True
    assert "fetched again" not in figures["coverage"]["proof"]
    assert hosts.sent == sorted(DRIFT)


def test_what_a_dead_host_had_put_into_the_outbox_is_delivered_by_another(hosts: Hosts) -> None:
    """Dead between EMITTED and the first delivery: the other host finishes that run, asks the third party for nothing of it, and then looks anew."""
    hosts("alpha", "emitted", "run", "bad")
    left, asked = hosts.run(), hosts.pages_asked

    hosts.figures("beta", "run", "bad")
    (state, whole, events) = hosts.sql(
        f"select r.state, r.whole, p.events from recon_runs r join recon_plans p on p.run_id = r.id where r.id = '{left['id']}'"
    )[0]

    assert (left["state"], state, whole, events) == ("emitted", "done", True, 3)
    assert hosts.run()["id"] > left["id"], "a new night began after it"
    assert hosts.pages_asked - asked == 3
    # The night after finds the same three still there (nothing applies the events), and sends the same events again.
    file = hosts.shop.folder / "events.jsonl"
    ids = [json.loads(line)["id"] for line in file.read_text().splitlines()]
    assert (len(ids), len(set(ids))) == (6, 3)


@pytest.mark.parametrize("hosts", [1], indirect=True)
def test_a_plan_that_a_dead_host_held_is_approved_and_sent_from_another(hosts: Hosts) -> None:
    """Dead with the plan held; approved on a second host that dies at once; sent, once, by a third."""
    hosts("alpha", "held", "run", "bad")
    held = hosts.run()
    ((checksum,),) = hosts.sql("select checksum from recon_plans")

    hosts("beta", "approved", "approve", held["id"], "--plan", checksum[:8], "--reason", "seen in the dashboard")
    approved = hosts.run()
    assert hosts.sent == []
    hosts("gamma", "-", "run", "bad")
    ended = hosts.sql(f"select state from recon_runs where id = '{held['id']}'")

    assert (held["state"], approved["state"], ended) == ("held", "approved", [("done",)])
    assert hosts.sent == sorted(DRIFT)


def test_two_live_hosts_share_the_domains_and_neither_takes_the_others(hosts: Hosts) -> None:
    """While alpha holds one domain, beta is told who is at work on it (exit 75) and runs the other one."""
    hosts("alpha", "pages:2", "run", "bad")
    hosts.sql("update recon_leases set expires_at = expires_at + 9000000000000000")

    refused = hosts("beta", "-", "run", "bad")
    other = hosts.figures("beta", "run", "good")

    assert refused.returncode == 75
    assert "alpha:" in refused.stdout + refused.stderr
    assert (other["verdict"], other["coverage"]["records"]) == ("clean", 3 * PAGE)
