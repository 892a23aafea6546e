"""`recon new`."""

import click

from recon.commands.frame import Frame, framed


@click.group()
def new() -> None:
    """Add a domain or a provider to the project."""


@new.command()
@click.argument("name")
@click.option("--from", "origin", metavar="PROVIDER.RESOURCE", help="Start from a shipped job or a provider's resource: stripe.charges.")
@framed
def domain(frame: Frame, name: str, origin: str | None) -> None:
    """Write jobs/NAME.py: one more domain to compare."""
    from recon.scaffold import new_domain

    with frame.project() as project:
        path, what = new_domain(project, name, origin=origin)
        frame.console.say(f"wrote {path}, {what}")
        frame.console.say(f"next: recon doctor {name}, then recon check {name}")


@new.command()
@click.argument("name")
@framed
def provider(frame: Frame, name: str) -> None:
    """Write providers/NAME.py: one more third party. Many need no Python: see type = "rest" in the documentation."""
    from recon.scaffold import new_provider

    with frame.project() as project:
        path = new_provider(project, name)
        frame.console.say(f"wrote {path}")
        frame.console.say(
            f'next, in {project.settings.file.name}:\n[providers.{name}]\nbase_url = "https://…/"\nauth = {{ bearer = {{ env = "…" }} }}'
        )
