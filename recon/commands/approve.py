"""`recon approve` and `recon reject`."""

import click

from recon.commands.ack import who
from recon.commands.frame import Frame, framed
from recon.commands.work import Work


@click.command()
@click.argument("run")
@click.option(
    "--plan", metavar="SUM", required=True, help="The plan's checksum, as `recon held` shows it: what is approved is exactly that."
)
@click.option("--reason", required=True, help="Why this is right; stands in the report.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@framed
def approve(frame: Frame, run: str, plan: str, reason: str, as_json: bool) -> int:
    """Let the held plan of RUN go out, once.

    Every item is looked at again first: items may drop out, none may join. An approval of another checksum, or of an expired
    plan, is refused.
    """
    from recon.report.json_ import document
    from recon.run import approve as go_ahead

    with frame.both() as (project, state):
        with frame.console.progress("approve") as progress:
            figures = go_ahead(project, state, run, plan=plan, reason=reason, by=who(), clock=frame.clock, progress=progress)
        Work(frame, project, state, as_json).tell(figures)
    if as_json:
        frame.console.json(document(figures))
    return figures.exit_code


@click.command()
@click.argument("run")
@click.option("--reason", required=True, help="Why not; stands in the report.")
@framed
def reject(frame: Frame, run: str, reason: str) -> None:
    """Turn the held plan of RUN down: nothing of it will ever go out; the next run starts afresh."""
    from recon.run import figures_of, shelve
    from recon.run import reject as turn_down

    with frame.both() as (project, state):
        turn_down(state, run, reason=reason, by=who())
        shelve(project, state, figures_of(state, run))
    frame.console.say(f"rejected {run}: {reason}")
