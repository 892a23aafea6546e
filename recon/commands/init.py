"""`recon init`."""

from pathlib import Path

import click

from recon.commands.frame import Frame, framed


@click.command()
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@framed
def init(frame: Frame, directory: Path) -> None:
    """Write a new project in DIR (by default here): settings, one job, one provider, a passing test.

    Nothing is overwritten: where one of the files is there already, nothing is written at all.
    """
    from recon.scaffold import new_project

    for path in new_project(directory):
        frame.console.say(f"wrote {path}")
    enter = "" if directory == Path() else f"cd {directory} && "
    frame.console.say(f"next: {enter}cp .env.example .env, fill it in, then recon doctor; recon demo shows it all without any of that")
