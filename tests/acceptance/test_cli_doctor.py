"""The doctor against a third party over real HTTP: authentication, a page, an item, and the clock it tells."""

import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.acceptance.cli_project import Shell, Shop

SETTINGS = """
[providers.shop]
type = "rest"
base_url = "{url}"
tries = 1
auth = {{ bearer = {{ env = "TOKEN" }} }}
[providers.shop.resources.orders]
path = "orders"
records = "data"
get = "orders/{{key}}"
paging = {{ rule = "cursor", param = "cursor", at = "next_cursor", more = "has_more" }}
[stores.main]
url = "sqlite:///app.db"
"""
JOB = """
from recon import Field, Job, Table
orders = Job(domain="orders", provider="shop", resource="orders", fields=(Field("status"),), table=Table(name="orders"))
"""


TOKEN = "right-token-8812"
ORDERS = [{"id": f"o{number}", "status": "paid"} for number in range(3)]


class Api(BaseHTTPRequestHandler):
    """Three orders, a credential, and a clock that `server.skew` puts wrong."""

    def do_GET(self) -> None:
        """A list, an item, or 401."""
        key = self.path.partition("?")[0].removeprefix("/v1/orders").strip("/")
        found = {order["id"]: order for order in ORDERS}
        body: object = found[key] if key else {"data": ORDERS, "has_more": False, "next_cursor": None}
        right = self.headers["Authorization"] == f"Bearer {TOKEN}"
        raw = json.dumps(body if right else {"error": "no such token"}).encode()
        self.send_response(200 if right else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header."""
        del timestamp
        return format_datetime(datetime.now(UTC) + timedelta(seconds=getattr(self.server, "skew", 0)), usegmt=True)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def api() -> Iterator[ThreadingHTTPServer]:
    """The server, on a free port of loopback, ended afterwards."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def shell(api: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A project over that server."""
    shop = Shop(tmp_path, {"TOKEN": TOKEN})
    shop.write("recon.toml", SETTINGS.format(url=f"http://127.0.0.1:{api.server_port}/v1/"))
    shop.write("jobs/orders.py", JOB)
    with sqlite3.connect(tmp_path / "app.db") as database:
        database.execute("create table orders (id text primary key, status text)")
    database.close()
    return Shell(shop, monkeypatch, capsys)


def test_a_real_page_and_a_real_item(shell: Shell) -> None:
    """With the right credential a page is fetched, an item read by id, and the server's clock compared."""
    said = shell("doctor", "orders", "--json")

    assert said.code == 0, said.out
    checks = {(check["name"], check["message"].partition(":")[0]): check for check in json.loads(said.out)["checks"] if check["domain"]}
    messages = " | ".join(check["message"] for check in checks.values())
    assert re.search(r"shop\.orders: one page fetched, 3 items", messages)
    assert re.search(r"item \w+ of that page was read by id", messages)
    assert "provider shop and this machine agree within 2 s" in messages


def test_a_clock_that_is_wrong(api: ThreadingHTTPServer, shell: Shell) -> None:
    """A third party two minutes ahead of this machine is a failure, told in seconds."""
    api.skew = 120  # type: ignore[attr-defined]

    said = shell("doctor", "orders")

    assert said.code == 75
    assert re.search(r"FAIL  clock +provider shop says .*, this machine is 1[12]\d\.\d s behind; the limit is 60 s", said.out)


def test_a_wrong_credential(shell: Shell) -> None:
    """A 401 is a finding that says so, exits with 75, and shows no part of the credential."""
    shell.shop.environ["TOKEN"] = "wrong-token-7731"

    said = shell("doctor", "orders")

    assert said.code == 75
    assert re.search(r"FAIL  provider +.*401.*no such token", said.out)
    assert "7731" not in said.out + said.err


def test_events_that_are_kept_for_longer_than_asked(shell: Shell) -> None:
    """Guards count what went out in a week, so less than eight days is not done: it is said, and is no failure; eight days are."""
    toml = shell.shop.folder / "recon.toml"
    before = toml.read_text()
    found = {}
    for days in (3, 8):
        toml.write_text(f'{before}\n[retention]\nevents = "{days}d"\n')
        said = shell("doctor", "orders", "--json")
        found[days] = [check for check in json.loads(said.out)["checks"] if check["name"] == "retention"]
        assert said.code == 0, said.out

    assert [(check["level"], check["hint"]) for check in found[3]] == [("warn", 'events = "8d" under [retention] says what is done')]
    assert "kept for 8 days all the same" in found[3][0]["message"]
    assert found[8] == []
