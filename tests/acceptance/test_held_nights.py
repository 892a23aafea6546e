"""Nights that together are too much, and what becomes of a plan that waits: shown whole, decided once, never out of date."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from recon import Guard
from recon.errors import StalePlan
from recon.notify import notice
from recon.progress import Silent
from recon.report.text import plain, summary
from recon.run import approve, figures_of
from recon.state.runs import Runs
from tests.acceptance.house import DAY, House, house, settings, tripped
from tests.acceptance.nights import Nights, job
from tests.acceptance.shop import Shop
from tests.servers.fault_server import Answer, FaultServer


@pytest.fixture
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """Thirty items, a floor of three, and the state in SQLite, or where a test says so in PostgreSQL."""
    with FaultServer() as server:
        one = Shop(tmp_path, server, floor=3)
        if getattr(request, "param", "sqlite") == "postgresql":
            one.env = {**one.env, "RECON_STATE_URL": request.getfixturevalue("database")}
        yield one


@pytest.fixture
def host(shop: Shop) -> Iterator[House]:
    """One host, on its own clock."""
    with house(shop) as one:
        yield one


def sent(shop: Shop) -> int:
    """How many events came out."""
    file = shop.folder / "events.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


def gone(shop: Shop, count: int) -> None:
    """The third party has lost the last `count` items."""
    shop.serve("bad", shop.records[: len(shop.records) - count])


def test_a_source_that_shrinks_a_little_every_night_is_held(shop: Shop, host: House) -> None:
    """Three items of thirty a night pass the nightly limit of a fifth; on the third night a quarter is gone in a week, and it is held."""
    settings(shop, "[jobs.bad.guard]\nextra = 1.0\nweek = 1.0")
    with house(shop, host.clock) as careful:
        verdicts = []
        for night in range(4):
            gone(shop, 3 * night)
            figures = careful.night()
            verdicts.append((figures.verdict.value, tripped(figures)))
            shop.sql(f"delete from bad where id >= 'k{30 - 3 * night:02d}'")

    assert verdicts[:3] == [("clean", []), ("discrepancies", []), ("discrepancies", [])]
    assert verdicts[3] == ("held", ["shrunken"])
    assert sent(shop) == 6


@pytest.mark.parametrize("shop", ["sqlite", "postgresql"], indirect=True)
def test_small_corrections_every_night_are_held_once_they_add_up(shop: Shop, host: House) -> None:
    """Two deletions a night stay below the floor of three; two other ones make four distinct facts, above floor and week."""
    gone(shop, 2)
    first, again = host.night(), host.night()
    shop.sql("delete from bad where id >= 'k28'")
    gone(shop, 4)
    second = host.night()

    assert first.verdict.value == "discrepancies"
    # The same two found again are the same two facts.
    assert tripped(again) == []
    assert (second.verdict.value, tripped(second)) == ("held", ["week"])
    assert "2 in the last 7 days, 2 now" in next(guard.message for guard in second.guards if guard.tripped)

    host.approve(second)
    host.later(8 * DAY)
    shop.sql("delete from bad where id >= 'k26'")
    assert host.night().verdict.value == "clean"


@pytest.mark.parametrize("shop", ["sqlite", "postgresql"], indirect=True)
def test_one_plan_waits_the_newest(shop: Shop, host: House) -> None:
    """The next night runs although a plan is held; its own plan takes the older one's place, which says who has looked since."""
    gone(shop, 10)
    older = host.night()
    newer = host.night()

    assert [run.id for run in Runs(host.state).held("bad")] == [newer.run]
    with pytest.raises(StalePlan, match=f"run {newer.run} has looked since") as refused:
        host.approve(older)
    assert f"recon show {newer.run}" in (refused.value.hint or "")
    assert figures_of(host.state, older.run).verdict.value == "discrepancies"
    page = (shop.folder / "reports" / older.run / "index.html").read_text()
    assert "recon approve" not in page
    assert sent(shop) == 0

    host.approve(newer)
    assert sent(shop) == 10


