"""A small project over a scripted third party and a SQLite store, for tests of whole nights through the command line."""

import json
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.acceptance.commands import recon
from tests.servers.fault_server import Answer, Asked, FaultServer, page

TOML = """
[providers.shop]
type = "rest"
base_url = "{url}/"
auth = {{ bearer = {{ env = "SHOP_TOKEN" }} }}
tries = 2
max_wait = "2s"
timeout = "3s"
{resources}
[stores.main]
url = "sqlite:///shop.db"
[publishers.out]
type = "file"
path = "events.jsonl"
[jobs.good]
publisher = "out"
[jobs.bad]
publisher = "out"
"""
RESOURCE = """
[providers.shop.resources.{name}]
path = "{name}"
records = "data"
key = "id"
get = "{name}/{{key}}"
paging = {{ rule = "last_id", param = "after", more = "has_more" }}
"""
JOB = '''
"""{name}: what the shop has."""
from recon import Field, Guard, Job, Table
{name} = Job(
    domain="{name}", provider="shop", resource="{name}", table=Table(name="{name}"), event="{name}", settle=0, store="main",
    guard=Guard(floor={floor}), fields=(Field("status"), Field("amount", "integer")),
)
'''
PAGE = 10
Script = Answer | Callable[[Asked], Answer]


def record(number: int, **changes: Any) -> dict[str, Any]:
    """One item; there are 30 of them."""
    return {"id": f"k{number:02d}", "status": "paid", "amount": 100 + number, **changes}


def listing(records: list[dict[str, Any]]) -> Callable[[Asked], Answer]:
    """Pages of ten, by last id, as an honest server gives them."""

    def answer(asked: Asked) -> Answer:
        after = asked.query.get("after")
        start = 0 if after is None else next(i for i, r in enumerate(records) if r["id"] == after) + 1
        return page({"data": records[start : start + PAGE], "has_more": start + PAGE < len(records)})

    return answer


class Shop:
    """Two domains on one third party: `good` always agrees; `bad` is what a test makes of it."""

    def __init__(self, folder: Path, server: FaultServer, *, floor: int = 20) -> None:
        self.folder = folder
        self.server = server
        self.env: Mapping[str, str] = {"SHOP_TOKEN": "tok_canary_1234567890"}
        self.records = [record(number) for number in range(30)]
        resources = "".join(RESOURCE.format(name=name) for name in ("good", "bad"))
        (folder / "jobs").mkdir()
        (folder / "recon.toml").write_text(TOML.format(url=server.url, resources=resources))
        database = sqlite3.connect(folder / "shop.db")
        for name in ("good", "bad"):
            (folder / f"jobs/{name}.py").write_text(JOB.format(name=name, floor=floor))
            database.execute(f"create table {name} (id text primary key, status text, amount integer)")
            database.executemany(f"insert into {name} values (?,?,?)", [(r["id"], r["status"], r["amount"]) for r in self.records])
            self.serve(name, self.records)
        database.commit()
        database.close()

    def serve(self, name: str, records: list[dict[str, Any]]) -> None:
        """An honest listing and honest reads by id."""
        self.server.on(f"/{name}", listing(records))
        for one in self.records:
            self.server.on(f"/{name}/{one['id']}", Answer(status=404))
        for one in records:
            self.server.on(f"/{name}/{one['id']}", page(one))

    def sql(self, statement: str) -> None:
        """A statement on the store."""
        database = sqlite3.connect(self.folder / "shop.db")
        database.execute(statement)
        database.commit()
        database.close()

    def night(self, *words: str) -> "Outcome":
        """`recon run --all --json`."""
        done = recon("run", *(words or ("--all",)), "--json", cwd=self.folder, env=self.env)
        assert done.stdout, done.stderr
        body = json.loads(done.stdout)
        runs = {one["domain"]: one for one in body.get("runs", [body])}
        file = self.folder / "events.jsonl"
        events = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return Outcome(done.returncode, runs, events, done.stderr)


class Outcome:
    """What a night ended with."""

    def __init__(self, code: int, runs: dict[str, Any], events: list[dict[str, Any]], said: str) -> None:
        self.code = code
        self.good = runs.get("good", {})
        self.bad = runs["bad"]
        self.events = events
        self.said = said

    @property
    def problem(self) -> str:
        """The bad domain's problem, message and way out."""
        found = self.bad["problem"] or {}
        return f"{found.get('message', '')} | {found.get('hint', '')}"
