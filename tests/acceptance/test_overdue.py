"""A night that did not happen is loud: `recon doctor --overdue` names the domain, since when, why and the way out, with no service there."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recon.schedule.trigger import Timetable
from recon.state.database import State
from recon.state.run import RunState
from recon.state.runs import Runs
from recon.state.slots import TAKE_SECONDS, Slots, SlotState
from tests.acceptance.cli_project import Shell, Shop
from tests.acceptance.test_schedule import NOW, TONIGHT, WRITE, At, Rig

#: Three hours ago or so, whatever the hour is now: the latest slot is older than the hour that a run may take.
HOUR = (datetime.now(UTC) - timedelta(hours=3)).hour
LINE = f"0 {HOUR} * * *"
WAY = (RunState.FETCHING, RunState.SEALED, RunState.DIFFED, RunState.CONFIRMING)


def latest() -> datetime:
    """The slot that is older than the hour that a run may take."""
    found = Timetable(LINE).latest(datetime.now(UTC) - timedelta(hours=1))
    assert found is not None
    return found


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    shop = Shop.made(tmp_path)
    (tmp_path / "jobs" / "refunds.py").unlink()
    job = tmp_path / "jobs" / "orders.py"
    job.write_text(job.read_text().replace("0 3 * * *", LINE))
    return Shell(shop, monkeypatch, capsys)


@pytest.fixture
def state(shell: Shell) -> Iterator[State]:
    with State.open(f"sqlite:///{shell.shop.folder}/.recon/state.db") as opened:
        yield opened


def asked(shell: Shell) -> dict:
    """The finding on orders, and that the exit code fits it."""
    said = shell("doctor", "--overdue", "--json")
    document = json.loads(said.out)
    (check,) = [check for check in document["checks"] if check["domain"] == "orders"]
    assert said.code == document["exit_code"] == (75 if check["level"] == "fail" else 0)
    return check


def test_a_new_project_without_a_service(shell: Shell) -> None:
    """Nothing ever ran and nothing is running: overdue, with both ways to have it run."""
    said = shell("doctor", "--overdue")
    assert said.code == 75
    assert (
        f"FAIL  overdue    no finished run since its slot of {latest():%Y-%m-%dT%H:%M:%SZ}: nothing ever wrote a slot of it down"
        in said.out
    )
    assert "no run of it ever finished" in said.out
    assert "recon schedule runs it, and recon run --due does once" in said.out


def test_after_a_good_night(shell: Shell) -> None:
    """The command that was told mends it; the next slot is named."""
    assert shell("run", "--due").code == 0
    check = asked(shell)
    assert check["level"] == "ok"
    assert re.search(rf"no slot older than 1h 00m waits for a run; the next slot is \S+T{HOUR:02}:00:00Z", check["message"])


def test_a_run_by_hand_counts(shell: Shell) -> None:
    """What was looked at whole after the slot is no night that did not happen, whoever asked for it; a dry run and one key are."""
    assert shell("run", "orders", "--dry-run").code == 0
    assert shell("run", "orders", "--id", "o001").code == 0
    assert asked(shell)["level"] == "fail"
    assert shell("run", "orders").code == 0
    assert asked(shell)["level"] == "ok"


def walked(state: State, *states: RunState, **facts: object) -> None:
    """A run for the slot that came so far, and whose process is gone."""
    runs = Runs(state)
    claim = runs.start("orders", trigger="schedule", owner="db7:1", slot=latest())
    for one in states:
        claim = runs.advance(claim, one, **(facts if one is states[-1] else {}))
    runs.release(claim)


def held(state: State) -> None:
    walked(state, *WAY, RunState.HELD, hold_expires_at=datetime.now(UTC) + timedelta(hours=9))


def expired(state: State) -> None:
    walked(state, *WAY, RunState.HELD, hold_expires_at=datetime.now(UTC) - timedelta(minutes=9))
    Runs(state).expire()


def failed(state: State) -> None:
    walked(state, RunState.FAILED, reason="GET /orders -> 503")


def at_work(state: State) -> None:
    Runs(state).start("orders", trigger="schedule", owner="db7:4242", slot=latest())


def taken(state: State) -> None:
    Slots(state).record("orders", latest())
    Slots(state).take("orders", latest(), "db7:4711", tries=4)


def waits(state: State) -> None:
    taken(state)
    Slots(state).again("orders", latest(), "db7:4711", wait=900, reason="was incomplete (exit 75)")


def given_up(state: State) -> None:
    Slots(state).record("orders", latest())
    Slots(state).finish("orders", latest(), state=SlotState.SKIPPED, reason="given up after 4 tries: the last was incomplete (exit 75)")


def untaken(state: State) -> None:
    Slots(state).record("orders", latest())


def older(state: State) -> None:
    before = latest() - timedelta(days=2)
    Slots(state).record("orders", before)
    Slots(state).finish("orders", before)


def unconfirmed(state: State) -> None:
    walked(state, *WAY, RunState.EMITTED)
    (run,) = Runs(state).recent("orders")
    claim = Runs(state).resume(run.id, "db7:1")
    Runs(state).advance(claim, RunState.DONE, exit_code=75)
    Runs(state).release(claim)


@pytest.mark.parametrize(
    ("come_so_far", "why", "way_out"),
    [
        (
            held,
            r"run \w{10} is held and waits for a person",
            r"recon show \w{10}, then recon approve \w{10} --plan \w* --reason \S+ or recon reject \w{10} --reason",
        ),
        (expired, r"run \w{10} was held, and nobody decided in time", "recon run orders runs it now"),
        (failed, r"run \w{10} is failed: GET /orders -> 503", "recon run orders"),
        (at_work, "db7:4242 is at work on it since", "recon runs orders shows where it stands"),
        (taken, r"db7:4711 is at work on it \(try 1 of 4\)", "recon runs"),
        (waits, r"try 1 of 4 was incomplete \(exit 75\), the next is at ", "recon run orders"),
        (given_up, r"given up after 4 tries: the last was incomplete", "recon run orders runs it now"),
        (untaken, r"it was written down at .* and nobody takes it: no schedule is running", "recon run --due"),
        (older, r"nobody wrote that slot down \(the last one was .*\): no schedule was running", "recon schedule"),
        (unconfirmed, r"run \w{10} is done: its run ended with exit 75", "recon run orders"),
    ],
)
def test_why(shell: Shell, state: State, come_so_far: Callable[[State], None], why: str, way_out: str) -> None:
    """Each way in which a night can have not happened is told apart, with the command that mends that one."""
    come_so_far(state)
    check = asked(shell)
    assert check["level"] == "fail"
    assert re.search(why, check["message"]), check["message"]
    assert re.search(way_out, check["hint"]), check["hint"]


def test_a_rejected_plan_was_a_night(shell: Shell, state: State) -> None:
    """A person decided, and nothing is outstanding."""
    walked(state, *WAY, RunState.HELD, RunState.REJECTED)
    assert asked(shell)["level"] == "ok"


def test_how_late_is_a_setting(shell: Shell, state: State) -> None:
    """With a longer `[schedule] overdue` the same slot may still be run in time; the one before it was."""
    before = latest() - timedelta(days=1)
    runs = Runs(state)
    claim = runs.start("orders", trigger="schedule", owner="db7:1", slot=before)
    for one in (*WAY, RunState.EMITTED, RunState.DONE):
        claim = runs.advance(claim, one, **({"exit_code": 0, "finished_at": before + timedelta(minutes=9)} if one is RunState.DONE else {}))
    runs.release(claim)
    with state.begin() as conn:
        from recon.state.tables import runs as table

        conn.execute(table.update().values(started_at=before))
    assert asked(shell)["level"] == "fail"
    settings = shell.shop.folder / "recon.toml"
    settings.write_text(settings.read_text() + '[schedule]\noverdue = "25h"\n')
    assert asked(shell)["level"] == "ok"


def test_broken_and_unscheduled(shell: Shell) -> None:
    """A job that does not load ends it with 2, and one without a schedule is said and no failure."""
    shell.shop.write("jobs/orders.py", (shell.shop.folder / "jobs/orders.py").read_text().replace(f', schedule="{LINE}"', ""))
    assert "it has no schedule, and runs by hand only" in (said := shell("doctor", "--overdue")).out
    assert said.code == 0
    shell.shop.write("jobs/orders.py", "nonsense nonsense\n")
    assert shell("doctor", "--overdue").code == 2
    assert shell("doctor", "--overdue", "nosuch").code == 2


def test_the_first_slot_is_still_to_come(shell: Shell, state: State) -> None:
    """A service that was started for the first time after the slot has missed nothing."""
    Slots(state).due("orders", latest())
    Slots(state).finish("orders", latest(), state=SlotState.SKIPPED, reason="before the schedule was first started")
    check = asked(shell)
    assert check["level"] == "ok"
    assert check["message"].startswith("it never ran yet; ")


def test_a_first_start_soon_after_a_slot(shell: Shell, state: State) -> None:
    """A service that was first started within the hour after a slot missed neither that one nor the one a day before."""
    Slots(state).due("orders", latest() + timedelta(days=1))
    Slots(state).finish("orders", latest() + timedelta(days=1), state=SlotState.SKIPPED, reason="before the schedule was first started")
    assert asked(shell)["level"] == "ok"


def test_the_service_says_it_too(tmp_path: Path) -> None:
    """A service whose run for a slot failed says an hour later that the night did not happen, once."""
    with State.open(f"sqlite:///{tmp_path}/state.db", clock=(clock := At(NOW))) as state:
        Slots(state).due("orders", TONIGHT)
        Slots(state).finish("orders", TONIGHT, state=SlotState.SKIPPED, reason="its run failed with exit 2")
        with Rig(tmp_path, state, WRITE, clock=clock, overdue=3600.0) as rig:
            rig.wait(lambda: rig.heard("OVERDUE: no finished run since its slot of 2026-03-10T03:00:00Z: its run failed with exit 2"))
            rig.wait(lambda: rig.heard("recon run orders runs it now"))
    assert sum("OVERDUE" in line for line in rig.said) == 1


def test_status(shell: Shell, state: State) -> None:
    """`recon schedule status` shows each domain's slot, who sees to it, its tries, and the next; as JSON too."""
    assert re.search(rf"^orders\s+-\s+never\s+0\s+\S+T{HOUR:02}:00:00Z$", shell("schedule", "status").out, re.MULTILINE)
    taken(state)
    said = shell("schedule", "status").out
    assert re.search(
        rf"^orders\s+{latest():%Y-%m-%dT%H:%M:%SZ}\s+taken\s+1\s+\S+T{HOUR:02}:00:00Z\n  db7:4711 sees to it$", said, re.MULTILINE
    )
    waits(state)
    (row,) = json.loads(shell("schedule", "status", "orders", "--json").out)["slots"]
    assert (row["state"], row["tries"], row["taken_by"], row["reason"]) == ("waits", 1, None, "was incomplete (exit 75)")
    assert shell("schedule", "status", "nosuch").code == 2


