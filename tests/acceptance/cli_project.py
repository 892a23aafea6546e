"""A small real project for tests of the command line: a third party that is a JSON file, and a SQLite store."""

import json
import logging
import os
import sqlite3
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import cli
from tests import forked

ROOT = Path(__file__).parents[2]

SETTINGS = """[project]
name = "shop"
[providers.shop]
file = "shop.json"
token = { env = "SHOP_TOKEN" }
[stores.main]
url = "sqlite:///app.db"
[publishers.bus]
type = "file"
path = "events.jsonl"
[jobs.orders]
publisher = "bus"
"""
JOB = """from recon import Field, Job, Table

{name} = Job(
    domain="{name}", provider="shop", resource="{name}", table=Table(name="{name}"),
    fields=(Field("status"), Field("total", "integer")), event="order", settle=0, schedule="0 3 * * *",
)
"""
PROVIDER = '''"""A third party that is a JSON file; `down` makes it fail, and its token shows whether messages keep secrets."""

import json

from recon import End, Listing, Lookup, LookupStatus, Meter, Page
from recon.errors import Unreachable


class Shop:
    def __init__(self, section):
        self.name, self.meter = section.name, Meter()
        self.path = section.folder / section.text("file")
        self.token = section.secret("token")
        section.finish()

    def _read(self):
        body = json.loads(self.path.read_text())
        if body.get("down"):
            raise Unreachable(f"GET /orders -> 503 with token {self.token.reveal()}", hint="the shop is down; try again")
        return body

    def resources(self):
        return ["orders", "refunds"]

    def key_path(self, resource):
        return "id"

    def fetch(self, listing: Listing):
        rows = self._read()[listing.resource]
        yield Page(items=[json.dumps(row).encode() for row in rows], end=End("has_more = false on page 1"), total=len(rows))

    def can_get(self, resource):
        return True

    def get_many(self, resource, keys, *, clock):
        rows = {row["id"]: row for row in self._read()[resource]}
        for key in keys:
            if key in rows:
                yield Lookup(key=key, status=LookupStatus.FOUND, item=json.dumps(rows[key]).encode())
            else:
                yield Lookup(key=key, status=LookupStatus.NOT_FOUND, why="404")

    def link(self, resource, key):
        return f"https://admin.shop.example/{resource}/{key}"

    def warnings(self):
        return ["this credential may write, too"]

    def close(self):
        pass
'''
#: No other package's plug-ins, and the same width wherever the tests run.
ALONE = {"RECON_PLUGINS": "none", "COLUMNS": "200"}
TOKEN = "tok_canary_4711_xyz"


@dataclass(slots=True)
class Shop:
    """The project on disk; `recon` runs a command line in it, in a process of its own."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    @classmethod
    def made(cls, folder: Path) -> "Shop":
        """A project with domains orders and refunds, ten items each, equal on both sides."""
        shop = cls(folder, {"SHOP_TOKEN": TOKEN})
        shop.write("recon.toml", SETTINGS)
        for name in ("orders", "refunds"):
            shop.write(f"jobs/{name}.py", JOB.format(name=name))
        shop.write("providers/shop.py", PROVIDER)
        rows = [{"id": f"o{n:03}", "status": "paid", "total": 100 + n} for n in range(10)]
        shop.third_party(orders=rows, refunds=rows)
        with sqlite3.connect(folder / "app.db") as database:
            for table in ("orders", "refunds"):
                database.execute(f"create table {table} (id text primary key, status text, total integer)")
                database.executemany(f"insert into {table} values (:id, :status, :total)", rows)
        database.close()
        return shop

    def write(self, name: str, text: str) -> Path:
        """A file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def third_party(self, **body: Any) -> None:
        """What the third party holds from now on."""
        self.write("shop.json", json.dumps(body))

    def sql(self, statement: str) -> None:
        """A change in the store."""
        with sqlite3.connect(self.folder / "app.db") as database:
            database.execute(statement)
        database.close()

    def drift(self) -> None:
        """Orders: one missing, one extra, one changed."""
        self.sql("delete from orders where id = 'o001'")
        self.sql("insert into orders values ('o999', 'paid', 1)")
        self.sql("update orders set status = 'open' where id = 'o002'")

    def command(self, *words: str) -> list[str]:
        """The command line of this interpreter and this checkout."""
        return [sys.executable, "-m", "recon", *words]

    def environment(self) -> dict[str, str]:
        """The machine's environment without what is recon's, and with this project's own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RECON")}
        return {
            **kept,
            "PYTHONPATH": str(ROOT),
            **ALONE,
            "HOME": str(self.folder / "home"),
            **self.environ,
        }

    def recon(self, *words: str, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
        """Runs a command in the project's folder, to its end."""
        return forked.run(words, cwd=self.folder, env=self.environment(), timeout=timeout, safe=False)


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs command lines in this process, in the project's folder: quicker than a process each, and the same from `run` on."""

    shop: Shop
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: str) -> Said:
        root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook)
        handlers, level = list(root.handlers), root.level
        with self.monkeypatch.context() as patched:
            for name in [name for name in os.environ if name.startswith("RECON")]:
                patched.delenv(name)
            for name, value in {**ALONE, "HOME": str(self.shop.folder / "home"), **self.shop.environ}.items():
                patched.setenv(name, value)
            patched.chdir(self.shop.folder)
            self.capsys.readouterr()
            try:
                code = cli.run(words)
            finally:
                root.handlers[:] = handlers
                root.setLevel(level)
                sys.excepthook, threading.excepthook = hooks
        said = self.capsys.readouterr()
        return Said(code, said.out, said.err)
