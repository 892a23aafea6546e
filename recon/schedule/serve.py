"""`recon schedule`: the service in the foreground, one line on standard error for each thing that happens.

Firing only says that a slot is due. The loop here writes it down, starts `recon run DOMAIN --slot …` as a process, and notes how it ended:

- nights missed while the service stood still are caught up once, by a run for the latest of them;
- a slot that comes while its domain's last run is at work is skipped, and said;
- a run that ends with 75 (incomplete or locked) is tried again after 5, 15 and 45 minutes, unless the next slot comes first;
- SIGTERM and SIGINT: no new runs; those at work get SIGTERM and 30 s. The exit code is 0, or 143 where a run had to be killed;
- a scheduler thread that dies ends the service loudly with 1, so that whoever supervises it starts it anew.
"""

import os
import queue
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from types import FrameType

from recon.clock import Clock, SystemClock, iso
from recon.duration import words_of
from recon.errors import BadRequest, ReconError
from recon.inert import terminal
from recon.job import Job
from recon.notify import Reminding
from recon.project import Project
from recon.schedule.children import Children, Ended, Task
from recon.schedule.due import find_one, set_baseline, timetables
from recon.schedule.firing import Firing
from recon.state.database import State
from recon.state.slots import Slots, SlotState

#: Exit codes of a run that has done what it could for its slot: done, discrepancies, held, not all delivered.
STOPPED = {130, 143}
AGAIN = {75: "was incomplete (exit 75)", 130: "was interrupted (exit 130)", 143: "was stopped (exit 143)"}
FINISHED = {0: "done", 3: "done, with discrepancies", 4: "held for approval", 6: "done, with events not delivered"}
TRY_AGAIN = 75
RETRY_SECONDS = (300.0, 900.0, 2700.0)
GRACE_SECONDS = 30.0
TICK_SECONDS = 0.25
#: A wall clock that runs so much ahead of the monotonic one means that the machine slept, or that its clock was set.
JUMP_SECONDS = 2.0
RECORD_AGAIN_SECONDS = 10.0


def say_on_stderr(text: str) -> None:
    """One line with the time."""
    print(f"{iso(datetime.now().astimezone().replace(microsecond=0))} {terminal(text)}", file=sys.stderr, flush=True)


