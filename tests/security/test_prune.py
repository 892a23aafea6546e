"""Retention: what ended long ago is removed, what anything still needs is not, and the next night decides as if nothing had been."""

import json
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import select, text

from recon.errors import BadRequest
from recon.ledger import Ledger
from recon.outbox.delivery import drain
from recon.progress import Silent
from recon.run import attic, figures_of, prune
from recon.settings.load import Retention
from recon.state.database import State
from recon.state.pruning import NEEDED
from recon.state.runs import Runs, RunState
from recon.state.tables import doubts, events, findings, ledger, outbox, plan_events
from recon.testing.clock import FixedClock
from recon.testing.publisher import RecordingPublisher
from tests.acceptance.shop import Shop, record
from tests.integration.state.world import (
    START,
    Nights,
    changed,
    clock,
    extra,
    migrated_file,
    migrated_url,
    missing,
    nights,
    state,
    state_url,
)
from tests.servers.fault_server import fault_server

__all__ = ["clock", "fault_server", "migrated_file", "migrated_url", "nights", "state", "state_url"]

DAY = 86_400.0
SEED = 20261125


def project(folder: Path, **keep: float) -> SimpleNamespace:
    """What pruning asks of a project."""
    for name in ("runs", "reports"):
        (folder / name).mkdir(exist_ok=True)
    return SimpleNamespace(
        settings=SimpleNamespace(retention=Retention(**keep)), work_folder=folder, reports_folder=folder / "reports", jobs={}
    )


def pruned(nights: Nights, folder: Path, *, dry: bool = False, **keep: float):
    """Everything older than what is to be kept, of `orders`."""
    return prune(project(folder, **keep), nights.state, ["orders"], clock=nights.clock, dry=dry)[0]


def rows(state: State, table) -> list:
    with state.read() as conn:
        return [tuple(row) for row in conn.execute(select(table).order_by(*table.primary_key.columns))]


def deliver(nights: Nights) -> None:
    drain(nights.state, RecordingPublisher(), name="bus", domain="orders", clock=nights.clock)


def test_old_nights_lose_their_findings_and_keep_their_figures(nights: Nights, tmp_path: Path) -> None:
    """After the time that is set, findings, planned events and sent events of ended runs go; figures and runs stay, and say when."""
    nights.night([changed("1"), missing("2")])
    first = nights.claim.run.id
    deliver(nights)
    nights.night([])
    nights.night([missing("3")])
    for _ in range(20):
        nights.night([])
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / first).mkdir()
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / first).mkdir()

    would = pruned(nights, tmp_path, dry=True, files=DAY, findings=2 * DAY, events=2 * DAY)
    assert (tmp_path / "runs" / first).is_dir()
    done = pruned(nights, tmp_path, files=DAY, findings=2 * DAY, events=2 * DAY)
    again = pruned(nights, tmp_path, files=DAY, findings=2 * DAY, events=2 * DAY)

    assert would == done
    # Two found, and each seen resolved; the third with its planned event, which still waited and was withdrawn.
    assert (done.folders, done.reports, done.findings, done.planned, done.events) == (1, 1, 6, 3, 3)
    assert again.nothing
    assert rows(nights.state, findings) == rows(nights.state, plan_events) == rows(nights.state, events) == []
    assert Runs(nights.state).get(first).pruned_at == nights.clock.now()
    with pytest.raises(BadRequest, match=r"removed by age at 2026-"):
        figures_of(nights.state, first)


def test_what_is_needed_stays(nights: Nights, tmp_path: Path) -> None:
    """An open discrepancy keeps its last finding and its event, a waiting event and a dead letter stay, a held run stays whole."""
    nights.night([changed("open"), missing("dead"), missing("waits")])
    first = nights.claim.run.id
    with nights.state.begin() as conn:
        conn.execute(text("UPDATE recon_outbox SET state = 'dead' WHERE event_id = :id"), {"id": nights.event("dead")})
        conn.execute(text("UPDATE recon_ledger SET state = 'resolved' WHERE key IN ('dead', 'waits')"))
        conn.execute(text("UPDATE recon_outbox SET state = 'sent' WHERE event_id = :id"), {"id": nights.event("open")})
    nights.look([extra(str(n)) for n in range(5)], complete=False)
    with nights.state.begin() as conn:
        nights.plans.make_in(conn, nights.claim.run, nights.job)
        nights.claim = nights.runs.advance_in(conn, nights.claim, RunState.HELD)
    held = nights.claim.run.id
    nights.runs.release(nights.claim)
    nights.begin()
    nights.runs.release(nights.claim)
    nights.clock.advance(400 * DAY)
    pruned(nights, tmp_path, files=0, findings=0, events=0)

    with nights.state.read() as conn:
        left = conn.execute(select(findings.c.run_id, findings.c.key).order_by(findings.c.run_id, findings.c.position)).all()
        sent = set(conn.execute(select(events.c.key)).scalars())
    assert [row.key for row in left if row.run_id == first] == ["open"]
    assert len([row for row in left if row.run_id == held]) == 5
    assert sent == {"open", "dead", "waits"}


