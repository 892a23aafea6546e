"""`recon demo`."""

import sys
from pathlib import Path

import click

from recon.commands.frame import Frame, framed


@click.command()
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@framed
def demo(frame: Frame, directory: Path | None) -> None:
    """Play five nights of a small shop: lost webhooks, an outage, a third party gone blank, and what recon makes of them.

    Everything runs on this machine, on loopback, with no keys. DIR is where it is played (by default a temporary folder); it
    holds the project, the databases and the reports afterwards.
    """
    del frame
    from recon.demo import run_demo

    run_demo(directory, sys.stdout)
