"""`recon replay`."""

from typing import TYPE_CHECKING

import click

from recon.commands.frame import Frame, framed, known

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from recon.outbox.replay import Chosen
    from recon.project import Project

UNDELIVERED = 6


@click.command()
@click.option("--to", "publisher", metavar="PUBLISHER", help="The publisher of recon.toml that sends them; needed but for --dry-run.")
@click.option("--domain", metavar="NAME", help="Only events of this domain.")
@click.option("--key", help="Only events of this item.")
@click.option("--type", "event_type", metavar="TYPE", help="Only this type, such as order.updated.")
@click.option("--run", metavar="RUN", help="Only what this run found first, by its id or the beginning of it.")
@click.option("--since", metavar="WHEN", help="Only what was emitted since: 2026-11-20, 2026-11-20T03:00Z, or 7d for the last seven days.")
@click.option("--until", metavar="WHEN", help="Only what was emitted before.")
@click.option("--as-stored", is_flag=True, help="The bytes as they were stored, whatever version of the data they are in.")
@click.option("--dry-run", is_flag=True, help="Say what it would be, and send nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@framed
def replay(
    frame: Frame,
    *,
    publisher: str | None,
    domain: str | None,
    key: str | None,
    event_type: str | None,
    run: str | None,
    since: str | None,
    until: str | None,
    as_stored: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Send events again that were sent before, oldest first: the same ids, and a replay id in a header beside them.

    The bytes are those that were stored; data of an older version is raised to the job's newest on the way, unless `--as-stored`.
    An event in a version that the job knows no way from is refused before anything is sent: exit code 2.
    What waits for that publisher is delivered first. A replay tells what was said, not what is so: for the latter there is
    `recon run`. Exit code 6 where something is not delivered yet; it waits, and `recon publish` goes on.
    """
    from recon.outbox.replay import Choice, Replays
    from recon.report.words import plural
    from recon.run import publish, veil_of
    from recon.state.runs import Runs

    now = frame.clock.now()
    with frame.both() as (project, state):
        if domain is not None:
            known(project, state, domain)
        if domain is not None and key is not None:
            key = veil_of(project, state, domain).typed(state, domain, key)
        choice = Choice(
            domain=domain,
            key=key,
            type=event_type,
            run=Runs(state).get(run).id if run is not None else None,
            since=_moment("--since", since, now),
            until=_moment("--until", until, now),
        )
        replays = Replays(state)
        chosen = replays.chosen(choice)
        if dry_run:
            _told(frame, chosen, replays.stored_versions(choice), as_json)
            return 0
        if publisher is None:
            msg = "--to PUBLISHER is needed: to whom? (--dry-run says what it would be)"
            raise click.UsageError(msg)
        project.publisher(publisher)
        if not as_stored:
            _refuse_unknown(project, replays.stored_versions(choice))
        with frame.console.progress("replay") as progress:
            publish(project, state, domain, clock=frame.clock, progress=progress)
            replay_id, count = replays.begin(choice, publisher, as_stored=as_stored)
            progress.note(f"replay {replay_id}: {plural(count, 'event')} to {publisher}")
            publish(project, state, domain, clock=frame.clock, progress=progress)
        standing = replays.standing(replay_id)
    undelivered = standing.get("waiting", 0) + standing.get("dead", 0)
    code = UNDELIVERED if undelivered else 0
    if as_json:
        frame.console.json(
            {"schema": "recon.replay/1", "replay": replay_id, "publisher": publisher, "events": count, **standing, "exit_code": code}
        )
        return code
    words = ", ".join(f"{standing[name]:,} {name}" for name in ("sent", "waiting", "dead") if standing.get(name))
    frame.console.out(f"replay {replay_id} to {publisher}: {words or 'all of it waited there already'}\n")
    if standing.get("waiting"):
        frame.console.say("recon publish goes on with what waits")
    return code


def _refuse_unknown(project: "Project", stored: "Mapping[str, Mapping[int, int]]") -> None:
    """BadRequest where events are stored in a version that their job knows no way from; a domain without a job says nothing of it."""
    from recon.errors import BadRequest

    for domain, counts in stored.items():
        job = project.jobs.get(domain)
        unknown = {} if job is None else {version: count for version, count in counts.items() if version not in job.chain.known}
        if job is not None and unknown:
            which = ", ".join(f"{count:,} in version {version}" for version, count in unknown.items())
            known = ", ".join(map(str, job.chain.known))
            msg = f"{domain}: of {sum(counts.values()):,} events, {which} cannot be raised to version {job.chain.current}: the job knows {known}; nothing was sent"
            raise BadRequest(
                msg, hint="declare the way in the job: versions=(Version(number=…, up=…),); or send the bytes as they were: --as-stored"
            )


def _told(frame: Frame, chosen: "list[Chosen]", stored: "Mapping[str, Mapping[int, int]]", as_json: bool) -> None:
    from dataclasses import asdict

    from recon.clock import iso

    if as_json:
        versions = {name: {str(version): count for version, count in counts.items()} for name, counts in stored.items()}
        rows = [{**asdict(one), "first": iso(one.first), "last": iso(one.last)} for one in chosen]
        frame.console.json(
            {"schema": "recon.replay/1", "dry_run": True, "events": sum(one.count for one in chosen), "chosen": rows, "versions": versions}
        )
        return
    for one in chosen:
        frame.console.out(f"{one.domain}  {one.type}  {one.count:,}  {iso(one.first)} to {iso(one.last)}\n")
    for name, counts in stored.items():
        if len(counts) > 1 or max(counts) > 1:
            frame.console.out(f"{name}  stored in {', '.join(f'version {version}: {count:,}' for version, count in counts.items())}\n")
    frame.console.say(
        f"{sum(one.count for one in chosen):,} events; nothing was sent"
        if chosen
        else "no event that was ever emitted fits; with less said there may be some"
    )


def _moment(option: str, text: str | None, now: "datetime") -> "datetime | None":
    """A date, a time, or a length back from now; UsageError for anything else."""
    from datetime import UTC, datetime, timedelta

    from recon.duration import seconds_of

    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        try:
            return now - timedelta(seconds=seconds_of(text))
        except ValueError:
            msg = f"{option} {text!r} is no date, no time and no length such as 7d"
            raise click.UsageError(msg) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
