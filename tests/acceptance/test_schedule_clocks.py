"""Clocks that go wrong under the service: the machine asleep, the clock set forward and back, a host whose clock is not the database's."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recon.schedule.due import shared_now
from recon.state.database import State
from recon.state.slots import Slots, SlotState
from tests.acceptance.test_schedule import NOW, TONIGHT, WRITE, At, Rig

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FIRST = TONIGHT + DAY


class Clock(At):
    """A machine's clock: `now` and `monotonic` stand still until a test moves them, together or one of them."""

    def __init__(self, moment: datetime) -> None:
        super().__init__(moment)
        self.gone = 0.0

    def monotonic(self) -> float:
        return self.gone

    def pass_by(self, span: timedelta) -> None:
        """Time goes by, as it should."""
        self.moment, self.gone = self.moment + span, self.gone + span.total_seconds()

    def set_by(self, span: timedelta) -> None:
        """The wall clock alone is set, or the machine slept."""
        self.moment += span


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with State.open(f"sqlite:///{tmp_path}/state.db") as opened:
        yield opened


def started(tmp_path: Path, state: State, at: datetime, **options: object) -> Rig:
    """A service at a time, with last night done."""
    slots = Slots(state)
    slots.due("orders", TONIGHT)
    slots.finish("orders", TONIGHT)
    return Rig(tmp_path, state, WRITE, clock=Clock(at), **options)


@pytest.mark.parametrize("nights", [1, 3])
def test_a_machine_that_slept_runs_the_night_as_soon_as_it_wakes(tmp_path: Path, state: State, nights: int) -> None:
    """Asleep over one slot, or three: on waking one run starts, for the latest, and what was missed is said. No firing told of it."""
    with started(tmp_path, state, NOW) as rig:
        rig.wait(lambda: rig.heard("next "))
        rig.clock.set_by(nights * DAY)
        rig.wait(lambda: rig.heard("done after"))
    assert rig.runs == [f"orders {(TONIGHT + nights * DAY).isoformat()}"]
    assert rig.heard(f"the clock went {nights}d 00h ahead")
    assert rig.heard("was missed, and 2 before it" if nights == 3 else r"was missed; caught up now, once")


@pytest.mark.parametrize("step", [HOUR, DAY])
def test_a_clock_set_forward_loses_no_night(tmp_path: Path, state: State, step: timedelta) -> None:
    """Half an hour before the slot the clock is set forward, by an hour or a day, past it: the slot is run, once."""
    with started(tmp_path, state, FIRST - HOUR / 2) as rig:
        rig.wait(lambda: rig.heard("next "))
        rig.clock.set_by(step)
        rig.wait(lambda: rig.heard("done after"))
    assert rig.runs == [f"orders {FIRST.isoformat()}"]


@pytest.mark.parametrize("step", [HOUR, DAY])
def test_a_clock_set_back_runs_no_night_twice(tmp_path: Path, state: State, step: timedelta) -> None:
    """Just after the night's run the clock is set back, by an hour or a day, and the slot's time comes a second time: no second run. The next night comes."""
    with started(tmp_path, state, FIRST - HOUR / 60) as rig:
        rig.wait(lambda: rig.heard("next "))
        rig.clock.pass_by(HOUR / 30)
        rig.wait(lambda: rig.heard("done after"))
        rig.clock.set_by(-step)
        rig.wait(lambda: rig.heard("was set back by"))
        rig.wait(lambda: rig.heard(r"came before its time and is not run again; recon run orders"))
        rig.clock.pass_by(step)
        rig.service.fire("orders", FIRST)
        assert rig.runs == [f"orders {FIRST.isoformat()}"]
        rig.clock.pass_by(DAY)
        rig.wait(lambda: len(rig.runs) == 2)
    assert rig.runs == [f"orders {FIRST.isoformat()}", f"orders {(FIRST + DAY).isoformat()}"]


