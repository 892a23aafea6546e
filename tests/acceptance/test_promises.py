"""The fourteen promises, one test named after each, through the command line. What proves each at length stands in docs/reliability.md."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.nights import approve, finish
from tests.faults.nursery import Ended, Nursery
from tests.faults.world import DRIFT, WIPE, World, every, third_party
from tests.servers.fault_server import Answer, FaultServer, page

CANARY = "tok_canary_9f2c"


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """Processes for the commands."""
    with Nursery() as one:
        yield one


@pytest.fixture
def shop() -> Iterator[FaultServer]:
    """The third party."""
    with FaultServer() as server:
        third_party(server)
        yield server


@pytest.fixture
def world(tmp_path: Path, shop: FaultServer) -> World:
    """A project whose sides agree; more than three changes of a kind are held."""
    return World.made(tmp_path / "world", shop.url, floor=3)


def told(ended: Ended) -> dict[str, Any]:
    """The JSON document of a run."""
    assert ended.out, ended.err
    return json.loads(ended.out)


def keys(world: World) -> set[str]:
    """The keys that events were sent for."""
    return {event["data"]["key"] for event in world.events()}


def test_promise_01_a_partial_fetch_never_yields_a_deletion(nursery: Nursery, world: World, shop: FaultServer) -> None:
    """The last page does not come: exit 75, nothing compared, nothing sent, though the store has an item more."""
    world.sql(*DRIFT)
    every(shop, lambda asked: Answer(status=500) if asked.query.get("after") == "k05" else None)

    ended = nursery.run(world.folder, "run", "orders", "--json")

    assert (ended.code, told(ended)["verdict"], told(ended)["plan"]) == (75, "incomplete", None)
    assert world.lines() == []


def test_promise_02_no_correction_for_what_changed_while_we_looked(nursery: Nursery, world: World, shop: FaultServer) -> None:
    """An item that is another one at the second look gets no event; those that stayed as they were do."""
    world.sql(*DRIFT)
    shop.on("/orders/k02", page({"id": "k02", "status": "paid", "amount": 999}))

    assert nursery.run(world.folder, "run", "orders").code == 0
    assert keys(world) == {"k01", "k90"}


def test_promise_03_killed_at_any_instant_it_resumes(nursery: Nursery, world: World, shop: FaultServer) -> None:
    """Killed before its third page, the next run asks for that page on, and ends as if nothing had been."""
    world.sql(*DRIFT)
    assert nursery.run(world.folder, "run", "orders", act="die", kinds=["request"], at=3).code == 137
    asked = len(shop.requests)
    world.a_minute_passes()

    ended = nursery.run(world.folder, "run", "orders", "--json")

    assert told(ended)["coverage"]["resumed"] is True
    assert [one.query.get("after") for one in shop.requests[asked:] if one.path == "/orders"] == ["k05"]
    assert world.consume() == world.truth()


def test_promise_04_one_discrepancy_one_event_id_applied_once(nursery: Nursery, world: World) -> None:
    """Killed between sending and writing that down, the events go out again under the same ids, and a consumer that goes by ids is right."""
    world.sql(*DRIFT)
    assert nursery.run(world.folder, "run", "orders", act="die", kinds=["published"], at=1).code == 137

    finish(nursery, world)

    assert len(world.lines()) > 3
    assert len({event["id"] for event in world.events()}) == 3
    assert world.consume() == world.truth()


def test_promise_05_a_stale_holder_cannot_write(nursery: Nursery, world: World) -> None:
    """Stopped past its lease and overtaken, it is refused when it wakes, exit 75, and sends nothing."""
    world.sql(*DRIFT)
    stopped = nursery.run(world.folder, "run", "orders", act="stop", kinds=["request"], at=4)
    world.a_minute_passes()
    assert nursery.run(world.folder, "run", "orders").code == 0
    sent = world.lines()

    awake = nursery.go_on(stopped)

    assert awake.code == 75
    assert "took over" in awake.out + awake.err
    assert world.lines() == sent


def test_promise_06_one_run_per_domain_and_slot(nursery: Nursery, world: World) -> None:
    """The same slot asked for twice has one run, and the second answer is the first one's."""
    line = "run", "orders", "--slot", "2026-01-03T03:00:00Z", "--json"
    first, second = (told(nursery.run(world.folder, *line)) for _ in range(2))

    assert first["run"] == second["run"]
    assert len(world.state("select id from recon_runs")) == 1


def test_promise_07_a_missed_night_runs_once_on_return(nursery: Nursery, world: World) -> None:
    """Nights that were missed are caught up by one run; asked again at once, nothing is due."""
    job = world.folder / "jobs/orders.py"
    job.write_text(job.read_text().replace("settle=0,", 'settle=0, schedule="0 0 * * *",'))
    assert nursery.run(world.folder, "run", "--due").code == 0
    before = len(world.state("select id from recon_runs"))
    three_days = 3 * 86_400 * 1_000_000
    world.sql(f"update recon_slots set slot = slot - {three_days}, recorded_at = recorded_at - {three_days}", database=".recon/state.db")
    world.sql(f"update recon_runs set slot = slot - {three_days} where slot is not null", database=".recon/state.db")

    ended = nursery.run(world.folder, "run", "--due")
    again = nursery.run(world.folder, "run", "--due")

    assert (ended.code, again.code) == (0, 0), ended.err + again.err
    assert len(world.state("select id from recon_runs")) == before + 1


