"""The hosts of a world and what is run on them: the schedule, runs by hand, and what a process leaves to be seen when it is over."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Engine, event

from recon.errors import ReconError
from recon.project import Project
from recon.project.jobs import Found, Jobs
from recon.report.figures import RunFigures
from recon.run import Order, publish, run_domain
from recon.schedule.due import find_due
from recon.settings import load
from recon.state.database import State
from recon.state.engine import make
from recon.state.slots import Slots, SlotState
from recon.testing.simulation.broker import BrokerPublisher
from recon.testing.simulation.clock import DAY, SLOT
from recon.testing.simulation.consumers import WorldPublisher
from recon.testing.simulation.migration import LASTS
from recon.testing.simulation.network import WorldNetwork
from recon.testing.simulation.oracle.facts import Ended, Frozen
from recon.testing.simulation.people import People
from recon.testing.simulation.posts import Relay
from recon.testing.simulation.process import CURRENT, Crash, Process, running, watch
from recon.testing.simulation.project_files import folder_of, write_jobs
from recon.testing.simulation.records import Records

if TYPE_CHECKING:
    from recon.testing.simulation.world import Universe

DEEPEST = 4
"""So many processes may be at work one within the other; a further one waits."""
SERVED = frozenset({0, 3, 4, 6})
TRY_AGAIN = 75


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A process with what it has open."""

    process: Process
    project: Project
    state: State


_FILE = [""]


def engine_of(file: str) -> Engine:
    """The engine, on this world's state database. There is one in each process, since what it has compiled costs more than a whole night."""
    engine = _engine()
    engine.dispose()
    _FILE[0] = file
    return engine


@cache
def _engine() -> Engine:
    engine = make("sqlite:///world.db")
    watch(engine)

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, args: list[Any], _named: dict[str, Any]) -> None:
        args[0] = _FILE[0]

    return engine


