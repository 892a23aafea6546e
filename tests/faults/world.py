"""A small world for one fault: a third party over HTTP, a store, a state database, a file of events, and a consumer that follows the rules."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.servers.fault_server import Answer, Asked, FaultServer, page

TOML = """
[engine]
threads = 1
{state}
[providers.shop]
type = "rest"
base_url = "{url}/"
tries = 2
max_wait = "1s"
timeout = "{timeout}"
concurrency = 1
[providers.shop.resources.orders]
path = "orders"
records = "data"
key = "id"
get = "orders/{{key}}"
paging = {{ rule = "last_id", param = "after", more = "has_more" }}
[stores.main]
url = "{store}"
[publishers.bus]
{bus}
[jobs.orders]
publisher = "bus"
"""
JOB = '''"""Orders: what the shop has."""
from recon import Field, Guard, Job, Table
orders = Job(
    domain="orders", provider="shop", resource="orders", table=Table(name="orders"), event="order", settle=0,
    guard=Guard(floor={floor}), fields=(Field("status"), Field("amount", "integer")),
)
'''
FILE_BUS = 'type = "file"\npath = "events.jsonl"'
PAGE = 3
RECORDS = [{"id": f"k{number:02d}", "status": "paid", "amount": 100 + number} for number in range(9)]
DRIFT = (
    "delete from orders where id = 'k01'",
    "insert into orders values ('k90', 'paid', 190)",
    "update orders set status = 'open' where id = 'k02'",
)
"""One missing, one extra, one changed."""
WIPE = ("delete from orders where id > 'k03'",)
"""Five of nine are missing: too many for a floor of three."""


def third_party(server: FaultServer, records: Iterable[dict[str, Any]] = RECORDS) -> None:
    """An honest API: pages of three by last id, and reads by id."""
    held = {record["id"]: record for record in records}
    ids = sorted(held)

    def listing(asked: Asked) -> Answer:
        after = asked.query.get("after", "")
        rest = [name for name in ids if name > after]
        return page({"data": [held[name] for name in rest[:PAGE]], "has_more": len(rest) > PAGE})

    server.on("/orders", listing)
    for name in ids:
        server.on(f"/orders/{name}", page(held[name]))


@dataclass
class World:
    """A project in a folder of its own. Everything that is asked of it here is read without the engine's code."""

    folder: Path
    records: list[dict[str, Any]] = field(default_factory=lambda: list(RECORDS))
    #: The state database, where it is PostgreSQL.
    postgres: str = ""

    @classmethod
    def made(
        cls,
        folder: Path,
        url: str,
        *,
        floor: int = 20,
        state: str = "",
        store: str = "sqlite:///shop.db",
        bus: str = FILE_BUS,
        timeout: str = "5s",
    ) -> "World":
        """A fresh one, whose two sides agree."""
        (folder / "jobs").mkdir(parents=True)
        table = f'[state]\nurl = "{state}"' if state else ""
        (folder / "recon.toml").write_text(TOML.format(url=url, state=table, store=store, bus=bus, timeout=timeout))
        (folder / "jobs/orders.py").write_text(JOB.format(floor=floor))
        world = cls(folder)
        world.sql("create table orders (id text primary key, status text, amount integer)")
        with closing(sqlite3.connect(folder / "shop.db")) as database:
            database.executemany("insert into orders values (:id, :status, :amount)", RECORDS)
            database.commit()
        return world

    def copied(self, folder: Path) -> "World":
        """The same world again, elsewhere."""
        shutil.copytree(self.folder, folder)
        return World(folder, self.records)

    def sql(self, *statements: str, database: str = "shop.db") -> None:
        """Statements on the store, or on another of its databases."""
        with closing(sqlite3.connect(self.folder / database, timeout=30)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    def state(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the state database; none where it has no such table yet."""
        if self.postgres:
            with psycopg.connect(self.postgres, autocommit=True) as connection:
                try:
                    return connection.execute(query).fetchall()
                except psycopg.errors.UndefinedTable:
                    return []
        path = self.folder / ".recon/state.db"
        if not path.exists():
            return []
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            try:
                return connection.execute(query).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise

    def a_minute_passes(self) -> None:
        """The leases of the dead run out."""
        if not self.state("select 1 from recon_leases"):
            return
        if self.postgres:
            with psycopg.connect(self.postgres, autocommit=True) as connection:
                connection.execute("update recon_leases set expires_at = 0 where owner is not null")
        else:
            self.sql("update recon_leases set expires_at = 0 where owner is not null", database=".recon/state.db")

    def fence(self) -> int:
        """The domain's fence."""
        return max((row[0] for row in self.state("select fence from recon_leases where domain = 'orders'")), default=0)

    def run(self) -> tuple[str, str] | None:
        """The newest run: its id and where it stands."""
        rows = self.state("select id, state from recon_runs order by id desc limit 1")
        return rows[0] if rows else None

    def lines(self) -> list[bytes]:
        """The events on the bus, whole lines only: a torn one is what a crash leaves, and consumers pass over it."""
        path = self.folder / "events.jsonl"
        found = path.read_bytes().split(b"\n") if path.exists() else []
        return [line for line in found if line and _whole(line)]

    def events(self) -> list[dict[str, Any]]:
        """The same, read."""
        return [json.loads(line) for line in self.lines()]

    def rows(self) -> dict[str, tuple[Any, ...]]:
        """What the store holds."""
        with closing(sqlite3.connect(self.folder / "shop.db")) as database:
            return {row[0]: row[1:] for row in database.execute("select id, status, amount from orders")}

    def consume(self, events: list[dict[str, Any]] | None = None) -> dict[str, tuple[Any, ...]]:
        """What the store would hold once a consumer that takes each id once has applied the events."""
        rows = self.rows()
        seen: set[str] = set()
        for event in self.events() if events is None else events:
            if event["id"] in seen:
                continue
            seen.add(event["id"])
            data = event["data"]
            if data["op"] == "deleted":
                rows.pop(data["key"], None)
            else:
                rows[data["key"]] = (data["state"]["status"], data["state"]["amount"])
        return rows

    def truth(self) -> dict[str, tuple[Any, ...]]:
        """What the third party holds."""
        return {one["id"]: (one["status"], one["amount"]) for one in self.records}


def _whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def every(server: FaultServer, hook: Callable[[Asked], Answer | None]) -> None:
    """Lets `hook` see each request to the listing first, and answer it instead."""
    honest = server._scripts["/orders"]
    server.on("/orders", lambda asked: hook(asked) or honest(asked))
