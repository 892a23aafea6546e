"""A job with two destinations, through the command line: each has its own progress, and one that is down keeps nothing from the other."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.cli_project import Shell, Shop
from tests.servers.receiver import Received, Receiver, Reply, receiver

__all__ = ["receiver"]

DOWN = Reply(status=503, headers={"Retry-After": "3600"})
HOOK = """
[publishers.hook]
type = "webhook"
url = "{url}"
unsigned = true
"""


@pytest.fixture
def shell(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Three orders differ; they are told to a webhook, which heals, and to a file."""
    shop = Shop.made(tmp_path)
    toml = (tmp_path / "recon.toml").read_text().replace('publisher = "bus"', 'publisher = ["hook", "bus"]')
    shop.write("recon.toml", toml + HOOK.format(url=receiver.url))
    shop.drift()
    return Shell(shop, monkeypatch, capsys)


def healed(shell: Shell) -> None:
    """The table is right again."""
    shell.shop.sql("delete from orders where id = 'o999'")
    shell.shop.sql("insert into orders values ('o001', 'paid', 101)")
    shell.shop.sql("update orders set status = 'paid' where id = 'o002'")


def told(shell: Shell) -> list[str]:
    """The ids in the file."""
    path = shell.shop.folder / "events.jsonl"
    return [json.loads(line)["id"] for line in path.read_text().splitlines()] if path.exists() else []


def test_one_that_is_down_keeps_nothing_from_the_other(shell: Shell, receiver: Receiver) -> None:
    """The file has its events in the night itself; the webhook's wait, are told by destination, and arrive under the same ids."""
    receiver.reply = DOWN

    night = shell("run", "orders", "--json")

    body = json.loads(night.out)
    assert night.code == 6
    assert [(one["publisher"], one["confirmed"], one["waiting"]) for one in body["deliveries"]] == [("hook", 0, 3), ("bus", 3, 0)]
    assert body["delivery"] == body["deliveries"][0]
    first = told(shell)
    assert len(first) == 3
    shown = shell("show", body["run"])
    assert "NOT DELIVERED" in shown.out
    assert "3 events (hook: 0 accepted, 3 waiting; bus: 3 accepted)" in shown.out
    page = shell("report", body["run"], "-f", "html").out
    assert [f"<dt>to</dt><dd>{name}</dd>" in page for name in ("hook", "bus")] == [True, True]
    story = shell("explain", "orders", "o002").out
    assert story.count(": enqueued") == story.count(" to bus and hook: enqueued") == 1
    assert "to hook: waiting" in story
    assert "to bus: sent" in story

    receiver.reply = Reply(status=200)
    receiver.requests.clear()
    done = shell("publish")

    assert (done.code, done.out.count("confirmed")) == (0, 1)
    assert sorted(event["id"] for event in receiver.events) == sorted(first)
    assert told(shell) == first
    later = shell("show", body["run"])
    assert "DELIVERED SINCE" not in shown.out
    assert "hook: 3 events still wait" in shown.out
    assert "\nDELIVERED SINCE " in later.out
    assert "not delivered when it ended: 3 events (hook: 0 accepted, 3 waiting; bus: 3 accepted)" in later.out
    assert "hook: 3 events delivered since, the last " in later.out
    assert " by recon publish\n" in later.out
    assert "recon publish orders" not in later.out
    document = json.loads(shell("show", body["run"], "--json").out)
    (one,) = document["since"]
    assert (one["publisher"], one["delivered"], one["by"], one["waiting"]) == ("hook", 3, ["recon publish"], 0)
    assert document["deliveries"] == body["deliveries"]
    assert "since" not in body


def test_what_became_of_a_night_s_events_since_is_told_by_whatever_delivered_them(shell: Shell, receiver: Receiver) -> None:
    """The next night delivers one, finds one healed and one otherwise; the stored report of the first night stays as it was."""
    receiver.reply = DOWN
    first = json.loads(shell("run", "orders", "--slot", "2026-11-01T03:00:00Z", "--json").out)["run"]
    (shelf,) = shell.shop.folder.rglob(f"{first}/index.html")
    page = shelf.read_bytes()
    shell.shop.sql("delete from orders where id = 'o999'")
    shell.shop.sql("update orders set status = 'void' where id = 'o002'")
    receiver.reply = Reply(status=200)
    second = json.loads(shell("run", "orders", "--slot", "2026-11-02T03:00:00Z", "--json").out)["run"]

    said = shell("show", first).out

    assert "\nDELIVERED SINCE " in said
    assert f", by run {second}; 2 events withdrawn\n" in said
    assert shelf.read_bytes() == page
    assert "since" not in json.loads(shell("show", second, "--json").out)


