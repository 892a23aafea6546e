"""Real services as processes: killed in each of their phases, two on one PostgreSQL of which one dies, and a run that outlives its service."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recon.schedule.trigger import Timetable
from recon.state.database import State
from recon.state.run import RunState
from recon.state.runs import Runs
from recon.state.slots import Slots, SlotState
from tests.acceptance.cli_project import PROVIDER, Shop

LAUNCH = Path(__file__).parent / "launch_schedule.py"
#: The third party of the tests waits while a file `hold` lies beside it, so that a run is caught in the middle of its fetch.
SLOW = PROVIDER.replace(
    "    def fetch(self, listing: Listing):\n",
    "    def fetch(self, listing: Listing):\n"
    "        import time\n"
    "        (self.path.parent / 'fetching').touch()\n"
    "        while (self.path.parent / 'hold').exists():\n"
    "            time.sleep(0.02)\n",
)


def missed() -> datetime:
    """The slot that every service here finds missed at its start."""
    found = Timetable("0 3 * * *").latest(datetime.now(UTC))
    assert found is not None
    return found


def made(folder: Path, url: str) -> Shop:
    """A project with one domain, in which one webhook was lost and last night's run has not been."""
    folder.mkdir()
    shop = Shop.made(folder)
    (folder / "jobs" / "refunds.py").unlink()
    shop.write("providers/shop.py", SLOW)
    settings = shop.folder / "recon.toml"
    text = (
        settings.read_text().replace("sqlite:///app.db", f"sqlite:///{folder}/app.db").replace('"events.jsonl"', f'"{folder}/events.jsonl"')
    )
    settings.write_text(text + f'[state]\nurl = "{url}"\n')
    shop.sql("delete from orders where id = 'o001'")
    with State.open(url) as state:
        before = missed() - timedelta(days=1)
        Slots(state).due("orders", before)
        Slots(state).finish("orders", before)
    return shop


class Serving:
    """A service at work, and what it says."""

    def __init__(self, shop: Shop, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(LAUNCH), str(shop.folder)], env={**shop.environment(), **environ}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )  # fmt: skip
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            self.said.extend(lines)

    def wait(self, pattern: str) -> "re.Match[str]":
        """The line that fits, as soon as it has been said."""
        return until(lambda: next((found for line in self.said if (found := re.search(pattern, line))), None), lambda: str(self.said))

    def ended(self, seconds: float = 30) -> int:
        code = self.process.wait(seconds)
        self._reader.join(10)
        return code


