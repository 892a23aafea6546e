"""`recon prune`."""

import click

from recon.commands.frame import Frame, framed, known


@click.command()
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1)
@click.option("--dry-run", "dry", is_flag=True, help="Count what would be removed, and remove nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@framed
def prune(frame: Frame, *, domains: tuple[str, ...], dry: bool, as_json: bool) -> None:
    """Remove by age what ended runs of each DOMAIN left (all by default): files, findings, events that went out; see [retention].

    Never of an open or held run, never an event that waits or a dead letter, never what an open discrepancy still needs. A run does
    the same for its domain once a night.
    """
    from recon.report.json_ import wire
    from recon.report.words import plural
    from recon.run import prune as pruned
    from recon.state.runs import Runs

    with frame.both() as (project, state):
        for domain in domains:
            known(project, state, domain)
        names = list(domains) or sorted({*project.jobs, *Runs(state).domains()})
        done = pruned(project, state, names, clock=frame.clock, dry=dry)
    if as_json:
        frame.console.json({"schema": "recon.prune/1", "dry_run": dry, "domains": [wire(one) for one in done]})
        return
    told = [one for one in done if not one.nothing]
    for one in told:
        counts = [
            (one.folders, "folder of a run", "folders of runs"),
            (one.reports, "report", "reports"),
            (one.findings, "finding", "findings"),
            (one.planned, "planned event", "planned events"),
            (one.events, "event that went out", "events that went out"),
        ]
        listed = ", ".join(plural(count, single, many) for count, single, many in counts if count)
        frame.console.out(f"{one.domain}: {'would remove' if dry else 'removed'} {listed or 'nothing'}")
    if not told:
        frame.console.say("nothing is old enough to be removed")
