"""People are told of what waits for them: once for each time whatever the number of hosts, with commands that work, and never at a night's cost."""

import json
import shlex
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from recon.notify import Reminding, lost, remind, tell
from recon.run import reject
from recon.schedule.telling import tell_overdue
from tests.acceptance.commands import recon
from tests.acceptance.house import DAY, house, settings
from tests.acceptance.shop import Shop
from tests.servers.fault_server import Answer, FaultServer
from tests.servers.receiver import Receiver, Reply

HOUR = 3600.0
PATH = "canary-5c1d2e7f"


@pytest.fixture
def shop(request: pytest.FixtureRequest, tmp_path: Path, receiver: Receiver) -> Iterator[Shop]:
    """Ten of thirty items gone, a floor of three, and an address for notices that is a secret, and the state in SQLite, or where a test says so in PostgreSQL."""
    with FaultServer() as server:
        one = Shop(tmp_path, server, floor=3)
        one.env = {**one.env, "NOTIFY_URL": f"{receiver.url}/{PATH}"}
        if getattr(request, "param", "sqlite") == "postgresql":
            one.env = {**one.env, "RECON_STATE_URL": request.getfixturevalue("database")}
        settings(one, '[notify]\nurl = { env = "NOTIFY_URL" }')
        one.serve("bad", one.records[:20])
        yield one


def told(receiver: Receiver) -> list[dict[str, Any]]:
    """The documents that came, oldest first."""
    return [json.loads(request.body) for request in receiver.requests]


def test_a_held_night_is_told_with_commands_that_work(shop: Shop, receiver: Receiver) -> None:
    """One post at the end of the night; its approve command, copied, sends the plan; no key, value or secret is anywhere in it."""
    night = shop.night("bad")
    (notice,) = told(receiver)

    assert (night.code, notice["schema"], notice["kind"], notice["run"]) == (4, "recon.notice/1", "held", night.bad["run"])
    assert notice["plan"] == night.bad["plan"]["checksum"][:8]
    assert [guard["name"] for guard in notice["guards"]] == ["extra"]
    assert all(line in notice["text"] for line in notice["commands"].values())
    body = receiver.requests[0].body.decode()
    assert not [value for value in ("k20", "paid", "120", "tok_canary") if f'"{value}' in body or f" {value}" in body]
    assert PATH not in body + night.said + json.dumps(night.bad)

    listed = recon("held", cwd=shop.folder, env=shop.env)
    assert "told 1 time, next" in listed.stdout
    approved = recon(*shlex.split(notice["commands"]["approve"])[1:], cwd=shop.folder, env=shop.env)
    assert approved.returncode == 0
    assert len((shop.folder / "events.jsonl").read_text().splitlines()) == 10
    assert len(receiver.requests) == 1


def test_a_receiver_that_is_away_harms_nothing_and_is_said_once(shop: Shop, receiver: Receiver) -> None:
    """Two held domains and a receiver that answers 503: the night ends as it would, one line says so, and it is told later by hand."""
    shop.serve("good", shop.records[:20])
    receiver.reply = Reply(status=503)
    night = shop.night("--all")
    assert night.code == 4
    assert (night.good["verdict"], night.bad["verdict"]) == ("held", "held")
    assert night.said.count("could not be told") == 1
    assert "answered 503" in night.said

    receiver.reply = Reply()
    before = len(receiver.requests)
    early = recon("held", "--remind", cwd=shop.folder, env=shop.env)
    assert (early.returncode, len(receiver.requests) - before) == (0, 1)
    assert "1 notice told" in early.stderr
    assert told(receiver)[-1]["domain"] == "good"


@pytest.mark.parametrize("shop", ["sqlite", "postgresql"], indirect=True)
def test_reminders_come_once_for_each_time_whatever_the_hosts(shop: Shop, receiver: Receiver) -> None:
    """Four hosts that look at once every hour of two days: told at 0, 12, 24 and 27 hours, and that it expired; then silence."""
    with house(shop) as host, ThreadPoolExecutor(4) as pool:
        held = host.night()
        times = []
        for hour in range(48):
            before = len(receiver.requests)
            done = list(pool.map(lambda _: remind(host.project, host.state), range(4)))
            times += [hour] * (len(receiver.requests) - before)
            assert [one.why for one in done] == [None] * 4
            host.later(HOUR)

    assert times == [0, 12, 24, 27, 36]
    assert [(notice["kind"], notice["reminder"]) for notice in told(receiver)] == [
        ("held", 0),
        ("held", 1),
        ("held", 2),
        ("held", 3),
        ("expired", 4),
    ]
    assert len({notice["id"] for notice in told(receiver)}) == 5
    assert f"run {held.run} expired (nobody decided in time)" in told(receiver)[-1]["text"]


@pytest.mark.parametrize("shop", ["sqlite", "postgresql"], indirect=True)
def test_once_decided_or_looked_at_again_nobody_is_reminded(shop: Shop, receiver: Receiver) -> None:
    """A rejected plan and one that a newer night has taken the place of are not told of again."""
    with house(shop) as host:
        first = host.night()
        remind(host.project, host.state)
        second = host.night()
        remind(host.project, host.state)
        reject(host.state, second.run, reason="wrong account", by="alice")
        for _ in range(60):
            host.later(HOUR)
            remind(host.project, host.state)

    assert [notice["run"] for notice in told(receiver)] == [first.run, second.run]


