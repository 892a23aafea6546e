"""A project that changes while the service runs: noticed, loaded anew, and what changed in words.

Looked at are the files that say what runs when: recon.toml (the user's own too), .env, and every file of jobs/, providers/ and
publishers/. A project that does not load leaves the schedule as it was, loudly; so does a job that does not, for its own domain.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from recon.errors import ReconError
from recon.job import Job
from recon.project import Project
from recon.project.jobs import Broken
from recon.settings.load import FILE

LOOK_SECONDS = 3.0
ROOMS = ("jobs", "providers", "publishers")

Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the service goes by."""

    jobs: dict[str, Job]
    parallel: int
    catch_up: float
    overdue: float | None = None
    #: The project it was read from; None for the one that the service began with.
    project: Project | None = None


def changes(before: Plan, after: Plan) -> Iterator[str]:
    """What is different for the schedule, a line each."""
    had = {domain: job for domain, job in before.jobs.items() if job.schedule}
    have = {domain: job for domain, job in after.jobs.items() if job.schedule}
    for domain in sorted(had.keys() | have.keys()):
        old, new = had.get(domain), have.get(domain)
        if new is None:
            yield f"{domain}: off the schedule from now on; a run at work goes on to its end"
        elif old is None:
            yield f"{domain}: on the schedule from now on"
        elif (old.schedule, old.timezone) != (new.schedule, new.timezone):
            yield f"{domain}: {old.schedule!r} in {old.timezone} is now {new.schedule!r} in {new.timezone}"
    for name in ("parallel", "catch_up", "overdue"):
        if getattr(before, name) != getattr(after, name):
            yield f"[schedule] {name}: {getattr(before, name):g} is now {getattr(after, name):g}"
    if not have:
        yield "NOTHING IS SCHEDULED any more: no job has a schedule"


class Source:
    """Gives a new `Plan` when the project's files have changed, or when it is asked to; None otherwise. Called often, it looks seldom."""

    def __init__(self, project: Project, say: Callable[[str], None], *, every: float = LOOK_SECONDS) -> None:
        self._file = project.settings.file
        self._state_url = project.state_url
        self._jobs = dict(project.jobs)
        self._places = {domain: found.place for domain, found in project.found.on.items()}
        self._say = say
        self._every = every
        self._seen = self._loaded = signature(self._file)
        self._next = time.monotonic() + every

    def __call__(self, asked: bool) -> Plan | None:
        now = time.monotonic()
        if not asked and now < self._next:
            return None
        self._next = now + self._every
        before, self._seen = self._seen, signature(self._file)
        # A file that is being written is left until it stands still for one look.
        if not asked and (self._seen == self._loaded or self._seen != before):
            return None
        self._loaded = self._seen
        return self._load(asked=asked)

    def _load(self, *, asked: bool) -> Plan | None:
        self._say("SIGHUP: the project is loaded anew" if asked else "the project's files have changed: it is loaded anew")
        try:
            with Project.find(self._file) as project:
                jobs, broken, settings = dict(project.jobs), project.broken, project.settings
                places = {domain: found.place for domain, found in project.found.on.items()}
                url = project.state_url
        except (ReconError, OSError) as error:
            self._say(f"NOT LOADED, everything goes on as it was: {error}")
            return None
        if url != self._state_url:
            self._say("[state] url has changed: start the service again to have it work there; until then it goes on where it was")
        kept = self._kept(broken)
        self._places = places | {domain: self._places[domain] for domain in kept}
        self._jobs = jobs = jobs | kept
        schedule = settings.schedule
        return Plan(jobs=jobs, parallel=schedule.parallel, catch_up=schedule.catch_up, overdue=schedule.overdue, project=project)

    def _kept(self, broken: list[Broken]) -> dict[str, Job]:
        """The jobs that do not load any more, as they were: their slots still come, and their runs fail loudly until they are mended."""
        kept: dict[str, Job] = {}
        for one in broken:
            # Of a file that cannot be read only its name is known, and it may have declared other domains than that.
            held = {domain: job for domain, job in self._jobs.items() if domain == one.domain or self._places.get(domain) == one.file}
            for domain in held:
                self._say(f"{domain}: BROKEN, its schedule stays as it was and its runs will fail until it is mended: {one.error}")
            if not held:
                self._say(f"NOT SCHEDULED, broken: {one.error}")
            kept |= held
        return kept


def signature(file: Path) -> Signature:
    """Every file that counts with its time and size: it changes when one of them does."""
    folder = file.parent
    found = [file, folder / ".env", Path("~/.config/recon").expanduser() / FILE]
    for room in ROOMS:
        found += sorted((folder / room).glob("*.py"))
    lines = []
    for path in found:
        try:
            status = path.stat()
        except OSError:
            continue
        lines.append((str(path), status.st_mtime_ns, status.st_size))
    return tuple(lines)