def test_a_night_that_fails_leaves_the_held_plan_and_a_clean_one_ends_it(shop: Shop, host: House) -> None:
    """Only a run that has looked at everything knows better than the plan that waits."""
    gone(shop, 10)
    waiting = host.night()
    shop.server.on("/bad", Answer(status=500))
    failed = host.night()
    assert failed.verdict.value in {"incomplete", "failed"}
    assert [run.id for run in Runs(host.state).held("bad")] == [waiting.run]

    shop.serve("bad", shop.records)
    clean = host.night()

    assert clean.verdict.value == "clean"
    assert Runs(host.state).held("bad") == []
    with pytest.raises(StalePlan, match="has looked since"):
        host.approve(waiting)
    assert sent(shop) == 0


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ('[jobs.bad.params]\nkind = "b"', "provider"),
        ('[publishers.two]\ntype = "file"\npath = "elsewhere.jsonl"', "publisher"),
        ("", "fields"),
    ],
)
def test_an_approval_is_refused_once_the_job_is_another(shop: Shop, change: str, part: str) -> None:
    """What was shown is what goes out: other fields, another listing or another publisher, and the approval says which and sends nothing."""
    gone(shop, 10)
    with house(shop) as host:
        waiting = host.night()
        clock = host.clock
    toml, job = shop.folder / "recon.toml", shop.folder / "jobs/bad.py"
    before = toml.read_text(), job.read_text()
    if part == "publisher":
        toml.write_text(before[0].replace('[jobs.bad]\npublisher = "out"', f'{change}\n[jobs.bad]\npublisher = "two"'))
    elif part == "provider":
        settings(shop, change)
    else:
        job.write_text(before[1].replace('Field("status")', 'Field("status", mapping={"paid": "open"})'))

    with house(shop, clock) as host, pytest.raises(StalePlan, match=rf"the job has changed \({part}\)"):
        host.approve(waiting)
    assert sent(shop) == 0
    toml.write_text(before[0])
    job.write_text(before[1])
    with house(shop, clock) as host:
        assert [run.id for run in Runs(host.state).held("bad")] == [waiting.run]
        host.approve(waiting)

    assert sent(shop) == 10
    assert not (shop.folder / "elsewhere.jsonl").exists()


@pytest.mark.parametrize("shop", ["sqlite", "postgresql"], indirect=True)
def test_a_plan_past_its_time_by_the_databases_clock_is_refused(shop: Shop, host: House) -> None:
    """One second late is too late, and the report says what became of it."""
    gone(shop, 10)
    waiting = host.night()
    host.later(36 * 3600 + 1)

    with pytest.raises(StalePlan, match="nobody decided in time"):
        host.approve(waiting)

    assert sent(shop) == 0
    assert figures_of(host.state, waiting.run).state == "expired"


def test_a_plan_without_events_says_what_an_approval_means(tmp_path: Path) -> None:
    """Both sides lose half of their items: nothing differs, and it is held. No event is offered for approval; approved, the next night is measured by it."""
    nights = Nights(tmp_path, job(guard=Guard(shrunken=0.2)))
    nights.both(*(f"k{n:02}" for n in range(20)))
    nights.night()
    for n in range(10):
        del nights.there[f"k{n:02}"], nights.here[f"k{n:02}"]
    held = nights.night()
    assert held.plan is not None
    words = {"plan": held.plan.checksum[:8], "reason": "both were cleaned up", "by": "anna"}
    approve(nights.project, nights.state, held.run, clock=nights.clock, progress=Silent(), **words)
    after = nights.night()

    assert (held.verdict.value, held.plan.events) == ("held", 0)
    for said in (plain(summary(held)), notice.held(held, now=nights.clock.now(), count=0).text):
        assert "no event waits: an approval says that the figures are right" in said
        assert "0 events" not in said
    assert after.verdict.value == "clean"
    nights.close()
