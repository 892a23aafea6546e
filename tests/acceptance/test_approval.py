"""A held plan and the person who decides over it: exactly that plan, once, read again before anything goes out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.commands import figures, recon
from tests.acceptance.shop import Outcome, Shop, listing
from tests.servers.fault_server import Answer, FaultServer


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Thirty items, ten of which the third party has really deleted; the guard's floor is below that."""
    with FaultServer() as server:
        one = Shop(tmp_path, server, floor=3)
        one.serve("bad", one.records[:20])
        yield one


def approve(shop: Shop, night: Outcome, plan: str | None = None, reason: str = "seen in the dashboard") -> Any:
    words = ("approve", night.bad["run"], "--plan", plan or night.bad["plan"]["checksum"][:8], "--reason", reason, "--json")
    return recon(*words, cwd=shop.folder, env=shop.env)


def events(shop: Shop) -> list[str]:
    file = shop.folder / "events.jsonl"
    return file.read_text().splitlines() if file.exists() else []


def test_what_was_shown_goes_out_once(shop: Shop) -> None:
    """The approved plan's ten events go out, its report stands as sent, and a second approval is refused."""
    night = shop.night("bad")
    assert (night.code, night.bad["verdict"], night.events) == (4, "held", [])

    sent = figures(approve(shop, night))
    again = approve(shop, night)

    assert (sent["exit_code"], sent["plan"]["state"], sent["delivery"]["confirmed"]) == (0, "enqueued", 10)
    assert sent["plan"]["reason"] == "seen in the dashboard"
    assert len(events(shop)) == 10
    assert again.returncode == 4
    assert "nothing to decide" in again.stderr
    assert "HELD" not in (shop.folder / "reports" / night.bad["run"] / "index.html").read_text()


def test_items_drop_out_and_none_joins(shop: Shop) -> None:
    """What came back since is left out, what went since is not let in, and the checksum stays that of the plan approved."""
    night = shop.night("bad")
    shop.serve("bad", [r for r in shop.records[:20] if r["id"] != "k00"] + [shop.records[25]])

    sent = figures(approve(shop, night))

    assert sent["plan"]["checksum"] == night.bad["plan"]["checksum"]
    assert sent["plan"]["events"] == 9
    keys = sorted(line.split('"key":"')[1][:3] for line in events(shop))
    assert keys == [f"k{n}" for n in (20, 21, 22, 23, 24, 26, 27, 28, 29)]


def test_another_checksum_is_refused_with_the_right_one(shop: Shop) -> None:
    """An approval of a plan that is not this one sends nothing and names what is there."""
    night = shop.night("bad")

    wrong = approve(shop, night, plan="0123456789")

    assert wrong.returncode == 4
    assert night.bad["plan"]["checksum"][:8] in wrong.stderr
    assert events(shop) == []


def test_an_approval_that_nothing_can_be_held_against_sends_nothing(shop: Shop) -> None:
    """An empty listing whose reads answer 404 to everything: approved, and still nothing goes out, exit 75, with the reason."""
    shop.server.on("/bad", listing([]))
    for one in shop.records:
        shop.server.on(f"/bad/{one['id']}", Answer(status=404))
    night = shop.night("bad")

    sent = figures(approve(shop, night))

    assert sent["exit_code"] == 75
    assert "no known item" in sent["problem"]["message"]
    assert events(shop) == []


def test_a_rejected_plan_never_goes_out(shop: Shop) -> None:
    """A rejection needs a reason, ends the plan, and the next night makes a plan of its own."""
    night = shop.night("bad")

    silent = recon("reject", night.bad["run"], "--reason", " ", cwd=shop.folder, env=shop.env)
    done = recon("reject", night.bad["run"], "--reason", "a wrong filter", cwd=shop.folder, env=shop.env)
    late = approve(shop, night)
    next_night = shop.night("bad")

    assert silent.returncode == 2
    assert done.returncode == 0
    assert late.returncode == 4
    assert "a wrong filter" in late.stderr
    assert next_night.bad["run"] != night.bad["run"]
    assert next_night.bad["verdict"] == "held"
    assert events(shop) == []


def test_the_same_with_the_state_in_postgresql(shop: Shop, database: str) -> None:
    """Held, approved, sent once, healed: the whole life of a plan with the reconciler's own state in PostgreSQL."""
    shop.env = {**shop.env, "RECON_STATE_URL": database}
    night = shop.night("bad")

    sent = figures(approve(shop, night))
    shop.sql("delete from bad where id >= 'k20'")
    healed = shop.night("bad")

    assert (night.code, night.bad["verdict"]) == (4, "held")
    assert (sent["exit_code"], sent["delivery"]["confirmed"]) == (0, 10)
    assert (healed.bad["verdict"], healed.bad["resolved"]) == ("clean", 10)
    assert not (shop.folder / ".recon/state.db").exists()