class Service:
    """The loop. `run` works until it is told to stop, and answers the exit code."""

    def __init__(
        self,
        jobs: Mapping[str, Job],
        state: State,
        children: Children,
        *,
        parallel: int,
        catch_up: float,
        clock: Clock | None = None,
        say: Callable[[str], None] = say_on_stderr,
        grace: float = GRACE_SECONDS,
        retries: tuple[float, ...] = RETRY_SECONDS,
    ) -> None:
        self._jobs = jobs
        self._tables = timetables(jobs)
        self._slots = Slots(state)
        self._children = children
        self._parallel = parallel
        self._catch_up = catch_up
        self._clock = clock or SystemClock()
        self._say = say
        self._grace = grace
        self._retries = retries
        self._fired: queue.SimpleQueue[tuple[str, datetime]] = queue.SimpleQueue()
        self._unrecorded: deque[tuple[float, str, datetime]] = deque()
        self._ready: deque[Task] = deque()
        self._later: list[tuple[float, Task]] = []
        self.firing = Firing(self._tables, self.fire)
        self._stopped_by: int | None = None

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ask the loop to end; safe in a signal handler."""
        self._stopped_by = number

    def fire(self, domain: str, instant: datetime) -> None:
        """A slot is due; called from the clockwork's thread, and taken up by the loop."""
        self._fired.put((domain, instant))

    def run(self) -> int:
        """Work until stopped."""
        self._announce()
        self.firing.start()
        offset = time.time() - time.monotonic()
        while self._stopped_by is None:
            if not self.firing.alive():
                self._say("the scheduler's thread has died: nothing would run any more, so the service ends; start it again (exit 1)")
                self._children.stop(self._grace)
                return 1
            if abs(time.time() - time.monotonic() - offset) > JUMP_SECONDS:
                offset = time.time() - time.monotonic()
                self.firing.look_again()
            self._tick()
        return self._end()

    def _announce(self) -> None:
        now = self._clock.now()
        for domain, table in sorted(self._tables.items()):
            job = self._jobs[domain]
            if set_baseline(domain, table, self._slots, now=now):
                self._say(f"{domain}: scheduled for the first time")
            due = find_one(domain, table, self._slots, now=now, catch_up=self._catch_up)
            if due is not None:
                more = f", and {due.missed} before it that it covers" if due.missed else ""
                self._say(f"{domain}: the slot of {iso(due.slot)} was missed{more}; caught up now, once")
                self._enqueue(Task(domain=domain, slot=due.slot))
            following = table.after(now)
            when = (
                "never again" if following is None else f"next {iso(following)} ({following.astimezone(table.zone):%H:%M} {job.timezone})"
            )
            self._say(f"{domain}: {job.schedule!r} in {job.timezone}, {when}")

    def _tick(self) -> None:
        try:
            domain, instant = self._fired.get(timeout=TICK_SECONDS)
        except queue.Empty:
            pass
        else:
            self._unrecorded.append((0.0, domain, instant))
        self._record()
        for ended in self._children.collect():
            self._note(ended)
        now = time.monotonic()
        for at, task in [entry for entry in self._later if entry[0] <= now]:
            self._later.remove((at, task))
            self._enqueue(task)
        while self._ready and len(self._children) < self._parallel:
            self._start(self._ready.popleft())

    def _record(self) -> None:
        """Write down the slots that fired. While the state database is away they are kept, and said, and tried again."""
        now = time.monotonic()
        for _ in range(len(self._unrecorded)):
            again, domain, instant = self._unrecorded.popleft()
            if again > now:
                self._unrecorded.append((again, domain, instant))
                continue
            try:
                fresh = self._slots.due(domain, instant)
            except ReconError as error:
                self._say(
                    f"{domain}: the slot of {iso(instant)} cannot be written down: {error}; trying again in {RECORD_AGAIN_SECONDS:.0f} s"
                )
                self._unrecorded.append((now + RECORD_AGAIN_SECONDS, domain, instant))
                continue
            if fresh:
                self._due(domain, instant)

    def _due(self, domain: str, instant: datetime) -> None:
        child = self._children.of(domain)
        if child is not None:
            reason = f"the run of {iso(child.task.slot)} was still at work"
            self._say(f"{domain}: the slot of {iso(instant)} is skipped: {reason}")
            self._finish(Task(domain=domain, slot=instant), SlotState.SKIPPED, reason)
            return
        older = [task for task in self._ready if task.domain == domain] + [task for _, task in self._later if task.domain == domain]
        for task in older:
            self._finish(task, SlotState.SKIPPED, f"covered by {iso(instant)}")
        self._ready = deque(task for task in self._ready if task.domain != domain)
        self._later = [(at, task) for at, task in self._later if task.domain != domain]
        self._enqueue(Task(domain=domain, slot=instant))

    def _enqueue(self, task: Task) -> None:
        self._ready.append(task)

    def _start(self, task: Task) -> None:
        try:
            child = self._children.start(task)
        except OSError as error:
            self._say(f"{task.domain}: the run for {iso(task.slot)} could not be started: {error}")
            self._again(task, "could not be started")
            return
        self._say(f"{task.domain}: run for {iso(task.slot)} started (process {child.process.pid})")

    def _note(self, ended: Ended) -> None:
        task = ended.task
        took = words_of(ended.seconds)
        if ended.code in FINISHED:
            self._say(f"{task.domain}: run for {iso(task.slot)} {FINISHED[ended.code]} after {took} (exit {ended.code})")
            self._finish(task, SlotState.DONE, None)
        elif ended.code in {TRY_AGAIN, *STOPPED} or ended.code < 0:
            why = f"was killed by {signal.Signals(-ended.code).name}" if ended.code < 0 else AGAIN.get(ended.code, "was stopped")
            self._say(f"{task.domain}: run for {iso(task.slot)} {why} after {took}")
            self._again(task, why)
        else:
            self._say(f"{task.domain}: run for {iso(task.slot)} FAILED after {took} (exit {ended.code}): recon runs shows it")
            self._finish(task, SlotState.SKIPPED, f"its run failed with exit {ended.code}")

    def _again(self, task: Task, why: str) -> None:
        if task.tries >= len(self._retries):
            self._say(
                f"{task.domain}: GIVEN UP for {iso(task.slot)} after {task.tries + 1} tries; the next slot will look at everything again"
            )
            self._finish(task, SlotState.SKIPPED, f"given up after {task.tries + 1} tries: the last {why}")
            return
        wait = self._retries[task.tries]
        self._say(f"{task.domain}: trying {iso(task.slot)} again in {words_of(wait)}")
        self._later.append((time.monotonic() + wait, Task(domain=task.domain, slot=task.slot, tries=task.tries + 1)))

    def _finish(self, task: Task, state: SlotState, reason: str | None) -> None:
        try:
            self._slots.finish(task.domain, task.slot, state=state, reason=reason)
        except ReconError as error:
            self._say(
                f"{task.domain}: how {iso(task.slot)} ended cannot be written down: {error}; it will be looked at when the service starts again"
            )

    def _end(self) -> int:
        name = signal.Signals(self._stopped_by or signal.SIGTERM).name
        self._say(f"{name}: no new runs; {len(self._children)} at work get {words_of(self._grace)} to end")
        self.firing.stop()
        ended, killed = self._children.stop(self._grace)
        for one in ended:
            if one.code in FINISHED:
                self._note(one)
            else:
                # Its slot stays due: the next start of the service runs it.
                self._say(f"{one.task.domain}: run for {iso(one.task.slot)} was stopped; it goes on when the service starts again")
        if killed:
            self._say(f"{killed} runs did not end in time and were killed; their slots stay due (exit 143)")
            return 128 + signal.SIGTERM
        self._say("stopped")
        return 0


def serve(project: Project, state: State, *, clock: Clock | None = None) -> int:
    """The service for a project: the exit code when it is told to stop. Raises BadRequest where no domain has a schedule."""
    for broken in project.broken:
        say_on_stderr(f"NOT SCHEDULED, broken: {broken.error}")
    if not timetables(project.jobs):
        msg = f"{project.folder}: no job has a schedule"
        raise BadRequest(msg, hint='add schedule = "0 3 * * *" to a job, or to its [jobs.NAME] table in recon.toml')
    settings = project.settings
    service = Service(
        project.jobs,
        state,
        Children(project.folder, os.environ),
        parallel=settings.schedule.parallel,
        catch_up=settings.schedule.catch_up,
        clock=clock,
    )
    with Reminding(project, state, say_on_stderr), _stopping(service):
        return service.run()


@contextmanager
def _stopping(service: Service) -> Iterator[None]:
    """SIGTERM and SIGINT stop the service, in order; what stood before is put back."""

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        service.stop(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
