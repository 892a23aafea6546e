"""`recon schedule`: the service in the foreground, one line on standard error for each thing that happens.

What is due is read from the timetable and the slots, every few seconds and whenever the clockwork says so: nothing hangs on a firing.
So a machine that slept, a clock that was set, and a host that died are one case: a slot is due, and nobody sees to it. The loop
takes it, starts `recon run DOMAIN --slot …` as a process, and writes down how that ended:

- nights missed while nobody was there are caught up once, by a run for the latest of them;
- a slot that comes while its domain's last run is at work, here or on another host, is skipped, and said;
- a run that ends with 75 (incomplete or locked) is tried again after 5, 15 and 45 minutes, unless the next slot comes first;
- SIGTERM and SIGINT: no new runs; those at work get SIGTERM and 30 s. The exit code is 0, or 143 where a run had to be killed;
- SIGHUP, or a change of the project's files: it is loaded anew, and what changed is said;
- a scheduler thread that dies ends the service loudly with 1, so that whoever supervises it starts it anew.
"""

import os
import queue
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from types import FrameType

from recon.clock import Clock, SystemClock, iso
from recon.duration import words_of
from recon.errors import BadRequest, ReconError
from recon.inert import terminal
from recon.job import Job
from recon.notify import Reminding
from recon.project import Project
from recon.redact import redact
from recon.schedule.children import Children
from recon.schedule.due import RETRY_SECONDS, find_one, set_baseline, shared_now, timetables
from recon.schedule.firing import Firing
from recon.schedule.hands import Hands
from recon.schedule.overdue import find_overdue
from recon.schedule.reload import Plan, Source, changes
from recon.schedule.telling import tell_overdue
from recon.state.database import State
from recon.state.slots import TAKE_SECONDS, Slots

GRACE_SECONDS = 30.0
TICK_SECONDS = 0.25
#: How often what is due is looked at; the clockwork says a slot's own second, and this finds whatever else there is.
LOOK_SECONDS = 5.0
OVERDUE_SECONDS = 60.0
#: A wall clock that runs so much ahead of the monotonic one, or behind it, means that the machine slept or that its clock was set.
JUMP_SECONDS = 2.0
#: From here on it is said, and a slot that is found so late was missed.
LATE_SECONDS = 60.0


def say_on_stderr(text: str) -> None:
    """One line with the time."""
    print(f"{iso(datetime.now().astimezone().replace(microsecond=0))} {terminal(redact(text))}", file=sys.stderr, flush=True)


