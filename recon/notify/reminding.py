"""Held plans told and told again until somebody decides: what is due is found in the state database, by whoever looks."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from recon.errors import ReconError
from recon.notify import notice as notices_of
from recon.notify.notices import Notices, Told
from recon.notify.telling import POST_SECONDS, post
from recon.notify.undelivered import tell_undelivered
from recon.project import Project
from recon.redact import redact
from recon.report.words import plural
from recon.run.account import stored
from recon.state.database import State
from recon.state.run import Run, RunState
from recon.state.runs import Runs

HELD = "held"
EVERY_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminded:
    """How many notices were told, and why the first that was not could not be."""

    told: int = 0
    why: str | None = None


def remind(project: Project, state: State) -> Reminded:
    """Tells what is due of held plans: those not told yet, those nobody decided on for `[notify] remind`, those that expired; and of
    destinations that lack events.

    To be called by whatever runs regularly, on any host: what one has taken the others leave. Never raises for the receiver or the
    state database; after the first post that failed the rest waits, since it would fail too.
    """
    if project.settings.notify.url is None:
        return Reminded()
    told = 0
    try:
        runs, notices = Runs(state), Notices(state)
        waiting = {run.id: run for run in runs.held()}
        for run_id in waiting.keys() - notices.known(HELD, waiting):
            notices.open(HELD, run_id, waiting[run_id].domain)
        for row in notices.due(HELD):
            taken = notices.take(HELD, row.subject)
            if taken is None:
                continue
            done = _tell_of(project, state, notices, taken)
            told += done.told
            if done.why is not None:
                return Reminded(told=told, why=done.why)
        if (why := tell_undelivered(project, state)) is not None:
            return Reminded(told=told, why=why)
    except ReconError as error:
        return Reminded(told=told, why=f"notify: {redact(error.message)}")
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no reason for a night to end otherwise, or a service's thread to die
        return Reminded(told=told, why=f"notify: {type(error).__name__}: {redact(str(error))[:200]}")
    return Reminded(told=told)


def _tell_of(project: Project, state: State, notices: Notices, taken: Told) -> Reminded:
    """One row that was taken: told as it stands now, or closed where a person or a newer run has ended it."""
    run = Runs(state).get(taken.subject)
    now = state.now()
    figures = stored(run)
    if figures is None or figures.plan is None or not _speaks(run):
        # An approved plan that cannot be proven yet may still expire, and that is told.
        notices.postpone(taken, run.hold_expires_at if run.state is RunState.APPROVED else None)
        return Reminded()
    waits = run.state is RunState.HELD
    notice = notices_of.held(figures, now=now, count=taken.count) if waits else notices_of.expired(figures, run.reason or "")
    why = post(project, notice, taken)
    if why is not None:
        notices.failed(taken)
        return Reminded(why=why)
    notices.told(taken, next_time(taken.first_at, now, run.hold_expires_at, project.settings.notify.remind) if waits else None)
    return Reminded(told=1)


def _speaks(run: Run) -> bool:
    """Whether there is something to say: it waits, or its time ran out. What a person or a newer run ended, somebody knows of."""
    late = run.hold_expires_at is not None and run.finished_at is not None and run.finished_at >= run.hold_expires_at
    return run.state is RunState.HELD or (run.state is RunState.EXPIRED and late)


def next_time(first: datetime, now: datetime, expires: datetime | None, remind: float) -> datetime | None:
    """When a held plan is told of again: every `remind` seconds since the first time, once when a quarter of the time is left, and at its end."""
    times: list[datetime] = []
    if remind > 0:
        times.append(first + timedelta(seconds=remind) * (int((now - first).total_seconds() // remind) + 1))
    if expires is not None:
        times += [expires - (expires - first) / 4, expires]
    return min((at for at in times if at > now), default=None)


class Reminding:
    """`remind` once a minute beside a service, in a thread of its own, so that a slow receiver holds nothing up: a context manager.

    What was told is said, and what could not be told is said once until it can. `also` tells what else there is to tell, and answers
    why it could not.
    """

    def __init__(
        self,
        project: Project,
        state: State,
        say: Callable[[str], None],
        *,
        every: float = EVERY_SECONDS,
        also: Callable[[Project], str | None] = lambda _: None,
    ) -> None:
        self._project, self._state, self._say, self._every, self._also = project, state, say, every, also
        self._said: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="reminders", daemon=True)

    def _look(self) -> None:
        while not self._stop.is_set():
            done = remind(self._project, self._state)
            if done.told:
                self._say(f"notify: {plural(done.told, 'notice')} told")
            why = done.why or self._also(self._project)
            if why is not None and why != self._said:
                self._say(why)
            self._said = why
            self._stop.wait(self._every)

    def adopt(self, project: Project) -> None:
        """Goes on with the settings of a project that was loaded anew, from the next look on."""
        self._project = project

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2 * POST_SECONDS)