def until(condition: Callable[[], Any], told: Callable[[], str] = str, seconds: float = 30) -> Any:
    """What the condition gives, as soon as it gives something."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited in vain: {told()}"
        time.sleep(0.02)
    return found


@contextmanager
def serving(shop: Shop, **environ: str) -> Iterator[Serving]:
    """A service, ended afterwards whatever becomes of the test, and its run with it."""
    service = Serving(shop, **environ)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.process.terminate()
        service.ended()


def holds(url: str, shop: Shop, *, runs: int = 1) -> None:
    """The slot has had its run, one, to its end, and what was missing went out once."""
    with State.open(url) as state:
        slot = Slots(state).get("orders", missed())
        of_slot = [run for run in Runs(state).recent("orders") if run.slot == missed()]
    assert slot is not None
    assert slot.state is SlotState.DONE, slot
    assert [run.state for run in of_slot] == [RunState.DONE] * runs
    events = [json.loads(line) for line in (shop.folder / "events.jsonl").read_text().splitlines()]
    assert [event["subject"] for event in events] == ["order/o001"]


@pytest.mark.parametrize("phase", ["record", "take", "start", "end", "settled"])
def test_killed_in_each_phase_a_slot_is_run_once_to_its_end(tmp_path: Path, phase: str) -> None:
    """A service killed with SIGKILL anywhere between noticing a slot and settling it: started again, the slot has one run, done, sent once."""
    url = f"sqlite:///{tmp_path}/state.db"
    shop = made(tmp_path / "shop", url)
    with serving(shop, KILL=phase) as first:
        assert first.ended() == -signal.SIGKILL, first.said

    with serving(shop) as second:
        second.wait("orders: .* next ")
        if phase != "settled":
            second.wait("orders: run for .* done")
    holds(url, shop)


def test_a_dead_host_s_night_goes_on_elsewhere(tmp_path: Path, database: str) -> None:
    """Two services on one PostgreSQL; the host of one dies in the middle of its run, service and run: the other finishes the night."""
    here = made(tmp_path / "here", database)
    there = Shop(tmp_path / "there", here.environ)
    shutil.copytree(here.folder, there.folder)
    (here.folder / "hold").touch()
    with serving(here) as one:
        started = one.wait(r"orders: run for \S+ started \(process (\d+)\)")
        until((here.folder / "fetching").exists)
        with serving(there) as two:
            two.wait("orders: .* next ")
            assert not any("started" in line for line in two.said), "the slot is seen to"
            os.kill(one.process.pid, signal.SIGKILL)
            os.killpg(int(started[1]), signal.SIGKILL)
            two.wait(r"orders: run for \S+ started \(process \d+, try 2 of 4\)")
            two.wait("orders: run for .* done")
    holds(database, here)


def test_a_run_outlives_its_service(tmp_path: Path, database: str) -> None:
    """Only the service is killed: its run goes on, nobody starts a second one beside it, and its end settles the slot all the same."""
    here = made(tmp_path / "here", database)
    there = Shop(tmp_path / "there", here.environ)
    shutil.copytree(here.folder, there.folder)
    (here.folder / "hold").touch()
    with serving(here) as one:
        one.wait("orders: run for .* started")
        until((here.folder / "fetching").exists)
        os.kill(one.process.pid, signal.SIGKILL)
        with serving(there) as two, State.open(database) as state:
            two.wait("orders: .* next ")
            # The take runs out in this time, the lease of the run at work does not.
            until(lambda: [slot for slot in Slots(state).ready() if slot.domain == "orders"])
            assert not any("started" in line for line in two.said)
            (here.folder / "hold").unlink()
            two.wait("orders: run for .* done")
    holds(database, here)


def test_a_file_changes_while_it_runs(tmp_path: Path) -> None:
    """A run is at work while a job is added, one broken, and recon.toml made unreadable: each is said, nothing stops, and the run ends well."""
    url = f"sqlite:///{tmp_path}/state.db"
    shop = made(tmp_path / "shop", url)
    (shop.folder / "hold").touch()
    with serving(shop) as service:
        until((shop.folder / "fetching").exists)
        job = (shop.folder / "jobs" / "orders.py").read_text()
        shop.write("jobs/refunds.py", job.replace("orders", "refunds").replace("0 3 * * *", "0 4 * * *"))
        service.wait("refunds: on the schedule from now on")
        shop.write("jobs/orders.py", "syntax error here\n")
        service.wait("orders: BROKEN, its schedule stays as it was .*jobs/orders.py:1")
        shop.write("jobs/orders.py", job.replace('"0 3 * * *"', '"30 5 * * *"'))
        service.wait(r"orders: '0 3 \* \* \*' in UTC is now '30 5 \* \* \*' in UTC")
        settings = (shop.folder / "recon.toml").read_text()
        shop.write("recon.toml", "[nonsense\n")
        service.wait("NOT LOADED, everything goes on as it was: .*recon.toml")
        shop.write("recon.toml", settings)
        service.process.send_signal(signal.SIGHUP)
        service.wait("SIGHUP: the project is loaded anew")
        (shop.folder / "hold").unlink()
        service.wait("orders: run for .* done")
        (shop.folder / "jobs" / "refunds.py").unlink()
        service.wait("refunds: off the schedule from now on")
        assert service.process.poll() is None
    holds(url, shop)
