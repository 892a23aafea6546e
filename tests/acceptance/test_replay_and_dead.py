"""`recon replay` and `recon dead` by hand: a second destination is filled from the store, and refused events are sent again or let go."""

import json
from pathlib import Path

import pytest

from tests.acceptance.cli_project import Shell, Shop
from tests.servers.receiver import Receiver, Reply, receiver

__all__ = ["receiver"]

LAKE = """
[publishers.lake]
type = "file"
path = "lake.jsonl"
[publishers.hook]
type = "webhook"
url = "{url}"
unsigned = true
"""


@pytest.fixture
def shell(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A night that told three orders, to a file."""
    shop = Shop.made(tmp_path)
    settings = (tmp_path / "recon.toml").read_text() + LAKE.format(url=receiver.url)
    shop.write("recon.toml", settings)
    rows = [{"id": f"o{n:03}", "status": "refunded" if n < 3 else "paid", "total": 100 + n} for n in range(10)]
    shop.third_party(orders=rows, refunds=rows)
    made = Shell(shop, monkeypatch, capsys)
    assert made("run", "orders").code == 0
    return made


def lines(shell: Shell, name: str) -> list[str]:
    """What a file publisher wrote."""
    path = shell.shop.folder / name
    return path.read_text().splitlines() if path.exists() else []


def test_a_new_destination_is_filled_from_the_store(shell: Shell, receiver: Receiver) -> None:
    """A dry run counts and sends nothing; a replay brings the same lines; to a webhook it says in a header that it is one."""
    dry = shell("replay", "--domain", "orders", "--dry-run")
    assert (dry.code, lines(shell, "lake.jsonl")) == (0, [])
    assert "orders  order.updated  3" in dry.out

    done = shell("replay", "--domain", "orders", "--since", "1d", "--to", "lake")

    assert done.code == 0
    assert "3 sent" in done.out
    assert sorted(lines(shell, "lake.jsonl")) == sorted(lines(shell, "events.jsonl"))
    told = json.loads(shell("replay", "--key", "o001", "--domain", "orders", "--to", "hook", "--json").out)
    assert (told["events"], told["sent"]) == (1, 1)
    assert [request.headers["recon-replay-id"] for request in receiver.requests] == [told["replay"]]
    assert shell("replay", "--domain", "orders", "--to", "nowhere").code == 2
    assert "no date, no time and no length" in shell("replay", "--since", "yesterday", "--dry-run").err


def test_refused_events_are_listed_sent_again_or_let_go(shell: Shell, receiver: Receiver) -> None:
    """The list gives each its reason; redrive sends them under their ids once the receiver takes them; discard wants a reason and keeps it."""
    receiver.reply = Reply(status=422, body=b"no such field")
    assert shell("replay", "--domain", "orders", "--to", "hook").code == 6
    listed = shell("dead", "list", "--publisher", "hook")
    assert listed.out.count("no such field") == 3
    assert shell("dead", "redrive").code == 2
    assert shell("dead", "redrive", "--domain", "orders").code == 6
    letters = json.loads(shell("dead", "list", "--json").out)
    assert letters["total"] == 3
    receiver.reply = Reply(status=200)
    receiver.requests.clear()

    again = shell("dead", "redrive", "--event", letters["letters"][0]["event"])

    assert again.code == 0
    assert [event["id"] for event in receiver.events] == [letters["letters"][0]["event"]]
    assert shell("dead", "discard", "--all", "--reason", "rows of a test").code == 0
    assert "no dead letters" in shell("dead", "list").err
    key = letters["letters"][1]["key"]
    assert "discarded by" in shell("explain", "orders", key).out


def test_a_replay_raises_older_versions_or_says_that_it_cannot(shell: Shell) -> None:
    """Without a way up nothing is queued, and --as-stored sends the bytes; with one they arrive in the newest version under their ids."""
    path = shell.shop.folder / "jobs" / "orders.py"
    plain = path.read_text()
    path.write_text(plain.replace('event="order"', 'event="order", event_version=2'))

    refused = shell("replay", "--domain", "orders", "--to", "lake")

    assert (refused.code, lines(shell, "lake.jsonl")) == (2, [])
    assert "orders: of 3 events, 3 in version 1 cannot be raised to version 2: the job knows 2; nothing was sent" in refused.err
    assert "--as-stored" in refused.err
    assert shell("replay", "--domain", "orders", "--to", "lake", "--as-stored").code == 0
    assert sorted(lines(shell, "lake.jsonl")) == sorted(lines(shell, "events.jsonl"))
    up = "up=lambda data: {**data, 'raised': True}"
    text = plain.replace('event="order"', f'event="order", event_version=2, versions=(Version(number=1, {up}),)')
    path.write_text(text.replace("Table\n", "Table, Version\n", 1))

    assert shell("replay", "--domain", "orders", "--to", "lake").code == 0

    stored, raised = (
        {event["id"]: event for event in map(json.loads, found)} for found in (lines(shell, "events.jsonl"), lines(shell, "lake.jsonl")[3:])
    )
    assert {event["dataversion"] for event in raised.values()} == {2}
    assert {name: {**event["data"], "raised": True} for name, event in stored.items()} == {
        name: event["data"] for name, event in raised.items()
    }
    assert json.loads(shell("replay", "--domain", "orders", "--dry-run", "--json").out)["versions"] == {"orders": {"1": 3}}
