"""Heartbeat pings: at the start, at a good end and at failure, of real runs against a real receiver; and that none ever harms a run."""

import json
import re
import socket
from pathlib import Path

import pytest

from recon import heartbeat
from recon.heartbeat import below
from tests.acceptance.cli_project import Shell, Shop
from tests.servers.receiver import Receiver, Reply

SECRET = "0c4f1ab2-aaaa-bbbb-cccc-ping-canary"


@pytest.fixture
def shell(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A project whose runs ping the receiver, at a URL that is a secret."""
    monkeypatch.setattr(heartbeat, "SECONDS", 0.5)
    monkeypatch.setattr(heartbeat, "PAUSE_SECONDS", 0.01)
    shop = Shop.made(tmp_path)
    shop.environ["BEAT"] = f"{receiver.url.removesuffix('/hooks')}/ping/{SECRET}/{{domain}}"
    add(shop, '[heartbeat]\nurl = { env = "BEAT" }\n')
    return Shell(shop, monkeypatch, capsys)


def add(shop: Shop, text: str) -> None:
    settings = shop.folder / "recon.toml"
    settings.write_text(settings.read_text() + text)


def paths(receiver: Receiver) -> list[str]:
    return [request.path.removeprefix(f"/ping/{SECRET}") for request in receiver.requests]


def test_a_good_night_begins_and_ends(shell: Shell, receiver: Receiver) -> None:
    """`URL/start`, then `URL`, with one line of verdict, figures and run in the second."""
    assert shell("run", "orders").code == 0
    assert paths(receiver) == ["/orders/start", "/orders"]
    assert re.fullmatch(r"orders: clean, 10 compared, 0 discrepancies, exit 0, run [0-9A-Z]{26}", receiver.requests[1].body.decode())


def test_a_good_end_that_is_not_proven_clean(shell: Shell, receiver: Receiver) -> None:
    """Items that cannot be read are no failure, and the line says of how many nothing is known."""
    rows = [{"id": f"o{n:03}", "status": "paid", "total": "nonsense" if n < 3 else 100 + n} for n in range(10)]
    shell.shop.third_party(orders=rows, refunds=rows)
    assert shell("run", "orders").code == 0
    assert "0 discrepancies, not proven clean: 3 unreadable, exit 0" in receiver.requests[1].body.decode()


@pytest.mark.parametrize("given", ["ftp://somewhere/x", None, "http://127.0.0.1:9/x"])
def test_the_doctor_looks_at_both_addresses(shell: Shell, given: str | None) -> None:
    """An address that cannot serve, or a reference that leads nowhere, is found in the afternoon; one that can is not called."""
    add(shell.shop, '[notify]\nurl = { env = "TELL" }\n')
    del shell.shop.environ["BEAT"]
    shell.shop.environ |= {"BEAT": given, "TELL": given} if given is not None else {}
    said = shell("doctor", "orders", "--json")
    found = {check["name"]: check["level"] for check in json.loads(said.out)["checks"]}
    good = given is not None and given.startswith("http:")
    assert (found["notify"], found["heartbeat"]) == (("ok", "ok") if good else ("fail", "fail"))
    assert said.code == (0 if good else 2)


def test_by_the_schedule_too_and_not_for_a_look(shell: Shell, receiver: Receiver) -> None:
    """`--due` pings for each domain that is due; a check, a dry run, one key, and a slot that has had its run do not."""
    assert shell("run", "--due").code == 0
    assert sorted(paths(receiver)) == ["/orders", "/orders/start", "/refunds", "/refunds/start"]
    receiver.requests.clear()
    rows = json.loads(shell("schedule", "status", "--json").out)["slots"]
    slot = next(row["slot"] for row in rows if row["domain"] == "orders")
    for words in (
        ["check", "orders"],
        ["run", "orders", "--dry-run"],
        ["run", "orders", "--id", "o001"],
        ["run", "orders", "--slot", slot],
    ):
        assert shell(*words).code == 0, words
    assert paths(receiver) == []


@pytest.mark.parametrize(
    ("break_it", "code", "says"),
    [
        (lambda shop: shop.third_party(down=True), 75, "Unreachable: GET /orders -> 503 with token ••••"),
        (lambda shop: shop.third_party(orders=[], refunds=[]), 4, "orders: held"),
        (lambda shop: shop.write("jobs/orders.py", "nonsense nonsense\n"), 2, "BadDefinition"),
        (lambda shop: shop.write("providers/shop.py", (shop.folder / "providers/shop.py").read_text().replace("rows = self._read()[listing", "rows = 1 / 0, self._read()[listing")), 1, "ZeroDivisionError"),
    ],
    ids=["down", "held", "broken", "plug-in"],
)  # fmt: skip
def test_a_night_that_went_wrong_says_so(shell: Shell, receiver: Receiver, break_it, code: int, says: str) -> None:
    """`URL/fail` for whatever ends with another exit code than 0, with the reason, masked."""
    break_it(shell.shop)
    assert shell("run", "orders").code == code
    last = receiver.requests[-1]
    assert last.path.endswith("/orders/fail")
    assert says in last.body.decode()


@pytest.mark.parametrize(
    ("replies", "tries"),
    [([Reply(status=500)] * 9, 4), ([Reply(status=404)] * 9, 2), ([Reply(cut=True)] * 9, 4), ([Reply(status=302, headers={"Location": "/elsewhere"})] * 9, 2)],
    ids=["500", "404", "cut", "redirect"],
)  # fmt: skip
def test_a_ping_that_fails_harms_nothing(shell: Shell, receiver: Receiver, replies: list[Reply], tries: int) -> None:
    """The run ends as it would; the failure is said once, without the URL; a redirect is not followed; tries are few."""
    receiver.replies = replies
    said = shell("run", "orders")
    assert said.code == 0
    assert len(receiver.requests) == tries
    assert said.err.count("the heartbeat at 127.0.0.1 was not taken") == 1
    assert SECRET not in said.err + said.out
    assert not any("elsewhere" in request.path for request in receiver.requests)


def test_nobody_there(shell: Shell) -> None:
    """A port on which nobody listens, and a receiver that never answers, cost seconds at most, and not the run."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        for listening in (False, True):
            if listening:
                silent.listen()
            shell.shop.environ["BEAT"] = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
            said = shell("run", "orders")
            assert said.code == 0
            assert said.err.count("was not taken") == 1


@pytest.mark.parametrize("given", ["ftp://somewhere/x", "nonsense", "http://"])
def test_what_is_no_url(shell: Shell, given: str) -> None:
    """A URL that cannot serve is said, and the run goes on."""
    shell.shop.environ["BEAT"] = given
    said = shell("run", "orders")
    assert said.code == 0
    assert "no heartbeat is sent: its URL wants https://" in said.err


def test_a_reference_that_leads_nowhere(shell: Shell, receiver: Receiver) -> None:
    """A missing secret of the heartbeat does not keep the night from running."""
    del shell.shop.environ["BEAT"]
    said = shell("run", "orders")
    assert said.code == 0
    assert "no heartbeat is sent: " in said.err
    assert "BEAT is not set" in said.err
    assert paths(receiver) == []


def test_a_domain_s_own(shell: Shell, receiver: Receiver) -> None:
    """`[jobs.NAME] heartbeat` stands in for the common one, and "" switches it off."""
    add(shell.shop, f'[jobs.refunds]\nheartbeat = "{receiver.url}/own?create=1"\n')
    assert shell("run", "refunds").code == 0
    assert paths(receiver) == ["/hooks/own/start?create=1", "/hooks/own?create=1"]
    receiver.requests.clear()
    text = (shell.shop.folder / "recon.toml").read_text()
    shell.shop.write("recon.toml", text.replace(f'heartbeat = "{receiver.url}/own?create=1"', 'heartbeat = ""'))
    assert shell("run", "refunds").code == 0
    assert paths(receiver) == []


def test_a_heartbeat_of_the_wrong_kind(shell: Shell) -> None:
    """A number is refused at the line it stands on, for that domain alone."""
    add(shell.shop, "[jobs.refunds]\nheartbeat = 5\n")
    said = shell("run", "refunds")
    assert said.code == 2
    assert "[jobs.refunds] heartbeat: wants a URL or a reference" in said.err + said.out
    assert shell("run", "orders").code == 0


def test_while_another_is_at_work_nothing_is_pinged(shell: Shell, receiver: Receiver) -> None:
    """A run that finds the domain locked is no failed night: whoever is at work pings for it."""
    from recon.state.database import State
    from recon.state.runs import Runs

    with State.open(f"sqlite:///{shell.shop.folder}/.recon/state.db") as state:
        Runs(state).start("orders", trigger="cli", owner="other:1")
        said = shell("run", "orders")
    assert said.code == 75
    assert "INCOMPLETE  orders: nothing was compared" in said.out
    assert "orders  no run  as of" in said.out
    assert paths(receiver) == []


def test_where_the_suffix_goes() -> None:
    """On the path, before a query."""
    assert below("https://hc-ping.com/uuid", "start") == "https://hc-ping.com/uuid/start"
    assert below("https://hc-ping.com/key/slug/?create=1#x", "fail") == "https://hc-ping.com/key/slug/fail?create=1"
    assert below("https://hc-ping.com/uuid", "") == "https://hc-ping.com/uuid"
