"""The schedule as a service: catch-up, overlap, tries, signals, a dying scheduler; and the texts for cron, systemd and Kubernetes."""

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
from typing import Self

import pytest

from recon.demo.project_files import write_project
from recon.demo.world import World
from recon.errors import BadRequest
from recon.job import Field, Job, Table
from recon.project import Project
from recon.schedule.children import Children
from recon.schedule.due import find_due, set_baseline, timetables
from recon.schedule.firing import Firing
from recon.schedule.serve import Service
from recon.schedule.trigger import Timetable
from recon.schedule.units import Place, render
from recon.state.database import State
from recon.state.slots import Recorded, Slots, SlotState

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
TONIGHT = datetime(2026, 3, 10, 3, 0, tzinfo=UTC)
WEEK = 7 * 86400.0


def job(domain: str = "orders", schedule: str | None = "0 3 * * *", zone: str = "UTC") -> Job:
    return Job(
        domain=domain, provider="p", resource="r", fields=(Field("status"),), table=Table(name="t"), schedule=schedule, timezone=zone
    )


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with State.open(f"sqlite:///{tmp_path}/state.db") as opened:
        yield opened


class At:
    """A wall clock that stands at one time, for a service that otherwise lives in real time."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Rig:
    """A service on a thread, whose runs are small programs, and what it said."""

    def __init__(self, tmp_path: Path, state: State, program: str, *, jobs: dict[str, Job] | None = None, **options: object) -> None:
        self.said: list[str] = []
        self.log = tmp_path / "runs.txt"
        self.slots = Slots(state)
        self.code: int | None = None

        def command(domain: str, slot: datetime) -> list[str]:
            return [sys.executable, "-c", program, str(self.log), domain, slot.isoformat()]

        settings: dict = {"parallel": 2, "catch_up": WEEK, "clock": At(NOW), "grace": 5.0, "retries": (0.05, 0.05), "look": 0.05} | options
        self.clock: At = settings["clock"]
        self.service = Service(
            jobs or {"orders": job()}, state, Children(tmp_path, os.environ, command=command), say=self.said.append, **settings
        )
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.code = self.service.run()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.service.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()

    @property
    def runs(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def come(self, domain: str, instant: datetime) -> None:
        """The time of a slot comes, and the clockwork says so."""
        self.clock.moment = instant
        self.service.fire(domain, instant)

    def wait(self, condition: Callable[[], object], seconds: float = 15) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"waited in vain; said {self.said}, runs {self.runs}"
            time.sleep(0.01)

    def heard(self, pattern: str) -> bool:
        return any(re.search(pattern, line) for line in self.said)


WRITE = "import sys; open(sys.argv[1], 'a').write(' '.join(sys.argv[2:]) + '\\n')"


def test_missed_nights_are_caught_up_once(tmp_path: Path, state: State) -> None:
    """After three nights standing still, one run starts, for the latest; what it covers is said, and a second start runs nothing."""
    slots = Slots(state)
    slots.due("orders", TONIGHT - timedelta(days=4))
    slots.finish("orders", TONIGHT - timedelta(days=4))
    with Rig(tmp_path, state, WRITE) as rig:
        rig.wait(lambda: rig.heard("done after"))
    assert rig.code == 0
    assert rig.runs == [f"orders {TONIGHT.isoformat()}"]
    assert rig.heard("was missed, and 3 before it that it covers; caught up now, once")
    assert slots.last("orders").state is SlotState.DONE

    with Rig(tmp_path, state, WRITE) as again:
        again.wait(lambda: again.heard("next "))
    assert len(again.runs) == 1


def test_first_start_has_missed_nothing(tmp_path: Path, state: State) -> None:
    """A service that is new runs nothing at its start, and remembers from when slots count."""
    with Rig(tmp_path, state, WRITE) as rig:
        rig.wait(lambda: rig.heard("next "))
    assert rig.runs == []
    assert rig.heard("scheduled for the first time")

    with Rig(tmp_path, state, WRITE, clock=At(NOW + timedelta(days=1))) as later:
        later.wait(lambda: later.heard("done after"))
    assert later.runs == [f"orders {(TONIGHT + timedelta(days=1)).isoformat()}"]


def test_too_old_to_catch_up(tmp_path: Path, state: State) -> None:
    """A slot older than catch_up is skipped with that reason."""
    slots = Slots(state)
    slots.due("orders", TONIGHT - timedelta(days=2))
    with Rig(tmp_path, state, WRITE, catch_up=3600.0) as rig:
        rig.wait(lambda: rig.heard("next "))
    assert rig.runs == []
    last = slots.last("orders")
    assert last is not None
    assert (last.state, last.instant) == (SlotState.SKIPPED, TONIGHT)
    assert "catch_up" in (last.reason or "")
    assert slots.pending() == []


def test_overlap_is_skipped_and_said(tmp_path: Path, state: State) -> None:
    """A slot that fires while the domain's run is at work starts none; another domain's does."""
    jobs = {"orders": job(), "refunds": job("refunds", "0 4 * * *")}
    program = f"{WRITE}\nimport time, pathlib\nwhile not pathlib.Path(sys.argv[1] + '.go').exists(): time.sleep(0.01)"
    first, second = TONIGHT + timedelta(days=1), TONIGHT + timedelta(days=2)
    with Rig(tmp_path, state, program, jobs=jobs) as rig:
        rig.come("orders", first)
        rig.wait(lambda: rig.runs)
        # An hour of refunds passes on the way, which has nothing at work.
        rig.come("orders", second)
        rig.wait(lambda: rig.heard("is skipped") and len(rig.runs) == 2)
        rig.log.with_suffix(".txt.go").touch()
        rig.wait(lambda: sum("done after" in line for line in rig.said) == 2)
    assert sorted(rig.runs) == [f"orders {first.isoformat()}", f"refunds {(first + timedelta(hours=1)).isoformat()}"]
    last = rig.slots.last("orders")
    assert last is not None
    assert (last.instant, last.state) == (second, SlotState.SKIPPED)
    assert "still at work" in (last.reason or "")


def test_same_slot_twice_is_one_run(tmp_path: Path, state: State) -> None:
    """A slot that fires again, as it does with two schedulers on one state database, is run once."""
    slot = TONIGHT + timedelta(days=1)
    with Rig(tmp_path, state, WRITE, jobs={"orders": job(), "marker": job("marker", "0 4 * * *")}) as rig:
        rig.come("orders", slot)
        rig.wait(lambda: rig.heard("orders: .* done after"))
        rig.come("orders", slot)
        rig.come("marker", slot + timedelta(hours=1))
        rig.wait(lambda: rig.heard("marker: .* done after"))
    assert rig.runs == [f"orders {slot.isoformat()}", f"marker {(slot + timedelta(hours=1)).isoformat()}"]


def test_only_so_many_at_once(tmp_path: Path, state: State) -> None:
    """With parallel = 1, three domains run one after the other."""
    jobs = {name: job(name) for name in ("a", "b", "c")}
    program = "import sys, time\nwrite = lambda w: open(sys.argv[1], 'a').write(w + '\\n')\nwrite('in')\ntime.sleep(0.05)\nwrite('out')"
    with Rig(tmp_path, state, program, jobs=jobs, parallel=1) as rig:
        for name in jobs:
            rig.come(name, TONIGHT + timedelta(days=1))
        rig.wait(lambda: len(rig.runs) == 6)
    assert rig.runs == ["in", "out"] * 3


def test_incomplete_is_tried_again_then_given_up(tmp_path: Path, state: State) -> None:
    """Exit 75 is tried as often as the service is told to, then the slot is given up, loudly, with the reason kept."""
    with Rig(tmp_path, state, f"{WRITE}\nsys.exit(75)") as rig:
        rig.come("orders", TONIGHT + timedelta(days=1))
        rig.wait(lambda: rig.heard("GIVEN UP"))
    assert len(rig.runs) == 3
    last = rig.slots.last("orders")
    assert last is not None
    assert last.state is SlotState.SKIPPED
    assert "given up after 3 tries" in (last.reason or "")


@pytest.mark.parametrize(
    ("code", "state_after", "says"),
    [(0, "done", "done after"), (4, "done", "held for approval"), (2, "skipped", "FAILED"), (1, "skipped", "FAILED")],
)
def test_how_a_run_ended(tmp_path: Path, state: State, code: int, state_after: str, says: str) -> None:
    """Each exit code is said in words and settles the slot; only 75 and a killed run are tried again."""
    with Rig(tmp_path, state, f"{WRITE}\nsys.exit({code})") as rig:
        rig.come("orders", TONIGHT + timedelta(days=1))
        rig.wait(lambda: rig.heard(says))
    assert len(rig.runs) == 1
    assert rig.slots.last("orders").state == state_after


def test_stop_forwards_the_signal_and_keeps_the_slot(tmp_path: Path, state: State) -> None:
    """Told to stop, the service ends its runs in order; the broken-off slot stays due and runs at the next start."""
    program = (
        "import signal, sys, time\n"
        "def bye(*_):\n    open(sys.argv[1], 'a').write('asked to end\\n')\n    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, bye)\nopen(sys.argv[1], 'a').write('in\\n')\ntime.sleep(60)"
    )
    slot = TONIGHT + timedelta(days=1)
    with Rig(tmp_path, state, program) as rig:
        rig.come("orders", slot)
        rig.wait(lambda: rig.runs)
    assert rig.code == 0
    assert rig.runs == ["in", "asked to end"]
    assert [pending.instant for pending in rig.slots.pending()] == [slot]

    rig.log.unlink()
    with Rig(tmp_path, state, WRITE, clock=At(slot + timedelta(hours=1))) as again:
        again.wait(lambda: again.heard("done after"))
    assert again.runs == [f"orders {slot.isoformat()}"]


def test_run_that_will_not_end_is_killed(tmp_path: Path, state: State) -> None:
    """A run that ignores SIGTERM is killed after the grace time, and the service says so with 143."""
    program = (
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen(sys.argv[1], 'a').write('in\\n')\ntime.sleep(60)"
    )
    with Rig(tmp_path, state, program, grace=0.3) as rig:
        rig.come("orders", TONIGHT + timedelta(days=1))
        rig.wait(lambda: rig.runs)
    assert rig.code == 143
    assert rig.heard("killed; their slots stay due")


class Broken(Timetable):
    """A timetable that fails in the scheduler's thread."""

    def __init__(self) -> None:
        super().__init__("0 3 * * *")
        self.asked = 0

    def after(self, moment: datetime) -> datetime | None:
        self.asked += 1
        if self.asked > 1:
            raise MemoryError
        return datetime.now(UTC) + timedelta(seconds=0.05)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_dead_scheduler_ends_the_service(tmp_path: Path, state: State) -> None:
    """A scheduler thread that dies ends the service with 1 and a loud line, instead of a process that sits there for ever."""
    rig = Rig(tmp_path, state, WRITE)
    rig.service.firing = Firing({"orders": Broken()}, rig.service.fire)
    with rig:
        rig.wait(lambda: rig.code is not None)
    assert rig.code == 1
    assert rig.heard("thread has died")


