"""What a night may not say and may not do, however plausible: absence out of a listing, clean out of a doubt, a correction that is out of date."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.commands import figures, recon
from tests.acceptance.shop import JOB, Shop, listing, record
from tests.servers.fault_server import Answer, Asked, FaultServer, page


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Two domains that agree."""
    with FaultServer() as server:
        yield Shop(tmp_path, server)


def rewrite(shop: Shop, old: str, new: str, file: str = "recon.toml") -> None:
    path = shop.folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def outbox(shop: Shop) -> dict[str, str]:
    database = sqlite3.connect(shop.folder / ".recon/state.db")
    rows = database.execute("select e.key, o.state from recon_outbox o join recon_events e on e.id = o.event_id order by o.seq").fetchall()
    database.close()
    return dict(rows)


def undelivered(shop: Shop) -> None:
    """What a destination that was down all night leaves behind."""
    database = sqlite3.connect(shop.folder / ".recon/state.db")
    database.execute("update recon_outbox set state = 'waiting', sent_at = null")
    database.commit()
    database.close()


def test_an_open_discrepancy_is_not_resolved_by_a_listing_that_leaves_it_out(shop: Shop) -> None:
    """Missing last night, left out of tonight's listing, still found by id and still not in the store: open, and not clean."""
    shop.sql("delete from bad where id = 'k03'")
    assert shop.night("bad").bad["missing"] == 1
    shop.server.on("/bad", listing([r for r in shop.records if r["id"] != "k03"]))

    night = shop.night("bad")

    assert night.bad["resolved"] == 0
    assert night.bad["verdict"] == "discrepancies"
    assert "left out of tonight's listing" in str(night.bad["unconfirmed_why"])
    shop.serve("bad", shop.records)
    assert len({event["id"] for event in shop.night("bad").events}) == 1


def test_a_waiting_event_of_an_item_that_moves_is_taken_back(shop: Shop) -> None:
    """Last night's event still waits; tonight its item changes between the looks: the old state is not sent."""
    shop.sql("delete from bad where id = 'k03'")
    assert len(shop.night("bad").events) == 1
    undelivered(shop)
    assert outbox(shop) == {"k03": "waiting"}
    shop.server.on("/bad/k03", page(record(3, status="refunded")))

    night = shop.night("bad")

    assert len(night.events) == 1
    assert outbox(shop) == {"k03": "withdrawn"}
    assert night.bad["verdict"] == "discrepancies"


def test_a_404_for_a_folded_key_proves_no_deletion(shop: Shop) -> None:
    """Keys are compared folded; the provider's own K07 is not listed and not found under k07: unconfirmed, and no event."""
    job = shop.folder / "jobs/bad.py"
    job.write_text(
        job.read_text()
        .replace("import Field, Guard, Job, Table", "import Field, Guard, Job, Table, Text")
        .replace("settle=0,", 'settle=0, key=Text(case="fold"),')
    )
    shop.serve("bad", [r for r in shop.records if r["id"] != "k07"])

    night = shop.night()

    assert night.events == []
    assert night.bad["unconfirmed"] == 1
    assert "folded" in str(night.bad["unconfirmed_why"])


def test_a_listing_shorter_than_the_apis_own_count_is_not_clean(shop: Shop) -> None:
    """The API says 60 and lists 30: whatever agrees, clean is not said."""
    rewrite(shop, 'get = "bad/{key}"', 'get = "bad/{key}"\ntotal = "total"')
    shop.server.on("/bad", page({"data": shop.records, "has_more": False, "total": 60}))

    night = shop.night("bad")

    assert (night.bad["equal"], night.bad["verdict"]) == (30, "discrepancies")
    said = (
        recon("show", night.bad["run"], cwd=shop.folder, env=shop.env).stdout
        + recon("report", night.bad["run"], "-f", "text", cwd=shop.folder, env=shop.env).stdout
    )
    assert "the provider counts 60 and listed 30" in said


