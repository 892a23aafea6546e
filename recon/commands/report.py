"""`recon report`."""

from pathlib import Path

import click

from recon.commands.frame import Frame, framed

FORMATS = ("html", "json", "jsonl", "csv", "md", "junit", "text")


@click.command()
@click.argument("run")
@click.option("-f", "--format", "form", type=click.Choice(FORMATS), default="html", show_default=True, help="The format.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Where to; stdout by default, and with -.")
@framed
def report(frame: Frame, run: str, form: str, output: Path | None) -> None:
    """Write the report of RUN (an id, or the beginning of one) in another format, or again."""
    from recon.files import write_atomically
    from recon.report.render import pieces
    from recon.run import figures_of, items_of

    with frame.both() as (project, state):
        figures = figures_of(state, run)
        made = pieces(figures, lambda: items_of(state, figures.run, project), form)
        if output is None or str(output) == "-":
            frame.console.raw(made)
            return
        write_atomically(output.absolute(), made)
        frame.console.say(f"wrote {output}")
