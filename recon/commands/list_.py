"""`recon list`."""

from dataclasses import asdict
from itertools import groupby

import click

from recon.commands.frame import Frame, framed


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@framed
def list_(frame: Frame, as_json: bool) -> None:
    """Show each job, provider, store and publisher with the file it came from.

    A file that does not load is shown with its line and error; the others are listed all the same. `off` is a job
    that recon.toml does not name or switches off; `available` is a plug-in that no table configures; `shadowed` is what a file of
    the project stands in front of.
    """
    with frame.project() as project:
        entries = project.inventory()
        settings = project.settings
    if as_json:
        frame.console.json({"schema": "recon.list/1", "project": str(settings.file), "entries": [asdict(entry) for entry in entries]})
        return
    rows = [(entry.what, entry.name, entry.standing, entry.file, entry.detail) for entry in entries]
    widths = [max(len(row[n]) for row in rows) for n in range(4)] if rows else []
    frame.console.out(f"project {settings.name}  {settings.file}")
    for _, several in groupby(entries, key=lambda entry: entry.what):
        frame.console.out("\n")
        for entry in several:
            cells = (entry.what, entry.name, entry.standing, entry.file)
            line = "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
            frame.console.out(f"{line}  {entry.detail}".rstrip())
            if entry.problem:
                frame.console.out(f"    ! {entry.problem}")
                frame.console.out(f"      hint: {entry.hint}" if entry.hint else "")