class Soon(Timetable):
    """Slots at given instants of the real clock."""

    def __init__(self, instants: list[datetime]) -> None:
        super().__init__("0 3 * * *")
        self.instants = instants

    def after(self, moment: datetime) -> datetime | None:
        return next((i for i in self.instants if i > moment), None)

    def latest(self, moment: datetime) -> datetime | None:
        return next((i for i in reversed(self.instants) if i <= moment), None)


class Slept(Soon):
    """As after a sleep: the slot that was waited for, and others, have passed meanwhile."""

    asked = False

    def after(self, moment: datetime) -> datetime | None:
        first, self.asked = not self.asked, True
        return self.instants[0] if first else super().after(moment)


def test_clockwork_fires_each_slot_once() -> None:
    """The clockwork says each slot as it comes, once, and ends when it is told to."""
    now = datetime.now(UTC)
    instants = [now + timedelta(seconds=0.3), now + timedelta(seconds=0.6)]
    fired: list[datetime] = []
    firing = Firing({"orders": Soon(instants)}, lambda _, instant: fired.append(instant))
    firing.start()
    until = time.monotonic() + 10
    while len(fired) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    firing.stop()
    assert fired == instants
    assert not firing.alive()


def test_waking_late_fires_the_latest_slot() -> None:
    """Slots that passed while the machine slept fire as one, the latest of them, however late: no grace time drops it."""
    past = [datetime.now(UTC) - timedelta(hours=h) for h in (72, 48, 24)]
    fired: list[datetime] = []
    firing = Firing({"orders": Slept(past)}, lambda _, instant: fired.append(instant))
    firing.start()
    until = time.monotonic() + 10
    while not fired and time.monotonic() < until:
        time.sleep(0.01)
    firing.stop()
    assert fired == [past[-1]]


