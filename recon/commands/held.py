"""`recon held`."""

import click

from recon.commands.frame import Frame, framed, known


@click.command()
@click.argument("domain", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@framed
def held(frame: Frame, domain: str | None, as_json: bool) -> None:
    """List the plans that wait for a person, oldest first, each with what tripped and the exact next commands."""
    from recon.report.json_ import runs_document
    from recon.report.text import summary
    from recon.run.account import stored
    from recon.state.runs import Runs

    with frame.both() as (project, state):
        if domain is not None:
            known(project, state, domain)
        found = [figures for run in Runs(state).held(domain) if (figures := stored(run)) is not None]
    if as_json:
        frame.console.json(runs_document(found))
        return
    if not found:
        frame.console.say("no plan is held")
    for figures in found:
        frame.console.lines(summary(figures, limit=0))
        frame.console.out("\n")
