"""The project over which the state of a released version was made, and over which the tests go on with it."""

import base64
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.cli_project import JOB, PROVIDER
from tests.servers.fault_server import Answer, Asked, FaultServer

#: One domain for each state that a run may be left in, one whose life is longer, one whose receiver refuses.
GUARDED = ("held", "approved", "rejected", "expired")
DOMAINS = ("orders", "planned", "fetching", "sealed", "diffed", "confirming", "emitted", "failed", "waiting", *GUARDED)
SETTINGS = """[providers.shop]
file = "shop.json"
token = {{ env = "SHOP_TOKEN" }}
[stores.main]
url = "sqlite:///app.db"
[publishers.bus]
type = "webhook"
url = "{url}/bus"
secret = {{ env = "HOOK_SECRET" }}
[publishers.slow]
type = "webhook"
url = "{url}/slow"
secret = {{ env = "HOOK_SECRET" }}
"""
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
ITEMS = [{"id": f"o{n:03}", "status": "paid", "total": 100 + n} for n in range(10)]


class Shop:
    """Thirteen domains of ten items on disk; in each the store lacks o001, has o999 too much and another status of o002."""

    def __init__(self, folder: Path, server: FaultServer) -> None:
        self.folder = folder
        self.server = server
        self.environ = {"SHOP_TOKEN": "tok_of_the_shop", "HOOK_SECRET": SECRET}
        for place in ("jobs", "providers"):
            (folder / place).mkdir(parents=True)
        publishers = {name: "slow" if name == "waiting" else "bus" for name in DOMAINS}
        jobs = "".join(f'[jobs.{name}]\npublisher = "{publisher}"\n' for name, publisher in publishers.items())
        (folder / "recon.toml").write_text(SETTINGS.format(url=server.url) + jobs)
        provider = PROVIDER.replace('return ["orders", "refunds"]', f"return {list(DOMAINS)!r}")
        (folder / "providers/shop.py").write_text(provider.replace("self._read()[listing.resource]", "self._of(listing.resource)") + DOWN)
        database = sqlite3.connect(folder / "app.db")
        for name in DOMAINS:
            guard = f'guard=Guard(floor=0), hold_expires="{"1s" if name == "expired" else "36500d"}", ' if name in GUARDED else ""
            text = JOB.format(name=name).replace("Field, Job", "Field, Guard, Job").replace("settle=0", f"{guard}settle=0")
            (folder / f"jobs/{name}.py").write_text(text.replace('event="order"', f'event="{name.rstrip("s")}"'))
            database.execute(f"create table {name} (id text primary key, status text, total integer)")
            database.executemany(f"insert into {name} values (:id, :status, :total)", ITEMS)
            database.execute(f"delete from {name} where id = 'o001'")
            database.execute(f"insert into {name} values ('o999', 'paid', 1)")
            database.execute(f"update {name} set status = 'open' where id = 'o002'")
        database.commit()
        database.close()
        self._third_party()

    def _third_party(self, down: str = "") -> None:
        (self.folder / "shop.json").write_text(json.dumps({**dict.fromkeys(DOMAINS, ITEMS), "broken": down}))

    def down(self, domain: str) -> None:
        """This domain's listing answers with an error from now on."""
        self._third_party(domain)

    def sql(self, statement: str) -> None:
        """A statement on the store."""
        database = sqlite3.connect(self.folder / "app.db")
        database.execute(statement)
        database.commit()
        database.close()

    def mend(self, domain: str, key: str) -> None:
        """The store's row as the third party has it."""
        item = next(one for one in ITEMS if one["id"] == key)
        self.sql(f"insert or replace into {domain} values ('{key}', '{item['status']}', {item['total']})")

    def environment(self, url: str) -> Mapping[str, str]:
        """What a command needs, with the state at `url`."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        return {**kept, **self.environ, "RECON_PLUGINS": "none", "RECON_STATE_URL": url, "HOME": str(self.folder)}


DOWN = """
    def _of(self, resource):
        body = self._read()
        if body["broken"] == resource:
            raise Unreachable(f"GET /{resource} -> 503", hint="try again")
        return body[resource]
"""


LATER = Answer(status=500, headers={"Retry-After": "3600"})


def keys(asked: Asked) -> set[str]:
    """The keys of the events in a request."""
    body = json.loads(asked.body)
    return {event["data"]["key"] for event in (body if isinstance(body, list) else [body])}


@contextmanager
def serving() -> Iterator[FaultServer]:
    """A receiver: /bus takes everything, /slow refuses o001 for good and asks for time with the rest."""
    with FaultServer() as server:
        server.on("/bus", Answer(status=200))
        server.on("/slow", lambda asked: Answer(status=422) if keys(asked) == {"o001"} else LATER)
        yield server