class Service:
    """The loop. `run` works until it is told to stop, and answers the exit code. `source` gives a new plan where the project has changed.

    `adopted` is told of each project that was loaded anew.
    """

    def __init__(
        self,
        jobs: Mapping[str, Job],
        state: State,
        children: Children,
        *,
        parallel: int,
        catch_up: float,
        overdue: float | None = None,
        clock: Clock | None = None,
        say: Callable[[str], None] = say_on_stderr,
        grace: float = GRACE_SECONDS,
        retries: tuple[float, ...] = RETRY_SECONDS,
        look: float = LOOK_SECONDS,
        keep: float = TAKE_SECONDS,
        source: Callable[[bool], Plan | None] | None = None,
        adopted: Callable[[Project], None] | None = None,
    ) -> None:
        self._plan = Plan(jobs=dict(jobs), parallel=parallel, catch_up=catch_up, overdue=overdue)
        self._tables = timetables(jobs)
        self._state = state
        self._slots = Slots(state)
        self._clock = clock or SystemClock()
        self._say = say
        self._grace = grace
        self._look_every = look
        self._source = source
        self._adopted = adopted
        self._hands = Hands(self._slots, children, say=say, retries=retries, keep=keep)
        self._fired: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._trouble = False
        self._told: set[tuple[str, datetime]] = set()
        self._next_look = self._next_overdue = 0.0
        self._reload = False
        self._stopped_by: int | None = None
        self.firing = Firing(self._tables, self.fire)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ask the loop to end; safe in a signal handler."""
        self._stopped_by = number

    def reload(self) -> None:
        """Ask the loop to load the project anew; safe in a signal handler."""
        self._reload = True

    def fire(self, domain: str, instant: datetime) -> None:
        """A slot has come; called from the clockwork's thread. The loop looks at once, and not only when it would anyway."""
        del instant
        self._fired.put(domain)

    def run(self) -> int:
        """Work until stopped."""
        # Before the first look: a clock that is set while that goes on is noticed, too.
        offset = self._offset()
        self._announce(self._tables)
        self.firing.start()
        while self._stopped_by is None:
            if not self.firing.alive():
                self._say("the scheduler's thread has died: nothing would run any more, so the service ends; start it again (exit 1)")
                self._hands.stop(self._grace)
                return 1
            jump = self._offset() - offset
            if abs(jump) > JUMP_SECONDS:
                offset += jump
                self._jumped(jump)
            self._tick()
        return self._end()

    def _offset(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()

    def _jumped(self, seconds: float) -> None:
        self.firing.look_again()
        self._next_look = 0.0
        if abs(seconds) < LATE_SECONDS:
            return
        if seconds > 0:
            self._say(
                f"the clock went {words_of(seconds)} ahead (the machine slept, or its clock was set); looking at what has come meanwhile"
            )
            return
        self._say(f"the clock was set back by {words_of(-seconds)}; a slot that has had its run gets no second one")
        with self._bearing():
            now = shared_now(self._state, self._clock)
            for domain, latest in sorted(self._slots.latest().items()):
                if domain in self._tables and latest > now:
                    self._say(
                        f"{domain}: the slot of {iso(latest)} came before its time and is not run again; recon run {domain} runs it now"
                    )

    def _announce(self, domains: Mapping[str, object]) -> None:
        now = shared_now(self._state, self._clock)
        for domain in sorted(domains):
            table, job = self._tables[domain], self._plan.jobs[domain]
            if set_baseline(domain, table, self._slots, now=now):
                self._say(f"{domain}: scheduled for the first time")
            self._find(domain, now, starting=True)
            following = table.after(now)
            when = (
                "never again" if following is None else f"next {iso(following)} ({following.astimezone(table.zone):%H:%M} {job.timezone})"
            )
            self._say(f"{domain}: {job.schedule!r} in {job.timezone}, {when}")

    def _tick(self) -> None:
        try:
            self._fired.get(timeout=min(TICK_SECONDS, self._look_every))
            self._next_look = 0.0
        except queue.Empty:
            pass
        if self._source is not None:
            plan = self._source(self._reload)
            self._reload = False
            if plan is not None:
                self._adopt(plan)
        with self._bearing():
            if self._hands.settle() or time.monotonic() >= self._next_look:
                self._next_look = time.monotonic() + self._look_every
                self._look()
            self._hands.renew()
            if self._plan.overdue is not None and time.monotonic() >= self._next_overdue:
                self._next_overdue = time.monotonic() + OVERDUE_SECONDS
                self._tell_overdue(self._plan.overdue)
            if self._trouble:
                self._say("the state database answers again")
                self._trouble = False

    @contextmanager
    def _bearing(self) -> Iterator[None]:
        """A state database that is away for a while is said, once, and waited for: what is due stays due."""
        try:
            yield
        except ReconError as error:
            if not self._trouble:
                self._say(f"slots cannot be written down: {error}; trying again every {words_of(self._look_every)}")
            self._trouble = True

    def _look(self) -> None:
        """Writes down what has come, and takes what is ready, as far as there are hands for it."""
        now = shared_now(self._state, self._clock)
        known = self._slots.latest()
        for domain, table in self._tables.items():
            latest = table.latest(now)
            if latest is not None and (domain not in known or latest > known[domain]):
                self._find(domain, now)
        for slot in self._slots.ready():
            if len(self._hands) >= self._plan.parallel:
                return
            if slot.domain in self._tables and slot.instant <= now and not self._hands.busy(slot.domain):
                self._hands.take(slot)

    def _find(self, domain: str, now: datetime, *, starting: bool = False) -> None:
        due = find_one(domain, self._tables[domain], self._slots, now=now, catch_up=self._plan.catch_up)
        if due is None:
            return
        if due.skipped:
            self._say(f"{domain}: {due.skipped}")
            return
        slot = self._slots.get(domain, due.slot)
        moment = self._state.now()
        if slot is None or slot.taken(moment):
            return
        if slot.waits(moment):
            self._say(
                f"{domain}: the slot of {iso(due.slot)} {slot.reason}; it is tried again at {iso((slot.again_at or now).replace(microsecond=0))}"
            )
        elif starting or (due.fresh and (now - due.slot).total_seconds() > LATE_SECONDS):
            more = f", and {due.missed} before it that it covers" if due.missed else ""
            self._say(f"{domain}: the slot of {iso(due.slot)} was missed{more}; caught up now, once")

    def _tell_overdue(self, allowed: float) -> None:
        now = shared_now(self._state, self._clock)
        for one in find_overdue(self._tables, self._state, now=now, allowed=allowed):
            if (one.domain, one.slot) not in self._told:
                self._told.add((one.domain, one.slot))
                self._say(f"{one.domain}: OVERDUE: {one.words}; {one.way_out}")

    def _adopt(self, plan: Plan) -> None:
        """Goes on with a project that was loaded anew. Runs at work are processes of their own, and feel nothing of it."""
        before = self._tables
        for line in changes(self._plan, plan):
            self._say(line)
        self._plan, self._tables = plan, timetables(plan.jobs)
        if self._adopted is not None and plan.project is not None:
            self._adopted(plan.project)
        if {domain: (table.line, table.zone) for domain, table in before.items()} != {
            domain: (table.line, table.zone) for domain, table in self._tables.items()
        }:
            self.firing.stop()
            self.firing = Firing(self._tables, self.fire)
            self.firing.start()
        with self._bearing():
            self._announce(
                {domain: 0 for domain in self._tables if domain not in before or before[domain].line != self._tables[domain].line}
            )
        self._next_look = 0.0

    def _end(self) -> int:
        name = signal.Signals(self._stopped_by or signal.SIGTERM).name
        self._say(f"{name}: no new runs; {len(self._hands.children)} at work get {words_of(self._grace)} to end")
        self.firing.stop()
        killed = self._hands.stop(self._grace)
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
    reminding = Reminding(project, state, say_on_stderr, also=partial(tell_overdue, state=state, clock=clock or SystemClock()))
    service = Service(
        project.jobs,
        state,
        Children(project.folder, os.environ),
        parallel=settings.schedule.parallel,
        catch_up=settings.schedule.catch_up,
        overdue=settings.schedule.overdue,
        clock=clock,
        source=Source(project, say_on_stderr),
        adopted=reminding.adopt,
    )
    with reminding, _signals(service):
        return service.run()


@contextmanager
def _signals(service: Service) -> Iterator[None]:
    """SIGTERM and SIGINT stop the service, in order, and SIGHUP loads the project anew; what stood before is put back."""

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGHUP:
            service.reload()
        else:
            service.stop(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
