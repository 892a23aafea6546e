"""`recon runs`."""

import click

from recon.commands.frame import Frame, framed, known


@click.command()
@click.argument("domain", required=False)
@click.option("--limit", metavar="N", default=30, show_default=True, type=click.IntRange(1, 10_000), help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@framed
def runs(frame: Frame, domain: str | None, limit: int, as_json: bool) -> None:
    """List past runs, newest first, and since when each domain is known to agree."""
    from recon.clock import iso
    from recon.report.json_ import runs_document
    from recon.report.text import runs_table
    from recon.run.account import stored
    from recon.state.runs import Runs

    with frame.both() as (project, state):
        if domain is not None:
            known(project, state, domain)
        recent = Runs(state).recent(domain, limit)
    figures = [told for run in recent if (told := stored(run)) is not None]
    # A run that is at work, or was cut off, has no figures yet; it is a run all the same.
    without = [run for run in recent if run.figures is None]
    if as_json:
        rows = [{"run": run.id, "domain": run.domain, "state": run.state.value, "started_at": iso(run.started_at)} for run in without]
        frame.console.json({**runs_document(figures), "unfinished": rows})
        return
    frame.console.lines(runs_table(figures))
    for run in without:
        frame.console.out(f"{run.id}  {run.domain}  {iso(run.started_at)}  {run.state.value}, no figures yet")