def test_one_that_was_down_does_not_have_the_others_wait_for_it(shell: Shell, receiver: Receiver) -> None:
    """Its name comes first and its turn last: when it is asked again, the file has its events; the figures are in the order of the names."""
    for file in ("recon.toml", "jobs/orders.py"):
        shell.shop.write(
            file, (shell.shop.folder / file).read_text().replace('"hook"', '"a-hook"').replace("publishers.hook", "publishers.a-hook")
        )
    receiver.reply = DOWN
    assert shell("run", "orders").code == 6
    (shell.shop.folder / "events.jsonl").unlink()
    lines: list[int] = []

    def decide(_request: Received) -> Reply:
        lines.append(len(told(shell)))
        return DOWN

    receiver.decide = decide
    assert shell("replay", "--domain", "orders", "--to", "bus").code == 0
    receiver.reply, receiver.decide = Reply(status=200), None

    assert lines[-1] == 3
    with closing(sqlite3.connect(shell.shop.folder / ".recon" / "state.db")) as state, state:
        state.execute("update recon_outbox set state = 'waiting' where publisher = 'bus' and replay is null")
    assert [one["publisher"] for one in json.loads(shell("publish", "--json").out)["deliveries"]] == ["a-hook", "bus"]


def test_delivered_is_what_the_first_destination_confirmed(shell: Shell, receiver: Receiver) -> None:
    """A correction that only the second one has is not held against the consumer: whatever nights pass, it keeps its id."""
    shell.shop.write("jobs/orders.py", (shell.shop.folder / "jobs/orders.py").read_text().replace("settle=0", "settle=0, raise_after=1"))
    receiver.reply = DOWN
    for day in (1, 2, 3):
        assert shell("run", "orders", "--slot", f"2026-11-0{day}T03:00:00Z").code == 6
    assert len(set(told(shell))) == 3

    receiver.reply = Reply(status=200)
    assert shell("publish", "orders").code == 0
    assert shell("run", "orders", "--slot", "2026-11-04T03:00:00Z").code == 0
    assert len(set(told(shell))) == 6


def test_what_healed_through_the_first_is_still_told_to_the_other(shell: Shell, receiver: Receiver) -> None:
    """No later night finds it again, so an event that waits for the second is not taken back; one that waits for the first is."""
    toml = (shell.shop.folder / "recon.toml").read_text()
    shell.shop.write("recon.toml", toml.replace('["hook", "bus"]', '["bus", "hook"]'))
    receiver.reply = DOWN
    assert shell("run", "orders", "--slot", "2026-11-01T03:00:00Z").code == 6
    ids = sorted(told(shell))
    healed(shell)
    shell("run", "orders", "--slot", "2026-11-02T03:00:00Z")

    receiver.reply = Reply(status=200)
    receiver.requests.clear()
    assert shell("publish").code == 0
    assert sorted(event["id"] for event in receiver.events) == ids


def test_what_healed_by_itself_is_told_to_nobody_who_waits_for_it(shell: Shell, receiver: Receiver) -> None:
    """The first, which heals, had not got it: its correction is of yesterday, and is taken back."""
    receiver.reply = DOWN
    assert shell("run", "orders", "--slot", "2026-11-01T03:00:00Z").code == 6
    healed(shell)
    assert shell("run", "orders", "--slot", "2026-11-02T03:00:00Z").code == 0

    receiver.reply = Reply(status=200)
    receiver.requests.clear()
    assert shell("publish").code == 0
    assert receiver.events == []


def test_one_delivery_to_two_destinations_is_told_as_one(shell: Shell) -> None:
    """Whoever reads how often a correction was delivered wants to know how often the consumer could have acted."""
    assert shell("run", "orders", "--slot", "2026-11-01T03:00:00Z").code == 0
    body = json.loads(shell("run", "orders", "--slot", "2026-11-02T03:00:00Z", "--json").out)
    told_of = {(one["deliveries"], tuple(one["publishers"])) for one in body["convergence"]["unheeded"]}
    assert told_of == {(1, ("hook", "bus"))}


