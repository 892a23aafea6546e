"""`recon ack` and `recon unack`."""

import getpass
from datetime import datetime

import click

from recon.commands.frame import Frame, framed
from recon.errors import BadRequest


@click.command()
@click.argument("domain")
@click.argument("key")
@click.option("--until", metavar="DATE", type=click.DateTime(["%Y-%m-%d"]), help="The last day on which it holds, such as 2026-12-31.")
@click.option("--reason", required=True, help="Why it need not be told; stands in every report.")
@framed
def ack(frame: Frame, domain: str, key: str, until: datetime | None, reason: str) -> None:
    """Silence a known discrepancy: it is still counted as acknowledged, and no event goes out for it.

    It ends by itself when the discrepancy changes, or after the date.
    """
    from recon.ledger import Ledger
    from recon.run import veil_of

    last = until.date() if until is not None else None
    with frame.both() as (project, state):
        project.job(domain)
        if last is not None and last < frame.clock.now().date():
            msg = f"--until {last} has passed"
            raise BadRequest(msg, hint="give a day from today on")
        veil = veil_of(project, state, domain)
        key = veil.typed(state, domain, key)
        with veil.hiding([key]):
            made = Ledger(state).ack(domain, key, until=last, by=who(), reason=reason)
        frame.console.say(f"acknowledged {domain} {veil.key(key)} ({made.kind}): {made.words()}")


@click.command()
@click.argument("domain")
@click.argument("key")
@framed
def unack(frame: Frame, domain: str, key: str) -> None:
    """Take an acknowledgement back: the discrepancy counts again from the next run on."""
    from recon.ledger import Ledger
    from recon.run import veil_of

    with frame.both() as (project, state):
        veil = veil_of(project, state, domain)
        key = veil.typed(state, domain, key)
        shown = veil.key(key)
        if not Ledger(state).unack(domain, key):
            msg = f"{domain} {shown}: nothing is acknowledged"
            raise BadRequest(msg, hint=f"recon explain {domain} {shown}")
        frame.console.say(f"taken back: {domain} {shown}")


def who() -> str:
    """The person at the keyboard, as the system knows them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
