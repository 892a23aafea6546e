"""`recon version`."""

import platform

import click

from recon import __version__
from recon.commands.frame import Frame, framed


@click.command()
@framed
def version(frame: Frame) -> None:
    """Print the version of recon and of the Python it runs on."""
    frame.console.out(f"recon {__version__} (Python {platform.python_version()})")