@pytest.mark.parametrize(("publishers", "delivered"), [('["hook", "bus"]', 0), ('"hook"', 3)])
def test_a_job_that_is_off_claims_no_delivery_by_its_second_destination(
    shell: Shell, receiver: Receiver, publishers: str, delivered: int
) -> None:
    """Switched off, it does not say which of several heals: what only the other one confirmed is not delivered; where there is but one, it is."""
    toml = (shell.shop.folder / "recon.toml").read_text().replace('["hook", "bus"]', publishers)
    shell.shop.write("recon.toml", toml)
    receiver.reply = DOWN
    assert shell("run", "orders").code == 6
    shell.shop.write("recon.toml", toml.replace("[jobs.orders]", "[jobs.orders]\nenabled = false"))
    if delivered:
        receiver.reply = Reply(status=200)
        assert shell("publish").code == 0
    else:
        assert shell("replay", "--domain", "orders", "--to", "bus").code == 0
    with closing(sqlite3.connect(shell.shop.folder / ".recon" / "state.db")) as state:
        assert state.execute("select count(*) from recon_events").fetchone() == (3,)
        assert state.execute("select count(distinct event_id) from recon_outbox where heals").fetchone() == (delivered,)


def test_a_destination_added_later_gets_what_comes_from_then_on(shell: Shell, receiver: Receiver) -> None:
    """What went out before is not sent to it by itself; a replay brings it."""
    toml = (shell.shop.folder / "recon.toml").read_text()
    shell.shop.write("recon.toml", toml.replace('["hook", "bus"]', '"bus"'))
    assert shell("run", "orders").code == 0
    shell.shop.write("recon.toml", toml.replace('["hook", "bus"]', '["bus", "hook"]'))
    assert receiver.events == []
    assert shell("replay", "--domain", "orders", "--to", "hook").code == 0
    assert sorted(event["id"] for event in receiver.events) == sorted(told(shell))


def test_every_command_that_names_a_destination_names_both(shell: Shell, receiver: Receiver) -> None:
    """The list, the event types, the AsyncAPI document and the doctor."""
    assert "to hook and bus" in shell("list").out
    assert "to hook and bus" in shell("events").out
    channels = json.loads(shell("events", "asyncapi").out)["channels"]
    assert {name: channel["address"] for name, channel in channels.items()} == {"orders": "hook", "orders.bus": "bus", "refunds": None}
    checks = json.loads(shell("doctor", "orders", "--json").out)["checks"]
    assert [one["message"].partition(":")[0] for one in checks if one["name"] == "publisher"] == ["hook", "bus"]


@pytest.mark.parametrize(
    ("publisher", "words"),
    [
        ('["hook", "hook"]', "is named twice"),
        ("[]", "wants a name or a list of names"),
        ('["hook", 3]', "wants a name or a list of names"),
        ('["hook", "bos"]', "names publisher 'bos', which nobody defines"),
        ("true", "wants a name or a list of names"),
    ],
)
def test_a_list_that_cannot_be_is_refused(shell: Shell, publisher: str, words: str) -> None:
    """With the key and its line, before anything is fetched."""
    toml = (shell.shop.folder / "recon.toml").read_text()
    shell.shop.write("recon.toml", toml.replace('["hook", "bus"]', publisher))
    said = shell("run", "orders")
    assert said.code == 2
    assert words in said.err + said.out
    assert "recon.toml:12" in said.err + said.out


def test_a_publisher_that_is_gone_keeps_no_other_from_its_events(shell: Shell, receiver: Receiver) -> None:
    """`recon publish` delivers to the one that is there, and says of the other what it lacks."""
    receiver.reply = DOWN
    assert shell("run", "orders").code == 6
    toml = (shell.shop.folder / "recon.toml").read_text()
    shell.shop.write("recon.toml", toml.replace('["hook", "bus"]', '"bus"').replace("[publishers.hook]", "[publishers.other]"))
    done = shell("publish", "--json")
    (figure,) = json.loads(done.out)["deliveries"]
    assert (done.code, figure["waiting"]) == (6, 3)
    assert "no publisher 'hook'" in figure["last_reason"]