def test_due_leaves_alone_what_another_sees_to(shell: Shell, state: State) -> None:
    """`recon run --due` beside a service: what that has taken, or will try again, is said and not run; after silence it is."""
    taken(state)
    said = shell("run", "--due")
    assert said.code == 0
    assert "not run: db7:4711 sees to it" in said.err
    with state.begin() as conn:
        from recon.state.tables import slots

        conn.execute(slots.update().values(taken_until=datetime.now(UTC) - timedelta(seconds=TAKE_SECONDS)))
    assert shell("run", "--due").code == 0
    slot = Slots(state).get("orders", latest())
    assert (slot.state, slot.tries) == (SlotState.DONE, 2)
    assert slot.run == Runs(state).recent("orders")[0].id


def test_due_counts_its_tries(shell: Shell, state: State) -> None:
    """A run by `--due` that was incomplete waits for its next try, as the service's do, and is given up after the fourth, loudly."""
    shell.shop.third_party(down=True)
    for attempt in range(1, 5):
        said = shell("run", "--due")
        assert said.code == 75
        slot = Slots(state).get("orders", latest())
        assert slot.tries == attempt
        if attempt < 4:
            assert "tries it again after" in said.err
            assert "it is tried again at" in shell("run", "--due").err
            with state.begin() as conn:
                from recon.state.tables import slots

                conn.execute(slots.update().values(again_at=None))
    assert "GIVEN UP" in said.err
    assert slot.state is SlotState.SKIPPED
    assert "given up after 4 tries" in asked(shell)["message"]
