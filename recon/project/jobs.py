"""The jobs of a project: read from their files, laid over with recon.toml, and each broken one kept apart from the others."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.metadata import EntryPoint
from pathlib import Path

from recon.errors import BadDefinition, DuplicateName, ProjectError, UnknownName
from recon.job import Job
from recon.project.loading import PROJECT, SHIPPED, files_in, load_file, shipped_folder, shown_path
from recon.project.overlay import check_declared, overlay
from recon.project.plugins import Types, entry_points
from recon.settings import Settings


@dataclass(frozen=True, slots=True)
class Broken:
    """A domain that cannot run, with the file at fault (as messages show it) and the error that says why."""

    domain: str
    file: str
    error: ProjectError


@dataclass(frozen=True, slots=True)
class Found:
    """One declared job: `place` as messages show it, `origin` is project, installed or shipped."""

    job: Job
    place: str
    origin: str


@dataclass(slots=True)
class Jobs:
    """What was found: `on` are the jobs of this project with settings laid over, `off` those that it does not name."""

    on: dict[str, Found] = field(default_factory=dict)
    off: dict[str, Found] = field(default_factory=dict)
    broken: dict[str, Broken] = field(default_factory=dict)
    #: Of these, the tables [jobs.NAME] that no job goes by: what they say reaches nobody.
    stray: list[Broken] = field(default_factory=list)
    shadowed: list[Found] = field(default_factory=list)


def read_jobs(settings: Settings, types: Mapping[str, Types]) -> Jobs:
    """Every job of the project, whatever state it is in; raises nothing for a job, each error stands in `broken`."""
    jobs = Jobs()
    found: dict[str, list[Found]] = {}
    for one in _declared(settings, jobs):
        found.setdefault(one.job.domain, []).append(one)
    for domain, several in found.items():
        first, others = several[0], several[1:]
        if first.origin == "project":
            jobs.shadowed.extend(other for other in others if other.origin != "project")
            others = [other for other in others if other.origin == "project"]
        if others:
            msg = f"{domain}: defined twice, in {first.place} and in {others[0].place}"
            jobs.broken[domain] = Broken(domain, first.place, DuplicateName(msg, hint="rename one of the two, or take it out"))
            continue
        _place(domain, first, settings, types, jobs)
    for name, section in settings.jobs.items():
        if name not in found and name not in jobs.broken:
            near = get_close_matches(name, sorted(found), 1)
            hint = f"did you mean [jobs.{near[0]}]?" if near else f"write jobs/{name}.py, or take the table out; recon list shows every job"
            msg = f"{settings.origin(('jobs', name))} [jobs.{name}]: no file declares a job {name!r}"
            error = UnknownName(msg, hint=hint)
            jobs.broken[name] = Broken(name, section.file.name, error)
            jobs.stray.append(jobs.broken[name])
    return jobs


def _declared(settings: Settings, jobs: Jobs) -> Iterator[Found]:
    """The jobs of the project's files, then of installed packages, then those shipped; a file that does not load becomes `broken`."""
    shipped = shipped_folder() / "jobs"
    if settings.folder / "jobs" != shipped:
        yield from _of_files(settings, jobs, settings.folder / "jobs", "project")
    for entry in entry_points("jobs", settings.environ):
        if entry.name in settings.jobs:  # Off like a shipped one until it is named, and not even imported.
            yield from _of_entry(entry, jobs)
    yield from _of_files(settings, jobs, shipped, "shipped")


def _of_entry(entry: EntryPoint, jobs: Jobs) -> Iterator[Found]:
    """The jobs of an installed package's entry point: a Job, or several."""
    place = f"{entry.value} ({entry.dist.name if entry.dist else 'installed'})"
    several: tuple[object, ...] = ()
    why = "the entry point gives no Job"
    try:
        loaded = entry.load()
        several = (loaded,) if isinstance(loaded, Job) else tuple(loaded)
    except Exception as error:  # noqa: BLE001 - a package's own failure must not take the other domains with it
        why = f"{type(error).__name__}: {error}"
    found = [one for one in several if isinstance(one, Job)]
    if not found or len(found) != len(several):
        bad = BadDefinition(f"{place}: {why}", hint="mend or remove the package, or leave it out with RECON_PLUGINS")
        jobs.broken[entry.name] = Broken(entry.name, place, bad)
        return
    for job in found:
        yield Found(job, place, "installed")


def _of_files(settings: Settings, jobs: Jobs, folder: Path, origin: str) -> Iterator[Found]:
    for file in files_in(folder):
        place = shown_path(file, settings.folder)
        try:
            module = load_file(file, PROJECT if origin == "project" else SHIPPED, base=settings.folder)
            declared = list({id(value): value for value in vars(module).values() if isinstance(value, Job)}.values())
            if not declared:
                raise BadDefinition(f"{place}: declares no job", hint=f"write {file.stem} = Job(domain=…), or name a helper _{file.name}")
        except ProjectError as error:
            # Nothing can be read from the file, so its name stands for the domain; a shipped file counts where the project names it.
            if origin == "project" or file.stem in settings.jobs:
                jobs.broken[file.stem] = Broken(file.stem, place, error)
            continue
        for job in declared:
            yield Found(job, place, origin)


def _place(domain: str, found: Found, settings: Settings, types: Mapping[str, Types], jobs: Jobs) -> None:
    """Puts one job where it belongs: on, off or broken."""
    section = settings.jobs.get(domain)
    try:
        if section is None:
            if found.origin != "project":
                jobs.off[domain] = found
                return
            section = settings.section("jobs", domain)
        if not section.flag("enabled", True):
            jobs.off[domain] = found
            return
        check_declared(found.job, found.place)
        job = overlay(found.job, section, zone=settings.timezone)
        check_names(job, found.place, settings, types)
    except ProjectError as error:
        jobs.broken[domain] = Broken(domain, found.place, error)
        return
    jobs.on[domain] = Found(job, found.place, found.origin)


def check_names(job: Job, place: str, settings: Settings, types: Mapping[str, Types]) -> None:
    """That the job's provider, store and publisher are defined; raises UnknownName with the nearest name and the file."""
    wanted = [("provider", job.provider), ("store", job.store)]
    wanted += [("publisher", name) for name in job.publishers]
    for one, name in wanted:
        room = f"{one}s"
        tables: Mapping[str, object] = getattr(settings, room)
        known = sorted({*tables, *(types[room].names() if room in types else ())})
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"write a table [{room}.{name}] in {settings.file.name}"
            if known and not near:
                hint += f"; there are {', '.join(known)}"
            at = settings.origin(("jobs", job.domain, one)) if ("jobs", job.domain, one) in settings.leaves else place
            msg = f"{at}: {job.domain} names {one} {name!r}, which nobody defines"
            raise UnknownName(msg, hint=hint)
