"""`recon runs`."""

from typing import TYPE_CHECKING

import click

from recon.commands.frame import Frame, framed, known

if TYPE_CHECKING:
    from recon.run.outlook import Outlook


@click.command()
@click.argument("domain", required=False)
@click.option("--limit", metavar="N", default=30, show_default=True, type=click.IntRange(1, 10_000), help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@framed
def runs(frame: Frame, domain: str | None, limit: int, as_json: bool) -> None:
    """List past runs, newest first, and since when each domain is known to agree; then the unfinished ones and what goes on with each."""
    from recon.report.json_ import runs_document, wire
    from recon.report.table import runs_table
    from recon.run.account import stored
    from recon.run.outlook import outlooks
    from recon.state.runs import Runs

    with frame.both() as (project, state):
        if domain is not None:
            known(project, state, domain)
        recent = Runs(state).recent(domain, limit)
        unfinished = outlooks(state, recent)
    # A run that was cut off before its first stage has no figures yet; it stands among the unfinished ones all the same.
    figures = [told for run in recent if (told := stored(run)) is not None]
    if as_json:
        frame.console.json({**runs_document(figures), "unfinished": [wire(one) for one in unfinished]})
        return
    if figures or not unfinished:
        frame.console.lines(runs_table(figures, width=frame.console.width))
    for one in unfinished:
        tell(frame, one)


def tell(frame: Frame, one: "Outlook") -> None:
    """A paragraph on one unfinished run, for a terminal of 80 characters."""
    from recon.inert import terminal

    held, next_ = one.lines()
    frame.console.out("\n")
    frame.console.out(terminal(f"{one.run}  {one.domain}  {one.state}"))
    frame.console.out(f"  {terminal(held)}")
    frame.console.out(f"  next: {terminal(next_)}")
    if one.command is not None:
        frame.console.out(f"        {terminal(one.command)}")