def test_an_event_that_one_of_two_destinations_lacks_stays(nights: Nights, tmp_path: Path) -> None:
    """However old: what waits is delivered one day, and what both have goes."""
    nights.look([changed("both"), changed("half")])
    with nights.state.begin() as conn:
        nights.plans.make_in(conn, nights.claim.run, nights.job)
        nights.plans.judge_in(conn, nights.claim.run, (), expires_at=nights.clock.now())
        nights.outbox.enqueue_in(conn, nights.claim, nights.claim.run.id, "bus", "audit")
        nights.claim = nights.runs.advance_in(conn, nights.claim, RunState.EMITTED)
        conn.execute(text("UPDATE recon_outbox SET state = 'sent' WHERE publisher = 'bus' OR partitionkey = 'both'"))
        conn.execute(text("UPDATE recon_ledger SET state = 'resolved'"))
    nights.end()
    nights.clock.advance(400 * DAY)
    pruned(nights, tmp_path, files=0, findings=0, events=0)

    with nights.state.read() as conn:
        assert conn.execute(select(events.c.key)).scalars().all() == ["half"]
        rows = conn.execute(select(outbox.c.publisher, outbox.c.state).order_by(outbox.c.publisher)).all()
    assert ("audit", "waiting") in [tuple(row) for row in rows]


def test_what_a_week_of_guards_counts_stays_whatever_is_set(nights: Nights, tmp_path: Path) -> None:
    """With nothing to be kept at all, an event that went out within the last eight days is still there, and after them it is not."""
    nights.night([missing("1")])
    deliver(nights)
    nights.night([])
    nights.night([])
    pruned(nights, tmp_path, files=0, findings=0, events=0)
    assert len(rows(nights.state, events)) == 1

    nights.clock.advance(NEEDED.total_seconds())
    pruned(nights, tmp_path, files=0, findings=0, events=0)
    assert rows(nights.state, events) == []


def test_a_run_that_is_gone_on_with_meanwhile_is_left_alone(nights: Nights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed run that somebody resumes between the look and the removal keeps what it writes."""
    nights.look([changed("1")])
    run = nights.claim.run.id
    nights.claim = nights.runs.advance(nights.claim, RunState.FAILED)
    nights.runs.release(nights.claim)
    nights.night([], begin=True)
    nights.clock.advance(10 * DAY)
    from recon.state.pruning import Pruning

    looked = Pruning._filled

    def resumed_after(self, conn, old):
        found = looked(self, conn, old)
        if run in found:
            with nights.state.engine.begin() as other:
                other.execute(text("UPDATE recon_runs SET state = 'fetching' WHERE id = :id"), {"id": run})
        return found

    monkeypatch.setattr(Pruning, "_filled", resumed_after)
    before = [row for row in rows(nights.state, findings) if row[0] == run]
    pruned(nights, tmp_path, files=0, findings=0, events=0)

    assert before
    assert [row for row in rows(nights.state, findings) if row[0] == run] == before


def test_no_link_is_followed(nights: Nights, tmp_path: Path) -> None:
    """A symbolic link where a run's folder would lie is left as it is, and what it leads to as well."""
    nights.night([changed("1")])
    first = nights.claim.run.id
    for _ in range(6):
        nights.night([])
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / first).symlink_to(precious)
    done = pruned(nights, tmp_path, files=0, findings=0)

    assert done.folders == 0
    assert (precious / "file").read_text() == "kept"
    assert (tmp_path / "runs" / first).is_symlink()


def test_it_ends_in_time_and_goes_on_another_night(nights: Nights, tmp_path: Path) -> None:
    """With no time left nothing is removed and that is said; once a night it is done by itself, and not twice."""
    nights.night([changed("1")])
    for _ in range(4):
        nights.night([])
    nights.clock.advance(200 * DAY)
    place = project(tmp_path)
    assert not prune(place, nights.state, ["orders"], clock=nights.clock, seconds=0.0)[0].whole
    assert rows(nights.state, findings)

    attic.tidy(place, nights.state, "orders", clock=nights.clock, progress=Silent())
    assert rows(nights.state, findings) == []
    nights.night([changed("2")])
    place = project(tmp_path, findings=0)
    nights.night([])
    nights.night([])
    nights.clock.advance(-3 * DAY)
    attic.tidy(place, nights.state, "orders", clock=nights.clock, progress=Silent())
    assert rows(nights.state, findings)