def test_state_database_away_for_a_while(tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot that cannot be written down is said, kept and tried again, not lost."""
    from recon.errors import StateError

    rig = Rig(tmp_path, state, WRITE)
    real, failures = Slots.record, [StateError("database is away")] * 3

    def record(self: Slots, domain: str, instant: datetime) -> Recorded:
        if instant > TONIGHT and failures:
            raise failures.pop()
        return real(self, domain, instant)

    monkeypatch.setattr(Slots, "record", record)
    with rig:
        rig.come("orders", TONIGHT + timedelta(days=1))
        rig.wait(lambda: rig.heard("done after"))
    assert failures == []
    assert sum("cannot be written down" in line for line in rig.said) == 1, "said once, not at every look"
    assert rig.heard("answers again")


def test_due(state: State) -> None:
    """A domain is due when its latest slot has not finished: fresh, broken off, or new; not when it ran."""
    slots, jobs = Slots(state), {"orders": job(), "off": job("off", None)}
    (due,) = find_due(jobs, slots, now=NOW, catch_up=WEEK)
    assert (due.domain, due.slot, due.missed) == ("orders", TONIGHT, 0)
    assert [d.slot for d in find_due(jobs, slots, now=NOW, catch_up=WEEK)] == [TONIGHT], "not finished, so still due"

    slots.finish("orders", TONIGHT)
    assert find_due(jobs, slots, now=NOW, catch_up=WEEK) == []
    (due,) = find_due(jobs, slots, now=NOW + timedelta(days=3), catch_up=WEEK)
    assert (due.slot, due.missed) == (TONIGHT + timedelta(days=3), 2)
    (due,) = find_due(jobs, slots, now=NOW + timedelta(days=4), catch_up=WEEK)
    assert due.slot == TONIGHT + timedelta(days=4)
    assert [p.instant for p in slots.pending()] == [due.slot], "the older one is covered"


def test_baseline_is_set_once(state: State) -> None:
    """The baseline is written for a domain never seen, and never moves what is there."""
    table = timetables({"orders": job()})["orders"]
    assert set_baseline("orders", table, Slots(state), now=NOW)
    assert not set_baseline("orders", table, Slots(state), now=NOW + timedelta(days=9))
    assert [slot.state for slot in Slots(state).recent()] == [SlotState.SKIPPED]


@contextmanager
def process(program: str) -> Iterator["subprocess.Popen[str]"]:
    child = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, cwd=Path.cwd())
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        assert child.stderr
        child.stderr.close()


def test_sigterm_to_the_real_service(tmp_path: Path) -> None:
    """A service in a process of its own ends in order on SIGTERM, exit 0, one line per event on standard error."""
    program = (
        "import os, pathlib\n"
        "from recon.schedule.serve import Service, _signals\n"
        "from recon.schedule.children import Children\n"
        "from recon.state.database import State\n"
        "from tests.acceptance.test_schedule import job\n"
        f"state = State.open('sqlite:///{tmp_path}/state.db')\n"
        "service = Service({'orders': job()}, state, Children(pathlib.Path('.'), os.environ), parallel=1, catch_up=60.0)\n"
        "with _signals(service):\n    code = service.run()\n"
        "raise SystemExit(code)\n"
    )
    with process(program) as child:
        assert child.stderr
        lines = [child.stderr.readline(), child.stderr.readline()]
        child.send_signal(signal.SIGTERM)
        rest = child.stderr.read()
        assert child.wait(20) == 0
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ orders: scheduled for the first time\n", lines[0])
    assert "next " in lines[1]
    assert "SIGTERM: no new runs" in rest


def recon(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "recon", *words, "--project", str(folder)], capture_output=True, text=True, timeout=60)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Path]:
    """A project with a real third party and a real application, in which two webhooks were lost and last night's run has not been."""
    now = datetime.now(UTC)
    with World(tmp_path, start=now - timedelta(days=2)) as world:
        write_project(tmp_path, api=world.third_party.url, hook=world.application.url, token=world.token, secret=world.recon_secret)
        settings = tmp_path / "recon.toml"
        settings.write_text(settings.read_text().replace('settle = "2m"', 'settle = "100ms"'))
        world.third_party.quiet_update("ord_1001", status="lost")
        world.third_party.quiet_update("ord_1002", status="lost")
        yield tmp_path


def test_the_command_serves_for_real(shop: Path) -> None:
    """`recon schedule` catches up the missed night with a real run in a process of its own, and ends in order on SIGTERM."""
    with Project.find(shop) as project, State.open(project.state_url) as state:
        slots = Slots(state)
        missed = timetables(project.jobs)["orders"].latest(datetime.now(UTC))
        assert missed is not None
        slots.due("orders", missed - timedelta(days=1))
        slots.finish("orders", missed - timedelta(days=1))
        child = subprocess.Popen(
            [sys.executable, "-m", "recon", "schedule", "--project", str(shop)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert child.stdout
        assert child.stderr
        try:
            said = []
            for line in child.stderr:
                said.append(line)
                if "done after" in line:
                    break
            child.send_signal(signal.SIGTERM)
            assert child.wait(30) == 0, said
            printed = child.stdout.read()
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
            child.stderr.close()
        last = slots.last("orders")
        assert last is not None
        assert (last.instant, last.state) == (missed, SlotState.DONE)
    assert any("caught up now, once" in line for line in said)
    assert "EMITTED 2 events (2 accepted)" in printed


def test_run_due_for_cron(shop: Path) -> None:
    """`recon run --due` runs what is due, once: the second time nothing is."""
    first = recon(shop, "run", "--due")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "EMITTED 2 events (2 accepted)" in first.stdout
    second = recon(shop, "run", "--due")
    assert second.returncode == 0
    assert "nothing is due" in second.stdout + second.stderr


@pytest.mark.parametrize("kind", ["cron", "systemd", "k8s"])
def test_print_command(shop: Path, kind: str) -> None:
    """`recon schedule print` prints the text for this project."""
    done = recon(shop, "schedule", "print", kind)
    assert done.returncode == 0, done.stderr
    assert "orders" in done.stdout
    assert str(shop) in done.stdout


JOBS = {
    "orders": job(zone="Europe/Berlin"),
    "stripe_charges": job("stripe_charges", "*/15 1-3 * * *"),
    "either": job("either", "30 2 1,15 * 1"),
    "manual": job("manual", None),
}
PLACE = Place(folder="/srv/50% off $HOME", recon=("/opt/recon/bin/recon",))


def test_crontab_text() -> None:
    """Each scheduled job has its own line in its own zone, with the % escaped; the others have none."""
    text = render("cron", JOBS, PLACE)
    assert "CRON_TZ=Europe/Berlin\n0 3 * * * /opt/recon/bin/recon run --project '/srv/50\\% off $HOME' orders --quiet\n" in text
    assert text.index("CRON_TZ=UTC") < text.index("stripe_charges")
    assert "manual" not in text
    assert "run --project '/srv/50\\% off $HOME' --due" in text


def test_systemd_text() -> None:
    """Timers are persistent and carry the zone; cron's day-or-weekday becomes two lines; special characters are escaped."""
    text = render("systemd", JOBS, PLACE)
    assert "OnCalendar=*-*-* 03:00:00 Europe/Berlin\n" in text
    assert "OnCalendar=*-*-* 01,02,03:00,15,30,45:00 UTC\n" in text
    assert "OnCalendar=*-*-01,15 02:30:00 UTC\nOnCalendar=Mon *-*-* 02:30:00 UTC\n" in text
    assert text.count("Persistent=true") == 3
    assert 'ExecStart=/opt/recon/bin/recon run --project "/srv/50%% off $$HOME" %i' in text
    with pytest.raises(BadRequest, match="last day"):
        render("systemd", {"orders": job(schedule="0 3 L * *")}, PLACE)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_reads_the_same_slots() -> None:
    """The real systemd reads each calendar expression, and comes to the same next ten slots as our timetable."""
    for line in ("0 3 * * *", "*/15 1-3 * * *", "30 2 * * 0", "0 0 1 1,7 *", "5 4 1 * *"):
        text = render("systemd", {"orders": job(schedule=line)}, PLACE)
        calendar = re.search(r"OnCalendar=(.*)\n", text)[1]  # type: ignore[index]
        done = subprocess.run(
            ["systemd-analyze", "calendar", "--iterations=10", "--base-time=2026-05-01 00:00:00 UTC", calendar],
            capture_output=True, text=True, env={**os.environ, "TZ": "UTC"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = [
            datetime.strptime(m, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
            for m in re.findall(r"(?:Next elapse|#\d+): \w+ (\S+ \S+) UTC", done.stdout)
        ]
        table, moment, expected = Timetable(line), datetime(2026, 5, 1, tzinfo=UTC), []
        for _ in range(10):
            moment = table.after(moment)
            expected.append(moment)
        assert found == expected, line


def test_kubernetes_text() -> None:
    """Each job is a CronJob with its zone, no overlap, a DNS name and its own words as a list."""
    text = render("k8s", JOBS, PLACE)
    assert text.count("kind: CronJob") == 3
    assert text.count("concurrencyPolicy: Forbid") == 3
    assert 'timeZone: "Europe/Berlin"' in text
    assert 'name: "recon-stripe-charges"' in text
    assert 'command: ["recon", "run", "orders", "--project", "/srv/50% off $HOME"]' in text
    assert "values: [0, 75, 130, 137, 143]" in text


def test_nothing_to_print() -> None:
    """Without a scheduled job, or for an unknown form, the way out is said."""
    with pytest.raises(BadRequest, match="no job has a schedule"):
        render("cron", {"manual": job(schedule=None)}, PLACE)
    with pytest.raises(BadRequest, match="systemd"):
        render("upstart", JOBS, PLACE)
