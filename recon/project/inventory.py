"""What `recon list` shows: each job, provider, store and publisher with the file it came from."""

from collections.abc import Iterator
from dataclasses import dataclass

from recon.errors import DuplicateName, ProjectError
from recon.project.jobs import Found, Jobs
from recon.project.plugins import Types
from recon.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line: what it is (`job`, `provider`, `store`, `publisher`), its name, its standing (on, off, broken, defined, available, shadowed),
    its place.

    `detail` is for a reader; `problem` and `hint` say why it is broken and what to do.
    """

    what: str
    name: str
    standing: str
    file: str
    detail: str = ""
    problem: str = ""
    hint: str = ""


def inventory(settings: Settings, jobs: Jobs, types: dict[str, Types]) -> list[Entry]:
    """Every definition, jobs first; nothing is constructed and no secret is read."""
    entries = [_job(found, "on") for _, found in sorted(jobs.on.items())]
    for broken in sorted(jobs.broken.values(), key=lambda b: b.domain):
        error = broken.error
        entries.append(
            Entry(what="job", name=broken.domain, standing="broken", file=broken.file, problem=str(error), hint=error.hint or "")
        )
    entries += [_job(found, "off") for _, found in sorted(jobs.off.items())]
    entries += [_job(found, "shadowed") for found in jobs.shadowed]
    entries += _plugins("provider", settings, types["providers"])
    for name, section in settings.stores.items():
        entries.append(Entry(what="store", name=name, standing="defined", file=section.where("url").partition(" ")[0]))
    entries += _plugins("publisher", settings, types["publishers"])
    return entries


def _job(found: Found, standing: str) -> Entry:
    job = found.job
    line = f"{job.schedule} {job.timezone}" if job.schedule else "no schedule"
    to = f", to {' and '.join(job.publishers)}" if job.publishers else ""
    detail = f"{job.provider}.{job.resource} -> {job.store}{to}, {line}"
    return Entry(what="job", name=job.domain, standing=standing, file=found.place, detail=detail)


def _plugins(what: str, settings: Settings, types: Types) -> Iterator[Entry]:
    """Configured ones by their table, then types that no table names."""
    sections = getattr(settings, f"{what}s")
    used = set()
    for name, section in sections.items():
        type_ = section.table.get("type", name)
        used.add(type_)
        try:
            file = types.place(str(type_), where=section.where("type")).shown(settings.folder)
        except ProjectError as error:
            yield Entry(what=what, name=name, standing="broken", file=section.file.name, problem=str(error), hint=error.hint or "")
            continue
        yield Entry(what=what, name=name, standing="defined", file=file, detail=f"type {type_}, {settings.origin((f'{what}s', name))}")
    for type_ in types.names():
        try:
            place = types.place(type_, where=type_)
        except DuplicateName as error:
            yield Entry(
                what=what,
                name=type_,
                standing="broken",
                file=types.places(type_)[0].shown(settings.folder),
                problem=str(error),
                hint=error.hint or "",
            )
            continue
        if type_ not in used:
            yield Entry(what=what, name=type_, standing="available", file=place.shown(settings.folder))
    for place in types.shadowed:
        yield Entry(what=what, name=place.type, standing="shadowed", file=place.shown(settings.folder))