def test_a_failed_post_is_due_again_after_five_minutes(shop: Shop, receiver: Receiver) -> None:
    """Cut, refused, sent elsewhere or silent: not counted as told, tried no sooner than five minutes on, and a redirect is not followed."""
    elsewhere = Receiver()
    try:
        receiver.replies = [Reply(cut=True), Reply(status=404), Reply(status=307, headers={"Location": elsewhere.url})]
        with house(shop) as host:
            host.night()
            for number in range(3):
                assert (remind(host.project, host.state).why or "").endswith("it is tried again")
                assert remind(host.project, host.state).why is None
                assert len(receiver.requests) == number + 1
                host.later(300)
            assert remind(host.project, host.state).told == 1
    finally:
        elsewhere.close()

    assert elsewhere.requests == []
    assert [notice["reminder"] for notice in told(receiver)] == [0, 0, 0, 0]


def test_what_else_goes_wrong_is_told_once_or_every_so_often(shop: Shop, receiver: Receiver) -> None:
    """A night that was given up is told once however often it is said; with `again` once in that time."""
    with house(shop) as host:
        night = lost("bad", "2026-01-03T03:00:00Z", "given up after 4 tries")
        overdue = lost("bad", "bad", "no run has finished since 2026-01-03T03:00:00Z", kind="overdue")
        for _ in range(5):
            assert tell(host.project, host.state, night) is None
            assert tell(host.project, host.state, overdue, again=2 * HOUR) is None
            host.later(HOUR)

    assert [notice["kind"] for notice in told(receiver)].count("failed") == 1
    assert [notice["reminder"] for notice in told(receiver) if notice["kind"] == "overdue"] == [0, 1, 2]


def test_a_night_that_did_not_happen_is_told_once(shop: Shop, receiver: Receiver) -> None:
    """A slot without a finished run is told once by any of the hosts, one whose plan is held by its own notice alone, and the next slot again."""
    toml = shop.folder / "recon.toml"
    toml.write_text(toml.read_text().replace('publisher = "out"', 'publisher = "out"\nschedule = "0 2 * * *"'))
    shop.server.on("/good", Answer(status=401))
    with house(shop) as host:
        assert host.night("good").exit_code == 75
        assert host.night("bad").verdict.value == "held"
        for _ in range(3):
            assert tell_overdue(host.project, state=host.state, clock=host.clock) is None
        first = told(receiver)
        host.later(DAY)
        assert tell_overdue(host.project, state=host.state, clock=host.clock) is None

    assert [(notice["kind"], notice["domain"]) for notice in first] == [("overdue", "good")]
    assert "2026-01-05T02:00:00Z" in first[0]["text"]
    assert first[0]["commands"] == {"look": "recon doctor --overdue", "run": "recon run good"}
    assert [notice["id"] for notice in told(receiver) if notice["domain"] == "good"] == [
        f"overdue:good 2026-01-0{day}T02:00:00Z:0" for day in (5, 6)
    ]


def test_beside_a_service_it_looks_by_itself_and_says_a_trouble_once(shop: Shop, receiver: Receiver) -> None:
    """The thread beside the service tells a held plan that it finds, and of a receiver that is away it says one line."""
    said: list[str] = []
    with house(shop) as host:
        host.night()
        receiver.reply = Reply(status=500)
        spoken = threading.Event()

        def say(text: str) -> None:
            said.append(text)
            spoken.set()

        with Reminding(host.project, host.state, say, every=0.01):
            assert spoken.wait(30)
            spoken.clear()
            receiver.reply = Reply()
            host.later(300)
            assert spoken.wait(30)

    assert len(said) == 2
    assert "answered 500" in said[0]
    assert said[1] == "notify: 1 notice told"


def test_a_service_that_loads_its_project_anew_tells_whom_that_names(shop: Shop, receiver: Receiver) -> None:
    """An address that was written into recon.toml while the service ran is told of the plan that waits, with no restart."""
    toml = shop.folder / "recon.toml"
    with_address = toml.read_text()
    toml.write_text(with_address.replace('url = { env = "NOTIFY_URL" }', ""))
    spoken = threading.Event()
    with house(shop) as host:
        host.night()
        toml.write_text(with_address)
        with house(shop, host.clock) as anew, Reminding(host.project, host.state, lambda _: spoken.set(), every=0.01) as reminding:
            reminding.adopt(anew.project)
            assert spoken.wait(30)

    assert [notice["kind"] for notice in told(receiver)] == ["held"]


def test_no_address_no_message(shop: Shop, receiver: Receiver) -> None:
    """Without [notify] url nothing is asked of anybody, and held --remind says what to set; an address that leads nowhere is said."""
    toml = shop.folder / "recon.toml"
    toml.write_text(toml.read_text().replace('url = { env = "NOTIFY_URL" }', ""))
    assert shop.night("bad").code == 4
    with house(shop) as host:
        assert (remind(host.project, host.state).told, remind(host.project, host.state).why) == (0, None)
    by_hand = recon("held", "--remind", cwd=shop.folder, env=shop.env)
    assert (by_hand.returncode, receiver.requests) == (0, [])
    assert "recon.toml has no [notify] url" in by_hand.stderr

    settings(shop, 'url = { env = "NOTHING_HERE" }')
    broken = recon("held", "--remind", cwd=shop.folder, env=shop.env)
    assert broken.returncode == 6
    assert "NOTHING_HERE is not set" in broken.stderr