def _history(state: State, folder: Path, chance: random.Random, *, removing: bool) -> list:
    """Twelve random nights, and all that each decided; with `removing`, everything that may go goes after each."""
    clock = FixedClock(START)
    state._clock = clock
    nights = Nights(state, clock)
    numbers = iter(range(1000))
    nights.runs = Runs(state, identify=lambda _: f"01{next(numbers):024d}")
    told = []
    for _ in range(12):
        makes = [missing, extra, lambda key: changed(key, source=chance.choice(["paid", "sent"]))]
        found = [chance.choice(makes)(key) for key in chance.sample("abcdefgh", chance.randrange(6))]
        unknown = [key for key in chance.sample("abcdefgh", chance.randrange(3)) if key not in {one.key for one in found}]
        fate = chance.random()
        summary = nights.look(found, unknown_keys=unknown, complete=chance.random() < 0.9)
        if fate < 0.8:
            nights.send()
            nights.end()
        else:
            nights.claim = nights.runs.advance(nights.claim, RunState.FAILED)
            nights.runs.release(nights.claim)
        if chance.random() < 0.7:
            deliver(nights)
        if chance.random() < 0.3 and (keys := Ledger(state).open_keys("orders")):
            nights.ledger.ack("orders", chance.choice(keys), by="eve", reason="known")
        nights.clock.advance(chance.choice([0, 0, 10 * DAY]))
        run = nights.claim.run.id
        with state.read() as conn:
            waiting = conn.execute(
                select(outbox.c.event_id, outbox.c.emission, outbox.c.run_id, outbox.c.reason)
                .where(outbox.c.state == "waiting")
                .order_by(outbox.c.seq)
            ).all()
        plan = nights.plans.figure(run)
        here = [row for row in rows(state, findings) if row[0] == run]
        told.append((summary, rows(state, ledger), here, [tuple(row) for row in waiting], plan and (plan.checksum, plan.events)))
        if removing:
            pruned(nights, folder, files=0, findings=0, events=0)
    with state.read() as conn:
        left = [len(conn.execute(select(table)).all()) for table in (findings, doubts, plan_events, events)]
    return [told, left]


@pytest.mark.parametrize("number", range(4))
def test_what_is_removed_changes_no_decision(number: int, migrated_file: Path, tmp_path: Path) -> None:
    """Over random histories, each night says, plans and sends the very same with everything old removed after each night as without."""
    import shutil

    print(f"seed {SEED + number}")
    outcomes = []
    for removing in (False, True):
        file = tmp_path / f"{removing}.db"
        shutil.copy(migrated_file, file)
        with State.open(f"sqlite:///{file}") as opened:
            outcomes.append(_history(opened, tmp_path, random.Random(SEED + number), removing=removing))

    assert outcomes[0][0] == outcomes[1][0]
    # And something was removed at all.
    assert sum(outcomes[1][1]) < sum(outcomes[0][1]) / 2


def test_the_command(tmp_path: Path, fault_server) -> None:
    """`recon prune` counts first, then removes; a pruned run says when its discrepancies went, and exits with 2; a typo is told."""
    from tests.acceptance.commands import recon

    shop = Shop(tmp_path, fault_server)
    shop.serve("bad", [record(n, **({"status": "odd"} if n == 3 else {})) for n in range(30)])
    run = shop.night("bad").bad["run"]
    shop.serve("bad", shop.records)
    shop.night("bad")
    (tmp_path / "recon.toml").write_text((tmp_path / "recon.toml").read_text() + '[retention]\nfindings = "0s"\nfiles = "0s"\n')
    counted = recon("prune", "--dry-run", "--json", cwd=tmp_path, env=shop.env)
    removed = recon("prune", "bad", cwd=tmp_path, env=shop.env)
    shown = recon("show", run, cwd=tmp_path, env=shop.env)
    reported = recon("report", run, "-f", "csv", cwd=tmp_path, env=shop.env)
    listed = recon("runs", "bad", cwd=tmp_path, env=shop.env)
    mistyped = recon("prune", "bat", cwd=tmp_path, env=shop.env)

    bad = next(one for one in json.loads(counted.stdout)["domains"] if one["domain"] == "bad")
    assert (bad["findings"], bad["planned"], bad["reports"]) == (1, 1, 1)
    assert "bad: removed" in removed.stdout
    assert (shown.returncode, reported.returncode, mistyped.returncode) == (2, 2, 2)
    assert "removed by age at 20" in shown.stderr
    assert run in listed.stdout
    assert not (tmp_path / "reports" / run).exists()
    assert (tmp_path / "reports/index.html").read_text().count(f"{run}/") == 0
