"""A destination that is down all night, over several nights: nothing is lost, it is loud, and everything arrives in order once it is back."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recon.outbox import Choice, Replays, drain
from recon.publishers.webhook import WebhookPublisher
from recon.testing import section
from tests.acceptance.cli_project import Shell, Shop
from tests.acceptance.nights import GUARD, Nights, job
from tests.servers.receiver import Received, Receiver, Reply, receiver

__all__ = ["receiver"]

DOWN = Reply(status=503)
BUSY = Reply(status=503, headers={"Retry-After": "3600"})
TOML = """
[notify]
url = "{people}"
[publishers.hook]
type = "webhook"
url = "{hook}"
unsigned = true
"""


class Consumer:
    """A receiver that answers as it is told, and keeps what it has taken."""

    def __init__(self, receiver: Receiver) -> None:
        self.reply = DOWN
        self.asked = 0
        self.taken: list[dict[str, Any]] = []
        receiver.decide = self._decide

    def _decide(self, request: Received) -> Reply:
        self.asked += len(request.events)
        if self.reply.status == 200 and not self.reply.cut:
            self.taken += request.events
        return self.reply


@pytest.fixture
def nights(tmp_path: Path, receiver: Receiver) -> Iterator[Nights]:
    """Forty orders that agree, told by real webhooks."""
    made = Nights(tmp_path, job(guard=replace(GUARD, week=1.0)))
    made.both(*[f"k{n:02}" for n in range(40)])
    publisher = WebhookPublisher(section(url=receiver.url, unsigned=True))
    made.project.parts["publisher"] = publisher
    yield made
    publisher.close()
    made.close()


def test_down_for_three_nights_it_gets_everything_in_order(nights: Nights, receiver: Receiver) -> None:
    """Each night is loud and ends within its time; later nights ask with one event; back again, each fact arrives once, the newest last."""
    consumer = Consumer(receiver)
    figures, asked = [], []
    for night in range(3):
        for key in [f"k{n:02}" for n in range(10 + 5 * night)]:
            nights.there[key] = nights.record(key, f"night {night}" if key < "k05" else "late")
        consumer.reply = DOWN if night != 1 else Reply(cut=True)
        begun, before = nights.clock.monotonic() + 86400, consumer.asked
        figures.append(nights.night())
        asked.append(consumer.asked - before)
        assert nights.clock.monotonic() - begun < 300

    assert [one.exit_code for one in figures] == [6, 6, 6]
    assert [one.delivery.waiting for one in figures if one.delivery is not None] == [10, 15, 20]
    assert "NOT DELIVERED" in nights.page(figures[-1])
    parked = figures[-1].delivery.parked if figures[-1].delivery is not None else None
    assert parked is not None
    assert (parked.keys > 0, parked.domain, parked.reason != "") == (True, "orders", True)
    assert asked[0] > asked[1] == asked[2] == 1

    consumer.reply = Reply(status=200)
    assert nights.night().exit_code == 0

    order: dict[str, list[str]] = defaultdict(list)
    for event in consumer.taken:
        order[event["data"]["key"]].append(event["data"]["state"]["status"])
    assert sorted(order) == [f"k{n:02}" for n in range(20)]
    assert len({event["id"] for event in consumer.taken}) == len(consumer.taken)
    assert {key: states[-1] for key, states in order.items()} == {key: nights.there[key]["status"] for key in order}


def test_an_event_behind_a_stuck_one_is_parked_and_said_to_be(nights: Nights, receiver: Receiver) -> None:
    """A replay of a key's history behind an event that is not taken: one key stands still, and the others wait behind it."""
    consumer = Consumer(receiver)
    consumer.reply = Reply(status=200)
    for status in ("one", "two"):
        nights.there["k01"] = nights.record("k01", status)
        assert nights.night().exit_code == 0
    consumer.reply = BUSY
    nights.there["k01"] = nights.record("k01", "three")
    figures = nights.night()
    Replays(nights.state).begin(Choice(domain="orders"), "bus")
    figure = drain(nights.state, nights.project.parts["publisher"], name="bus", domain="orders", clock=nights.clock, deadline=1)

    assert figures.exit_code == 6
    assert figure.parked is not None
    assert (figure.parked.keys, figure.parked.behind, figure.parked.key) == (1, 2, "k01")


@pytest.fixture
def people() -> Iterator[Receiver]:
    """Who is told."""
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def shell(
    tmp_path: Path, receiver: Receiver, people: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    """Three orders differ; the webhook asks to be left alone for an hour."""
    shop = Shop.made(tmp_path)
    toml = (tmp_path / "recon.toml").read_text().replace('publisher = "bus"', 'publisher = "hook"')
    shop.write("recon.toml", toml + TOML.format(people=people.url, hook=receiver.url))
    shop.drift()
    receiver.reply = BUSY
    return Shell(shop, monkeypatch, capsys)


def notices(people: Receiver) -> list[tuple[str, int]]:
    """What people were told: the kind, and of how many events."""
    return [(told["kind"], told["waiting"]) for told in people.events]


def test_people_are_told_once_while_it_lasts_and_anew_when_it_comes_again(shell: Shell, receiver: Receiver, people: Receiver) -> None:
    """Two nights, one notice; delivered by hand it is forgotten, and the next outage is told at once. It names no value of a record."""
    assert [shell("run", "orders").code for _ in range(2)] == [6, 6]
    assert notices(people) == [("undelivered", 3)]
    assert "hook lacks 3 events" in people.events[0]["text"]
    assert not any(word in people.requests[0].body for word in (b"o001", b"o002", b"paid"))
    doctor = json.loads(shell("doctor", "orders", "--json").out)["checks"]
    assert ["hook: 3 events wait" in one["message"] for one in doctor if one["name"] == "delivery"] == [True]

    receiver.reply = Reply(status=200)
    assert shell("publish").code == 0
    assert shell("run", "orders").code == 0
    receiver.reply = BUSY
    assert shell("run", "orders").code == 6
    assert notices(people) == [("undelivered", 3), ("undelivered", 3)]


def test_what_stands_still_is_said_wherever_it_matters(shell: Shell) -> None:
    """The report, `recon show` and `recon publish` name the key that has waited longest; above the backlog that is said too, and the night goes out all the same."""
    shell.shop.write("recon.toml", (shell.shop.folder / "recon.toml").read_text() + "[delivery]\nbacklog = 2\n")
    night = json.loads(shell("run", "orders", "--json").out)

    assert (night["delivery"]["backlog"], night["delivery"]["parked"]["behind"], night["plan"]["state"]) == (3, 0, "enqueued")
    steps = {step["label"]: step["text"] for step in night["next"]}
    assert "stands still" in steps["parked"] or "stand still" in steps["parked"]
    assert "3 events wait for hook, more than [delivery] backlog allows" in steps["backlog"]
    assert "parked" in shell("show", night["run"]).out
    said = shell("publish")
    assert (said.code, "parked: " in said.out, "backlog: 3 events wait" in said.out) == (6, True, True)
    assert "more than [delivery] backlog allows" in shell("doctor", "orders").out