def test_an_approval_that_finds_nothing_left_is_not_clean(tmp_path: Path) -> None:
    """Held for ten deletions that were undone before the approval: nothing is sent, and the hours-old comparison is not called clean."""
    with FaultServer() as server:
        shop = Shop(tmp_path, server, floor=3)
        shop.serve("bad", shop.records[:20])
        night = shop.night("bad")
        shop.serve("bad", shop.records)

        words = ("approve", night.bad["run"], "--plan", night.bad["plan"]["checksum"][:8], "--reason", "checked", "--json")
        sent = figures(recon(*words, cwd=tmp_path, env=shop.env))

    assert sent["plan"]["events"] == 0
    assert sent["verdict"] != "clean"
    assert sent["consistent_as_of"] is None


def test_an_approved_plan_of_a_job_that_picks_its_events_goes_out(tmp_path: Path) -> None:
    """A job whose correct= says None for some items: the approval sends the others, and ends."""
    with FaultServer() as server:
        shop = Shop(tmp_path, server, floor=3)
        text = (
            JOB.format(name="bad", floor=3)
            .replace(
                "bad = Job(",
                "def pick(found):\n    return None if found.key == 'k21' else Correction(type='bad.gone')\n\nbad = Job(correct=pick,",
            )
            .replace("import Field", "import Correction, Field")
        )
        (tmp_path / "jobs/bad.py").write_text(text)
        shop.serve("bad", shop.records[:20])
        night = shop.night("bad")

        words = ("approve", night.bad["run"], "--plan", night.bad["plan"]["checksum"][:8], "--reason", "checked", "--json")
        sent = figures(recon(*words, cwd=tmp_path, env=shop.env))

    assert (sent["exit_code"], sent["delivery"]["confirmed"]) == (0, 9), sent["problem"]


def test_pages_of_two_places_are_never_put_together(shop: Shop) -> None:
    """Interrupted after a page, then pointed at another path: the fetch starts anew there."""
    shop.server.on("/bad", page({"data": shop.records[:10], "has_more": True}), Answer(status=403))
    assert shop.night("bad").code == 75
    other = [record(n, amount=1) for n in range(30)]
    shop.serve("bad", shop.records)
    shop.server.on("/elsewhere", listing(other))
    rewrite(shop, 'path = "bad"', 'path = "elsewhere"')

    night = shop.night("bad")

    assert night.bad["coverage"]["resumed"] is False
    assert night.bad["suspects"] == 30


def test_a_cursor_that_died_costs_one_page_and_no_more(shop: Shop) -> None:
    """The item that the cursor names is gone, and the API refuses it: the next run goes on from one before it, says so, and ends whole."""
    whole = listing(shop.records)
    shop.server.on("/bad", lambda asked: page({"error": "gone"}, status=503) if asked.query.get("after") == "k19" else whole(asked))
    assert shop.night("bad").code == 75

    def dead(asked: Asked) -> Answer:
        return (
            page({"error": "no such cursor"}, status=400)
            if asked.query.get("after") == "k19" and len(shop.server.requests) < mark + 2
            else whole(asked)
        )

    mark = len(shop.server.requests)
    shop.server.on("/bad", dead)

    night = shop.night("bad")

    assert night.bad["coverage"]["records"] == 30, night.problem
    assert "page 3 was asked for after an item before the one that it goes on from" in night.bad["coverage"]["proof"]


def test_a_dry_run_leaves_the_slot_and_the_resumed_run_alone(shop: Shop) -> None:
    """A dry run for a slot does not use it up, and a real run is not gone on with as a dry one, nor the reverse."""
    shop.sql("delete from bad where id = 'k03'")
    slot = "2026-11-23T03:00:00Z"

    dry = shop.night("bad", "--slot", slot, "--dry-run")
    real = shop.night("bad", "--slot", slot)
    again = shop.night("bad", "--slot", slot)

    assert dry.events == []
    assert len(real.events) == 1
    assert (again.code, again.bad["run"], len(again.events)) == (0, real.bad["run"], 1)

    shop.server.on("/bad", page({"data": shop.records[:10], "has_more": True}), Answer(status=403))
    broken = shop.night("bad", "--dry-run")
    shop.serve("bad", shop.records)
    resumed = recon("run", "bad", "--resume", broken.bad["run"], cwd=shop.folder, env=shop.env)

    assert resumed.returncode == 2
    assert "dry run" in resumed.stdout + resumed.stderr