class Listener:
    """A run's progress, for the story."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def stage(self, name: str) -> None:
        self._process.universe.story.tell(self._process.name, f"-- {name}")

    def advance(self, done: int, total: int | None, unit: str) -> None:
        del done, total, unit

    def note(self, text: str) -> None:
        del text


class Hosts:
    """The hosts, by name; all share one state database."""

    def __init__(self, universe: "Universe") -> None:
        self._universe = universe
        self.names = [f"h{number}" for number in range(1, universe.world.hosts + 1)]
        self.people = People(universe, self)
        self._records = Records(universe, self.people)
        self._projects: dict[str, Project] = {}
        shutil.copyfile(universe.template, universe.folder / "state.db")
        self._engine = engine_of(str(universe.folder / "state.db"))

    # -- what is to happen ----------------------------------------------------------------------------------------------------

    def plan(self, night: int) -> None:
        """The schedule's firings and what people do by hand, for one day."""
        universe = self._universe
        begin, chance = night * DAY, universe.chance
        for index, host in enumerate(self.names):
            if chance.happens("night missed", universe.world.missed, host, night):
                universe.story.tell(host, "is switched off tonight")
                continue
            delay = 1.0 + index * chance.between(0, 200, "host late", host, night)
            universe.time.later(begin + SLOT + delay, partial(self.due, host))
        if universe.world.migrates and night == universe.nights // 2:
            universe.time.later(begin + 12 * 3600.0, self._raise)
        if chance.happens("job edited", universe.world.edits, night):
            universe.time.later(begin + 12 * 3600.0, self._edit)
        for domain in universe.domains:
            if chance.happens("replayed", universe.world.replays, domain, night):
                at = chance.between(0, DAY, "replayed at", domain, night)
                universe.time.later(begin + at, partial(self.people.replay, domain, night))
            if chance.happens("acknowledged", universe.world.acks, domain, night):
                universe.time.later(begin + 11 * 3600.0, partial(self.people.acknowledge, domain, night))
            for kind in ("run by hand", "dry run", "look at one", "publish by hand"):
                if chance.happens(kind, universe.world.by_hand / 3, domain, night):
                    self._plan_by_hand(kind, domain, night)

    def _plan_by_hand(self, kind: str, domain: str, night: int) -> None:
        """At any time of the day, or just while the schedule is at work."""
        chance, named = self._universe.chance, ("by hand", kind, domain, night)
        at = night * DAY + chance.between(0, DAY, "time", *named)
        if chance.between(0, 1, "beside", *named) < 0.5:
            at = night * DAY + SLOT + chance.between(-30, 300, "beside", *named)
        self._universe.time.later(at, partial(self.by_hand, kind, domain, chance.one_of(self.names, *named)))

    def _edit(self) -> None:
        universe = self._universe
        if "currency" not in universe.compared:
            universe.compared = (*universe.compared, "currency")
            universe.story.tell("person", "edits the job: the currency counts as well")
            self._write_jobs()

    def _raise(self) -> None:
        """The consumers know the second version; now the job tells it, and the first one beside it for some days."""
        universe, day = self._universe, self._universe.night
        universe.schema = 2
        universe.facts.raised, universe.facts.sunset = universe.time.at, (day + LASTS + 1) * DAY
        universe.story.tell("person", f"raises the events to version 2; version 1 is sent for {LASTS} days more")
        universe.chance.reach("version raised")
        universe.time.later(universe.facts.sunset, lambda: universe.chance.reach("sunset"))
        self._write_jobs()

    def _write_jobs(self) -> None:
        for host in self.names:
            write_jobs(self._universe, host)
        self._projects.clear()

    def freeze(self, process: Process, seconds: float, kind: str) -> None:
        """The process stands still; others do what they do, one of them at once."""
        universe = self._universe
        begin = universe.time.at
        universe.story.tell(process.name, f"stands still at {kind}, for {seconds:.0f} s")
        rival = self.names[-1]
        universe.time.later(begin + seconds * 0.8, lambda: self.due(rival, by_hand=True))
        calls = process.calls
        universe.time.go_on(begin + seconds)
        universe.facts.frozen.append(Frozen(process=process.number, at=begin, until=universe.time.at, calls=calls))
        universe.story.tell(process.name, "wakes")

    # -- processes --------------------------------------------------------------------------------------------------------------

    def due(self, host: str, *, tries: int = 0, by_hand: bool = False) -> None:
        """`recon run --due` (or, by hand, `recon run --all`), in a process of its own; one that broke off is started again, as cron would."""
        universe = self._universe
        if len(CURRENT) >= DEEPEST:
            universe.time.later(universe.time.at + 700.0, lambda: self.due(host, tries=tries, by_hand=by_hand))
            return
        again = True
        with self.working(host) as work:
            universe.story.tell(work.process.name, "recon run --all" if by_hand else "recon run --due")
            served = [self._served(work, order) for order in self._orders(work, by_hand=by_hand)]
            again = not all(served)
        if again and not by_hand and tries < 3:
            delay = universe.chance.between(70, 5400, "again", universe.night, host, tries)
            universe.time.later(universe.time.at + delay, lambda: self.due(host, tries=tries + 1))

    def _orders(self, work: "Work", *, by_hand: bool) -> list[Order]:
        if by_hand:
            return [Order(domain=domain) for domain in self._universe.domains]
        catch_up = work.project.settings.schedule.catch_up
        found = find_due(work.project.jobs, Slots(work.state), now=work.process.clock.now(), catch_up=catch_up)
        if any(one.missed for one in found):
            self._universe.chance.reach("caught up")
        return [Order(domain=one.domain, trigger="due", slot=one.slot) for one in found]

    def _served(self, work: "Work", order: Order) -> bool:
        """Runs one domain, and notes of its slot what became of it, as `recon run --due` does."""
        figures = self.carry_out(
            work,
            "run",
            order.domain,
            lambda: run_domain(work.project, work.state, order, clock=work.process.clock, progress=Listener(work.process)),
        )
        if figures is None or figures.exit_code == TRY_AGAIN:
            return False
        if order.slot is not None:
            served = figures.exit_code in SERVED
            state = SlotState.DONE if served else SlotState.SKIPPED
            Slots(work.state).finish(order.domain, order.slot, state=state, reason=None if served else "failed", run=figures.run or None)
        return True

    def by_hand(self, kind: str, domain: str, host: str) -> None:
        """What a person types at any time of the day."""
        universe = self._universe
        if len(CURRENT) >= DEEPEST:
            return
        keys = sorted(universe.parties[domain].places)
        key = universe.chance.one_of(keys, "which", domain, universe.night)
        order = {"dry run": Order(domain=domain, dry_run=True), "look at one": Order(domain=domain, key=key)}.get(
            kind, Order(domain=domain)
        )
        word = {"dry run": "dry", "look at one": "item", "publish by hand": "publish"}.get(kind, "run")
        with self.working(host) as work:
            universe.story.tell(work.process.name, f"{kind}: {domain}")
            listener, clock = Listener(work.process), work.process.clock
            if word == "publish":
                self.carry_out(work, word, domain, lambda: publish(work.project, work.state, domain, clock=clock, progress=listener))
            else:
                self.carry_out(work, word, domain, lambda: run_domain(work.project, work.state, order, clock=clock, progress=listener))

    @contextmanager
    def working(self, host: str) -> Iterator["Work"]:
        """A fresh process: nothing of an earlier one but what is on disk. A Crash ends it, and is over with it."""
        universe = self._universe
        process = universe.process(host)
        with running(process):
            # Each has a State of its own; the engine under it is shared, which knows nothing but how to connect.
            work = Work(process=process, project=self._project(process), state=State(self._engine, clock=universe.database_clock))
            with suppress(Crash):
                yield work
        universe.steps.update(process.steps)
        self.look()

    def _project(self, process: Process) -> Project:
        """The host's project, with nothing open. What its files say is read once, and again when they were changed."""
        universe, host = self._universe, process.host
        if host not in self._projects:
            self._projects[host] = Project(load(folder_of(universe, host) / "recon.toml", environ={"RECON_PLUGINS": "none"}))
            if universe.world.own is not None:
                job = universe.world.own.job
                self._projects[host].found = Jobs(on={job.domain: Found(job, "given", "project")})
            assert not self._projects[host].broken
        project = copy(self._projects[host])
        project._open = {}  # noqa: SLF001 - what another process has open is not open here
        own = universe.world.own.job if universe.world.own is not None else None
        provider: Any = project.provider(own.provider if own is not None else "shop")
        provider.session.through(WorldNetwork(universe, process), chance=process.chance)
        bus: Any = BrokerPublisher if universe.world.broker else WorldPublisher
        made = Relay(universe, process, project) if universe.world.native else bus(universe, process)
        project.put("publishers", str(own.publisher) if own is not None else "bus", made)
        return project

    def carry_out(self, work: "Work", order: str, domain: str, act: Callable[[], Any]) -> RunFigures | None:
        """One order, and what it said of itself; None where it gave no figures. A Crash is noted and passes on."""
        process, universe = work.process, self._universe
        began, fields = universe.time.at, universe.compared
        facts: dict[str, Any] = {
            "process": process.number,
            "began": began,
            "domain": domain,
            "order": order,
            "fields": fields,
            "schema": universe.schema,
        }
        figures: RunFigures | None = None
        try:
            answer = act()
        except Crash:
            universe.facts.ended.append(Ended(ended=universe.time.at, how="crashed", **facts))
            raise
        except ReconError as error:
            universe.story.tell(process.name, f"{order} {domain}: {type(error).__name__}")
            universe.facts.ended.append(
                Ended(ended=universe.time.at, how="ended", exit_code=error.exit_code, problem=type(error).__name__, **facts)
            )
            return None
        except Exception as error:  # noqa: BLE001 - whatever the code under test lets out is what the oracle must hear of
            universe.story.tell(process.name, f"{order} {domain} RAISED {type(error).__name__}: {error}")
            universe.facts.ended.append(Ended(ended=universe.time.at, how="raised", problem=f"{type(error).__name__}: {error}", **facts))
            return None
        if isinstance(answer, RunFigures):
            figures = answer
            said = msgspec.to_builtins(figures, str_keys=True)
            problem = figures.problem.kind if figures.problem else ""
            universe.chance.reach(f"verdict {figures.verdict}")
            _reached(figures, universe.chance.reach)
            universe.story.tell(process.name, f"{order} {domain}: {figures.verdict} exit {figures.exit_code} {problem} {_counts(figures)}")
            universe.facts.ended.append(
                Ended(
                    ended=universe.time.at,
                    how="ended",
                    exit_code=figures.exit_code,
                    verdict=str(figures.verdict),
                    run=figures.run,
                    problem=problem,
                    figures=said,
                    **facts,
                )
            )
        else:
            universe.facts.ended.append(Ended(ended=universe.time.at, how="ended", **facts))
        return figures

    def close(self) -> None:
        """Lets go of the state database."""
        self._engine.dispose()

    def look(self) -> None:
        """What can be seen from outside when a process is over: the runs, what is held, the fences."""
        self._records.read(self._universe.folder / "state.db")

    def glance(self) -> None:
        """What stands in the outbox at this moment."""
        self._records.glance(self._universe.folder / "state.db")


def _reached(figures: RunFigures, reach: Callable[[str], None]) -> None:
    for guard in figures.guards:
        if guard.tripped:
            reach(f"guard {guard.name}")
    if figures.in_flight:
        reach("in flight")
    if figures.waiting:
        reach("deletion waits")


def _counts(figures: RunFigures) -> str:
    parts = {
        "missing": figures.missing,
        "extra": figures.extra,
        "changed": figures.changed,
        "unknown": figures.unconfirmed,
        "unreadable": figures.unreadable_items,
        "acknowledged": figures.acknowledged,
        "in flight": figures.in_flight,
        "deletions waiting": figures.waiting,
        "waiting": figures.delivery.waiting if figures.delivery else 0,
        "dead": figures.delivery.dead if figures.delivery else 0,
    }
    tripped = ",".join(guard.name for guard in figures.guards if guard.tripped)
    return " ".join(f"{name} {count}" for name, count in parts.items() if count) + (f" guard {tripped}" if tripped else "")
