"""`recon show`."""

import click

from recon.commands.frame import Frame, framed
from recon.commands.runs import tell

#: The kinds, and the words that the report has for them.
KINDS = {"missing": "missing", "extra": "extra", "changed": "changed", "gone": "extra", "differs": "changed"}


@click.command()
@click.argument("run")
@click.option("--kind", type=click.Choice([*KINDS]), help="Only these: missing (here), extra (gone there) or changed (differs).")
@click.option("--field", metavar="NAME", help="Only items that differ in this field.")
@click.option("--limit", metavar="N", type=click.IntRange(1), help="At most so many; all by default.")
@click.option("--full", is_flag=True, help="Whole records, and values uncut.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, with the items in it.")
@framed
def show(frame: Frame, *, run: str, kind: str | None, field: str | None, limit: int | None, full: bool, as_json: bool) -> None:
    """Show the discrepancies of RUN: an id, or as much of its beginning as makes it unique; of one that is on its way, what goes on with it."""
    from itertools import islice

    from recon.discrepancy import DiscrepancyKind
    from recon.outbox.later import since
    from recon.report.json_ import document, wire
    from recon.report.text import listing, select
    from recon.report.words import UNENDED
    from recon.run import figures_of, items_of
    from recon.run.outlook import outlook
    from recon.state.runs import Runs

    wanted = DiscrepancyKind(KINDS[kind]) if kind else None
    with frame.both() as (project, state):
        Runs(state).expire()
        found = Runs(state).get(run)
        ahead = outlook(state, found)
        if found.figures is None and ahead is not None and not as_json:
            # Cut off before its first stage: where it stands is all there is to say.
            tell(frame, ahead)
            return
        figures = figures_of(state, found.id)
        items = items_of(state, figures.run, project)
        later = since(state, found, figures)
        if as_json:
            body = document(figures, islice(select(items, kind=wanted, field=field), limit))
            beside = {"outlook": wire(ahead)} if ahead is not None else {}
            frame.console.json({**body, **beside, **({"since": wire(later)} if later else {})})
            return
        # Of a run on its way nothing counts as found, and nothing as agreeing, until its plan is made.
        if figures.state not in UNENDED or figures.plan is not None:
            frame.console.lines(listing(figures, items, limit=limit, whole=full, since=later, kind=wanted, field=field))
        if ahead is not None:
            tell(frame, ahead)