def test_promise_08_a_mass_change_is_held_whole(nursery: Nursery, world: World) -> None:
    """Five of nine missing: exit 4, not one event is sent, and none could be."""
    world.sql(*WIPE)

    assert nursery.run(world.folder, "run", "orders").code == 4
    assert nursery.run(world.folder, "publish").code == 0
    assert world.lines() == []


def test_promise_09_an_approval_covers_exactly_what_was_shown(nursery: Nursery, world: World) -> None:
    """Another checksum is refused; the right one sends what was shown less what has healed, and works once."""
    world.sql(*WIPE)
    assert nursery.run(world.folder, "run", "orders").code == 4
    line = approve(world)
    world.sql("insert into orders values ('k04', 'paid', 104)", "delete from orders where id = 'k00'")

    wrong = nursery.run(world.folder, *line[:3], "0" * 16, *line[4:])
    right = nursery.run(world.folder, *line)
    twice = nursery.run(world.folder, *line)

    assert (wrong.code, right.code, twice.code) == (4, 0, 4), right.err
    assert keys(world) == {"k05", "k06", "k07", "k08"}


def test_promise_10_a_run_that_did_not_happen_is_loud(nursery: Nursery, world: World) -> None:
    """A job file that no longer loads is told by `run --all` and by `run --due`, with the file's name and a failing exit code."""
    (world.folder / "jobs/refunds.py").write_text("from recon import Job\nrefunds = Job(\n")

    for line in (("run", "--all"), ("run", "--due")):
        ended = nursery.run(world.folder, *line)
        assert ended.code == 2, line
        assert "refunds.py" in ended.err + ended.out


def test_promise_11_no_secret_leaves(nursery: Nursery, world: World, shop: FaultServer) -> None:
    """A token that the third party quotes in its refusal stands in no output, file or table."""
    toml = world.folder / "recon.toml"
    toml.write_text(toml.read_text().replace("tries = 2", 'tries = 2\nauth = { bearer = { env = "TOKEN" } }'))
    shop.on("/orders", page({"error": {"message": f"token {CANARY} is not known"}}, 403))

    ended = nursery.run(world.folder, "run", "orders", "-vv", env={"TOKEN": CANARY})

    assert any(f"Bearer {CANARY}" == asked.headers.get("authorization") for asked in shop.requests)
    assert ended.code == 75
    found = [path for path in world.folder.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert found == []
    assert CANARY not in ended.out + ended.err


def test_promise_12_hostile_text_is_inert(nursery: Nursery, world: World, shop: FaultServer) -> None:
    """Script, terminal codes and a formula in one value reach neither HTML, terminal nor CSV alive."""
    evil = "\x1b]0;x\x07</script><img src=x onerror=alert(1)>"
    hostile = [{"id": "k00", "status": evil, "amount": 100}, {"id": "k01", "status": "=cmd|' /C calc'!A0", "amount": 101}]
    third_party(shop, hostile)
    world.sql("delete from orders where id > 'k01'")

    ended = nursery.run(world.folder, "run", "orders")

    assert ended.code == 0, ended.err + ended.out
    assert "\x1b]" not in ended.out + ended.err
    (html,) = world.folder.glob("reports/*/index.html")
    (csv,) = world.folder.glob("reports/*/*.csv")
    assert "<img src=x" not in html.read_text()
    assert ',"=cmd' not in csv.read_text()
    assert "'=cmd" in csv.read_text()


def test_promise_13_an_unreadable_item_is_unknown_never_missing(nursery: Nursery, world: World, shop: FaultServer) -> None:
    """An amount that is no number: the item is counted as unreadable, is in no event, and clean is not said."""
    third_party(shop, [{**one, "amount": "a lot"} if one["id"] == "k03" else one for one in world.records])

    ended = told(nursery.run(world.folder, "run", "orders", "--json"))

    assert (ended["unreadable_items"], ended["missing"], ended["extra"], ended["changed"]) == (1, 0, 0, 0)
    assert ended["verdict"] != "clean"
    assert world.lines() == []


def test_promise_14_clean_is_only_said_of_a_proven_whole_comparison(nursery: Nursery, world: World, shop: FaultServer) -> None:
    """Sides that agree are called clean, with the time; the same sides behind a listing that proves no end are not."""
    clean = told(nursery.run(world.folder, "run", "orders", "--json"))
    shop.on("/orders", page({"data": world.records}))
    unproven = told(nursery.run(world.folder, "run", "orders", "--json"))

    assert (clean["verdict"], clean["consistent_as_of"] is not None) == ("clean", True)
    assert unproven["verdict"] == "incomplete"
