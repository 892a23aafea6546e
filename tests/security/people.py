"""A project whose one domain, `people`, is keyed by mail address: a real third party, store and receiver on loopback, with every kind of secret."""

import json
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.acceptance.commands import recon
from tests.servers.fault_server import Answer, Asked, FaultServer, page
from tests.servers.receiver import Receiver

TOML = """
[providers.crm]
type = "rest"
base_url = "{url}/"
auth = {auth}
tries = 2
max_wait = "1s"
timeout = "5s"
{provider}
[providers.crm.resources.people]
path = "people"
records = "data"
key = "email"
get = "people/{{key}}"
paging = {{ rule = "last_id", param = "after", more = "more" }}
[stores.main]
url = {store}
[publishers.bus]
type = "webhook"
url = "{bus}"
secret = {{ env = "HOOK_SECRET" }}
{publisher}
[jobs.people]
publisher = "bus"
{tail}
"""
JOB = '''
"""People, by their address."""
from recon import Field, Guard, Job, Json, Table
def tidy(name):
    if "refuse" in name:
        raise ValueError("no such name: " + name)
    return name.strip()
people = Job(
    domain="people", provider="crm", resource="people", table=Table(name="people", key="email"), event="person", settle=0,
    personal_key={personal}, guard=Guard(floor={floor}),
    fields=(
        Field("name", personal={personal}, normalize=tidy), Field("address", Json(), personal={personal}),
        Field("phone", "integer", personal={personal}), Field("plan"),
    ),
)
'''
SIGNING = "whsec_" + "QTZjYW5hcnlIb29rU2VjcmV0QTZjYW5hcnlIb29rU2U="
PAGE = 10


def person(number: int, **changes: Any) -> dict[str, Any]:
    """One of them; every personal value has `zq` and the number in it."""
    return {
        "email": f"zq.mail{number:02d}@people.example",
        "name": f"Zqname{number:02d} O'Canary",
        "address": {"street": f"Zqstreet {number:02d}", "city": f"Zqcity{number:02d}"},
        "phone": 4670000000 + number,
        "plan": "gold" if number % 2 else "basic",
        **changes,
    }


class People:
    """The project in `folder`. `records` is what the third party holds; the table begins with the same."""

    def __init__(
        self,
        folder: Path,
        server: FaultServer,
        receiver: Receiver,
        *,
        personal: bool = True,
        floor: int = 50,
        auth: str = '{ bearer = { env = "CRM_TOKEN" } }',
        store: str = '"sqlite:///crm.db"',
        bus: str | None = None,
        provider: str = "",
        publisher: str = "",
        tail: str = "",
    ) -> None:
        self.folder = folder
        self.server = server
        self.env = {"CRM_TOKEN": "crm_token_of_the_tests_0001", "HOOK_SECRET": SIGNING}
        self.records = [person(number) for number in range(30)]
        (folder / "jobs").mkdir()
        (folder / "jobs/people.py").write_text(JOB.format(personal=personal, floor=floor))
        (folder / "recon.toml").write_text(
            TOML.format(url=server.url, auth=auth, store=store, bus=bus or receiver.url, provider=provider, publisher=publisher, tail=tail)
        )
        database = sqlite3.connect(folder / "crm.db")
        database.execute("create table people (email text, name text, address text, phone text, plan text)")
        database.executemany("insert into people values (?,?,?,?,?)", [row(one) for one in self.records])
        database.commit()
        database.close()
        #: Addresses whose read by id is answered so.
        self.by_id: dict[str, Callable[[Asked], Answer]] = {}
        server.on("*", self.answer)

    def answer(self, asked: Asked) -> Answer:
        """The third party."""
        if asked.path == "/people":
            after = asked.query.get("after")
            start = 0 if after is None else next(n for n, one in enumerate(self.records) if one["email"] == after) + 1
            return page({"data": self.records[start : start + PAGE], "more": start + PAGE < len(self.records)})
        key = unquote(asked.path.removeprefix("/people/"))
        if key in self.by_id:
            return self.by_id[key](asked)
        found = [one for one in self.records if one["email"] == key]
        return page(found[0]) if found else Answer(status=404)

    def sql(self, statement: str, *values: Any) -> None:
        """A statement on the store."""
        database = sqlite3.connect(self.folder / "crm.db")
        database.execute(statement, values)
        database.commit()
        database.close()

    def recon(self, *words: object) -> "subprocess.CompletedProcess[str]":
        """One command in the project."""
        return recon(*words, cwd=self.folder, env=self.env)

    def run(self, *words: object) -> dict[str, Any]:
        """`recon run people --json`; its document, with what was said on stderr under `said`."""
        done = self.recon("run", "people", "--json", *words)
        assert done.stdout, done.stderr
        return {**json.loads(done.stdout), "said": done.stderr}


def row(one: dict[str, Any]) -> tuple[Any, ...]:
    """A record as the table has it."""
    return one["email"], one["name"], json.dumps(one["address"]), str(one["phone"]), one["plan"]
