"""A night of a job in two versions, told to destinations of four kinds: each takes both, or only what it acts on."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.cli_project import Shell, Shop
from tests.servers.receiver import Receiver, Reply, receiver

__all__ = ["receiver"]

JOB = """from recon import Field, Job, Table, Version


def down(data):
    record = lambda state: state and {"amount" if name == "total" else name: value for name, value in state.items()}
    return {**data, "state": record(data["state"]), "before": record(data["before"])}


orders = Job(
    domain="orders", provider="shop", resource="orders", table=Table(name="orders"), event="order", settle=0,
    fields=(Field("status"), Field("total", "integer")), event_version=2,
    versions=(Version(number=1, up=dict, down=down, sunset="SUNSET"),),
)
"""
PLACES = """
[publishers.inbox]
type = "table"
url = "sqlite:///inbox.db"
[publishers.direct]
type = "apply"
url = "sqlite:///copy.db"
table = "orders"
[publishers.hook]
type = "webhook"
url = "{url}"
unsigned = true
batch = 10
"""


@pytest.fixture
def shell(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Two orders differ, and four destinations are to be told."""
    shop = Shop.made(tmp_path)
    toml = (tmp_path / "recon.toml").read_text().replace('publisher = "bus"', 'publisher = ["bus", "inbox", "direct", "hook"]')
    shop.write("recon.toml", toml + PLACES.format(url=receiver.url))
    shop.write("jobs/orders.py", JOB.replace("SUNSET", "2999-12-31"))
    shop.sql("update orders set total = 1 where id in ('o001', 'o002')")
    (tmp_path / "copy.db").write_bytes((tmp_path / "app.db").read_bytes())
    (tmp_path / "inbox.db").touch()
    return Shell(shop, monkeypatch, capsys)


def test_each_destination_takes_what_it_can_use(shell: Shell, receiver: Receiver) -> None:
    """Both versions stand in the file and in the table, a webhook's batches have ids of their own, the applier gets the newest only; counted once."""
    receiver.reply = Reply(status=200)

    night = shell("run", "orders")

    assert night.code == 0, night.err
    told = [json.loads(line) for line in (shell.shop.folder / "events.jsonl").read_text().splitlines()]
    assert [(one["dataversion"], one["data"]["state"].get("amount", one["data"]["state"].get("total"))) for one in told] == [
        (2, 101),
        (2, 102),
        (1, 101),
        (1, 102),
    ]
    ids = [one["id"] for one in told]
    assert ids[:2] == ids[2:]
    with closing(sqlite3.connect(shell.shop.folder / "inbox.db")) as inbox:
        rows = inbox.execute("select id, body from recon_events").fetchall()
    assert {row[0] for row in rows} == {*ids[:2], *(f"{one}:v1" for one in ids[:2])}
    assert {json.loads(row[1])["id"] for row in rows} == {*ids}
    with closing(sqlite3.connect(shell.shop.folder / "copy.db")) as copy:
        assert copy.execute("select id, total from orders where id in ('o001', 'o002') order by id").fetchall() == [
            ("o001", 101),
            ("o002", 102),
        ]
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == len(receiver.requests) == 2
    figures = {
        one["publisher"]: (one["confirmed"], [(old["version"], old["confirmed"]) for old in one["older"]])
        for one in json.loads(shell("runs", "orders", "--json").out)["runs"][0]["deliveries"]
    }
    both = (2, [(1, 2)])
    assert figures == {"bus": both, "inbox": both, "direct": (2, []), "hook": both}
    assert "bus: 2 accepted, in version 1 too: 2 accepted" in night.out + night.err


def test_what_is_refused_in_one_version_is_a_dead_letter_of_that_version(shell: Shell, receiver: Receiver) -> None:
    """The receiver takes version 2 and refuses version 1: exit code 6, a letter that names the version, and nothing of the newest held up."""
    receiver.decide = lambda request: Reply(status=422 if b'"dataversion":1' in request.body else 200)

    night = shell("run", "orders", "--json")

    assert night.code == 6, night.err
    (hook,) = (one for one in json.loads(night.out)["deliveries"] if one["publisher"] == "hook")
    assert (hook["confirmed"], hook["waiting"], hook["dead"], hook["older"][0]["dead"]) == (2, 0, 0, 2)
    letters = shell("dead", "list").out
    assert letters.count("order.updated in version 1 to hook") == 2
    assert {one["version"] for one in json.loads(shell("dead", "list", "--json").out)["letters"]} == {1}


def test_a_night_after_the_sunset_sends_the_newest_alone_and_says_so(shell: Shell, receiver: Receiver) -> None:
    """The run does not fail for it; what is to be taken out of the job is told once."""
    receiver.reply = Reply(status=200)
    shell.shop.write("jobs/orders.py", JOB.replace("SUNSET", "2020-12-31"))

    night = shell("run", "orders")

    assert night.code == 0, night.err
    assert night.err.count("orders: version 1 is sent no more: its sunset was 2020-12-31; take down= and sunset= out of the job") == 1
    told = [json.loads(line) for line in (shell.shop.folder / "events.jsonl").read_text().splitlines()]
    assert [one["dataversion"] for one in told] == [2, 2]
