"""`recon events`."""

from typing import TYPE_CHECKING

import click

from recon.commands.frame import Frame, framed

if TYPE_CHECKING:
    from recon.event.types import EventType
    from recon.job import Job
    from recon.project import Project

BROKEN = 2


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@framed
def events(frame: Frame, *, as_json: bool) -> None:
    """List every event type that the project's jobs can emit, with its version, domain and publisher.

    An older version that is sent beside the newest is listed too, with the day on which that ends.
    """
    if click.get_current_context().invoked_subcommand is not None:
        return
    with frame.project() as project:
        found = [(one, job.publishers) for one, job in _types(project, older=True)]
    if as_json:
        types = [
            {
                "type": one.name,
                "version": one.version,
                "op": one.op,
                "domain": one.domain,
                "source": one.source,
                "publisher": publishers[0] if publishers else None,
                "publishers": list(publishers),
                "deprecated": one.sunset is not None,
                "sunset": one.sunset,
            }
            for one, publishers in found
        ]
        frame.console.json({"schema": "recon.events.list/1", "types": types})
        return
    today = frame.clock.now().date().isoformat()
    width = max((len(one.name) for one, _ in found), default=0)
    across = max((len(one.domain) for one, _ in found), default=0)
    for one, publishers in found:
        to = f"to {' and '.join(publishers)}" if publishers else "sent nowhere"
        also = "; correct() may choose another" if one.may_differ else ""
        until = "" if one.sunset is None else f"; deprecated, {'until' if today <= one.sunset else 'ended with'} {one.sunset}"
        frame.console.out(f"{one.name:<{width}}  v{one.version}  {one.domain:<{across}}  {to}{until}{also}\n")


@events.command()
@click.argument("event_type", metavar="TYPE")
@click.option("--domain", help="Of this domain, where two emit the type.")
@click.option("--version", type=click.IntRange(1), metavar="N", help="In this version; an older one as events.json has it.")
@framed
def schema(frame: Frame, event_type: str, domain: str | None, version: int | None) -> None:
    """Print the JSON Schema of the data in events of TYPE, such as order.updated, made from the job's fields."""
    from recon.errors import UnknownName
    from recon.event import register
    from recon.event.schema import schema_of

    with frame.project() as project:
        job, one = _chosen(project, event_type, domain)
        if version in {None, one.version}:
            frame.console.json(schema_of(job, one))
            return
        assert version is not None
        found = register.schema_in(register.written(project.folder / register.FILE), one.domain, one.name, version)
    if found is None:
        msg = f"{one.domain} {one.name}: {register.FILE} has no schema of version {version}; the job is at version {one.version}"
        raise UnknownName(msg, hint="recon events lock keeps a version's schema from then on when event_version is raised")
    frame.console.json(found)


@events.command()
@framed
def asyncapi(frame: Frame) -> None:
    """Print an AsyncAPI 3.0 document of everything that the project's jobs can emit."""
    from recon import __version__
    from recon.event import register
    from recon.event.asyncapi import document

    with frame.project() as project:
        agreed, today = register.written(project.folder / register.FILE), frame.clock.now().date()
        frame.console.json(document(f"Corrections of {project.settings.name}", __version__, project.jobs, register=agreed, today=today))


@events.command()
@click.option(
    "--check", is_flag=True, help="Change nothing: exit code 2 where a type changed without a new version, or the file is behind."
)
@framed
def lock(frame: Frame, check: bool) -> int:
    """Write the register of event types, events.json beside recon.toml; to be committed.

    A field that was taken out, or became of another kind, without `event_version` raised, is refused: exit code 2, and the file stays.
    So is a version that was raised without a way up from the one before, and one that ends before its sunset. The schemas of older
    versions stay in the file.
    """
    from recon.errors import BadDefinition
    from recon.event import register

    with frame.project() as project:
        file = project.folder / register.FILE
        before = register.written(file)
        now = register.register_of(project.jobs, before)
    broken = register.changes(before, now, today=frame.clock.now().date()) if before is not None else []
    if broken:
        msg = f"{file.name}: {len(broken)} changes would break who reads these events:\n  " + "\n  ".join(broken)
        raise BadDefinition(msg, hint="docs/versions.md has the way from one version to the next, with time for who reads them")
    if before == now:
        frame.console.say(f"{file.name}: {len(now['types'])} types, as they are")
        return 0
    if check:
        frame.console.say(f"{file.name} is behind the jobs; recon events lock writes it anew")
        return BROKEN
    register.write(file, now)
    frame.console.say(f"{file.name}: {len(now['types'])} types written; commit it")
    return 0


def _types(project: "Project", *, older: bool = False) -> list[tuple["EventType", "Job"]]:
    from recon.event.types import older_types_of, types_of

    jobs = [job for _, job in sorted(project.jobs.items())]
    return [(one, job) for job in jobs for one in (*types_of(job), *(older_types_of(job) if older else ()))]


def _chosen(project: "Project", name: str, domain: str | None) -> tuple["Job", "EventType"]:
    """The one type of that name; UnknownName where there is none, BadRequest where there are two."""
    from difflib import get_close_matches

    from recon.errors import BadRequest, UnknownName

    every = _types(project)
    found = [(job, one) for one, job in every if one.name == name and domain in {None, one.domain}]
    if not found:
        names = sorted({one.name for one, _ in every})
        near = get_close_matches(name, names, 1)
        where = f" of domain {domain!r}" if domain else ""
        msg = f"no job{where} emits the type {name!r}"
        raise UnknownName(msg, hint=f"did you mean {near[0]!r}?" if near else "recon events lists the types")
    if len(found) > 1:
        domains = ", ".join(one.domain for _, one in found)
        msg = f"{len(found)} domains emit {name}: {domains}"
        raise BadRequest(msg, hint=f"recon events schema {name} --domain {found[0][1].domain}")
    return found[0]
