"""`recon dead`."""

from collections.abc import Callable
from typing import Any

import click

from recon.commands.frame import Frame, framed, known

SHOWN = 100


@click.group()
def dead() -> None:
    """Dead letters: events that their destination refused for good."""


def _which(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which dead letters are meant."""
    for option in (
        click.option("--event", metavar="ID", help="Only this event, by its id or the beginning of it."),
        click.option("--publisher", metavar="NAME", help="Only those of this publisher."),
        click.option("--domain", metavar="NAME", help="Only those of this domain."),
    ):
        command = option(command)
    return command


@dead.command("list")
@_which
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@framed
def list_(frame: Frame, *, domain: str | None, publisher: str | None, event: str | None, as_json: bool) -> None:
    """List them, newest first, each with its reason; `stale` says that its discrepancy is resolved, or says something else by now."""
    from dataclasses import asdict

    from recon.clock import iso
    from recon.inert import terminal
    from recon.outbox.dead import DeadLetters
    from recon.run import veil_of

    with frame.both() as (project, state):
        if domain is not None:
            known(project, state, domain)
        letters = DeadLetters(state)
        found = letters.list(domain=domain, publisher=publisher, event=event, limit=SHOWN)
        total = letters.count(domain=domain, publisher=publisher, event=event)
        veils = {name: veil_of(project, state, name) for name in {one.domain for one in found}}
    rows = [{**asdict(one), "key": veils[one.domain].key(one.key), "at": iso(one.at)} for one in found]
    if as_json:
        frame.console.json({"schema": "recon.dead/1", "total": total, "letters": rows})
        return
    if not rows:
        frame.console.say("no dead letters")
        return
    for row in rows:
        stale = "" if row["current"] else "  stale"
        type_ = f"{row['type']} in version {row['version']}" if row["version"] else row["type"]
        frame.console.out(
            terminal(f"{row['at']}  {row['event'][:8]}  {row['domain']} {row['key']}  {type_} to {row['publisher']}{stale}") + "\n"
        )
        frame.console.out(terminal(f"    {row['reason']}") + "\n")
    more = f"{total - len(rows):,} more. " if total > len(rows) else ""
    frame.console.say(f"{more}recon dead redrive sends them again once the reason is mended; recon dead discard --reason … lets them go")


@dead.command()
@_which
@click.option("--all", "everything", is_flag=True, help="Every one, where nothing else says which.")
@click.option("--stale", is_flag=True, help="Also those whose discrepancy is resolved, or says something else by now.")
@framed
def redrive(frame: Frame, *, domain: str | None, publisher: str | None, event: str | None, everything: bool, stale: bool) -> int:
    """Send them again, with the same ids and bytes, and deliver at once. Exit code 6 where something is still not delivered.

    A stale one is left unless `--stale` says otherwise: sent late, it would undo what is right.
    """
    from recon.outbox.dead import DeadLetters
    from recon.run import publish

    _refuse_all(domain, publisher, event, everything=everything, verb="redrive")
    with frame.both() as (project, state):
        found = DeadLetters(state).redrive(domain=domain, publisher=publisher, event=event, stale=stale)
        left = f"; {found.stale:,} are stale and stay (--stale sends them too)" if found.stale else ""
        frame.console.say(f"{found.again:,} put back to be sent{left}")
        if not found.again:
            return 0
        with frame.console.progress(domain or "publish") as progress:
            figures = publish(project, state, domain, clock=frame.clock, progress=progress)
    for figure in figures:
        told = f": {figure.last_reason}" if figure.last_reason else ""
        frame.console.out(f"{figure.publisher}: {figure.confirmed:,} confirmed, {figure.waiting:,} waiting, {figure.dead:,} dead{told}\n")
        for one in figure.older:
            frame.console.out(f"  in version {one.version}: {one.confirmed:,} confirmed, {one.waiting:,} waiting, {one.dead:,} dead\n")
    return 6 if any(figure.undelivered for figure in figures) else 0


@dead.command()
@_which
@click.option("--all", "everything", is_flag=True, help="Every one, where nothing else says which.")
@click.option("--reason", required=True, help="Why; stands in what `recon explain` tells of the item.")
@framed
def discard(frame: Frame, *, domain: str | None, publisher: str | None, event: str | None, everything: bool, reason: str) -> None:
    """Let them go, for good. The events stay in the store: `recon replay` could still send them, and a night that finds the item again tells it anew."""
    from recon.commands.ack import who
    from recon.outbox.dead import DeadLetters

    _refuse_all(domain, publisher, event, everything=everything, verb="discard")
    with frame.both() as (_, state):
        gone = DeadLetters(state).discard(by=who(), reason=reason, domain=domain, publisher=publisher, event=event)
    frame.console.say(f"{gone:,} discarded")


def _refuse_all(domain: str | None, publisher: str | None, event: str | None, *, everything: bool, verb: str) -> None:
    if not (domain or publisher or event or everything):
        msg = f"which ones? --event ID, --domain NAME, --publisher NAME, or --all to {verb} every dead letter"
        raise click.UsageError(msg)
