"""`recon config`."""

from dataclasses import asdict

import click

from recon.commands.frame import Frame, framed


@click.group()
def config() -> None:
    """Look at the settings."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@framed
def show(frame: Frame, as_json: bool) -> None:
    """Show every setting, its value and where it came from: a file and line, a variable of the environment, or the default.

    A secret is shown by its reference only, and the password of a URL is masked.
    """
    with frame.project() as project:
        settings = list(project.settings.listing())
        file = project.settings.file
    if as_json:
        rows = [asdict(setting) for setting in settings]
        frame.console.json({"schema": "recon.config/1", "project": str(file), "settings": rows})
        return
    shown = [setting.shown.replace("\n", "\\n") for setting in settings]
    keys = max(len(setting.key) for setting in settings)
    values = min(60, max(map(len, shown)))
    for setting, value in zip(settings, shown, strict=True):
        frame.console.out(f"{setting.key:<{keys}}  {value:<{values}}  {setting.origin}")