def test_forward_and_back_over_many_nights(tmp_path: Path, state: State) -> None:
    """A clock set to and fro by an hour at each night, before and after the slot: in seven nights each slot has one run, in order."""
    with started(tmp_path, state, NOW) as rig:
        rig.wait(lambda: rig.heard("next "))
        for night, ahead in zip(range(7), itertools.cycle((True, False)), strict=False):
            slot = FIRST + night * DAY
            rig.clock.pass_by(slot - HOUR / 2 - rig.clock.moment)
            rig.clock.set_by(HOUR if ahead else -HOUR)
            rig.clock.pass_by(HOUR / 4 if ahead else 2 * HOUR)
            rig.wait(lambda count=night + 1: len(rig.runs) == count and len(rig.service._hands) == 0)
            rig.clock.set_by(-HOUR if ahead else HOUR)
            rig.clock.pass_by(2 * HOUR)
    assert rig.runs == [f"orders {(FIRST + night * DAY).isoformat()}" for night in range(7)]


def test_on_a_shared_database_the_time_is_the_database_s(tmp_path: Path, database: str) -> None:
    """A host whose clock is a day ahead runs nothing early on PostgreSQL, and runs the slot when the database's time has come."""
    true = At(FIRST - HOUR)
    with State.open(database, clock=true) as state:
        slots = Slots(state)
        slots.due("orders", TONIGHT)
        slots.finish("orders", TONIGHT)
        wrong = At(FIRST + DAY)
        assert shared_now(state, wrong) == true.moment
        with Rig(tmp_path, state, WRITE, clock=wrong) as rig:
            rig.wait(lambda: rig.heard("next "))
            rig.service.fire("orders", FIRST + DAY)
            rig.service.fire("orders", FIRST)
            until = time.monotonic() + 0.3
            rig.wait(lambda: time.monotonic() > until)
            assert rig.runs == []
            true.moment = FIRST
            rig.wait(lambda: rig.heard("done after"))
    assert rig.runs == [f"orders {FIRST.isoformat()}"]


SERVICE = """
import os, pathlib, sys
from datetime import datetime, timedelta, UTC
from recon.schedule import serve
from recon.schedule.children import Children
from recon.state.database import State
from tests.acceptance.test_schedule import Soon, job
folder = pathlib.Path(sys.argv[1])
slot = datetime.now(UTC) + timedelta(seconds=1.5)
serve.timetables = lambda jobs: {"orders": Soon([slot - timedelta(days=1), slot])}
command = lambda domain, slot: [sys.executable, "-c", "import sys; open(sys.argv[1], 'a').write('ran\\\\n')", str(folder / "runs.txt")]
state = State.open(f"sqlite:///{folder}/state.db")
service = serve.Service({"orders": job()}, state, Children(folder, os.environ, command=command), parallel=1, catch_up=3600.0)
print(slot.timestamp(), flush=True)
with serve._signals(service):
    sys.exit(service.run())
"""


def test_a_process_stopped_over_its_slot_runs_it_when_it_goes_on(tmp_path: Path) -> None:
    """A real service, stopped (SIGSTOP) before its slot and continued after it, as a machine that slept: the slot is run, once."""
    child = subprocess.Popen(
        [sys.executable, "-c", SERVICE, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=Path.cwd()
    )
    log = tmp_path / "runs.txt"
    try:
        assert child.stdout
        slot = float(child.stdout.readline())
        with State.open(f"sqlite:///{tmp_path}/state.db") as state:
            wait(lambda: Slots(state).latest())
            os.kill(child.pid, signal.SIGSTOP)
            stopped_early = time.time() < slot
            wait(lambda: time.time() > slot + 0.2)
            assert not log.exists() or not stopped_early
            os.kill(child.pid, signal.SIGCONT)
            wait(log.exists)
            wait(lambda: not Slots(state).pending())
            assert Slots(state).get("orders", datetime.fromtimestamp(slot, UTC)).state is SlotState.DONE
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert log.read_text() == "ran\n"


def wait(condition: object, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_file_has_no_clock_but_the_machine_s(state: State) -> None:
    """On SQLite the machine's own clock says what is due."""
    assert shared_now(state, At(NOW)) == NOW
