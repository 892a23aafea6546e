"""`recon held`."""

from typing import TYPE_CHECKING

import click

from recon.commands.frame import Frame, framed, known

if TYPE_CHECKING:
    from recon.project import Project
    from recon.report.figures import RunFigures
    from recon.state.database import State


@click.command()
@click.argument("domain", required=False)
@click.option("--remind", is_flag=True, help="Also post what is due to `[notify] url`, as every run does by itself.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@framed
def held(frame: Frame, domain: str | None, *, remind: bool, as_json: bool) -> None:
    """List the plans that wait for a person, oldest first, each with what tripped and the exact next commands."""
    from recon.report.json_ import runs_document
    from recon.report.text import summary
    from recon.run.account import stored
    from recon.state.runs import Runs

    with frame.both() as (project, state):
        if domain is not None:
            known(project, state, domain)
        if remind:
            _remind(frame, project, state)
        found = [figures for run in Runs(state).held(domain) if (figures := stored(run)) is not None]
        waits = {figures.run: _waits(state, figures) for figures in found}
    if as_json:
        frame.console.json(runs_document(found))
        return
    if not found:
        frame.console.say("no plan is held")
    for figures in found:
        frame.console.lines(summary(figures, limit=0))
        frame.console.out(waits[figures.run])
        frame.console.out("\n")


def _remind(frame: Frame, project: "Project", state: "State") -> None:
    """Says what was told, and what could not be."""
    from recon.errors import DeliveryError
    from recon.notify import remind
    from recon.report.words import plural

    if project.settings.notify.url is None:
        frame.console.say('nobody is told: recon.toml has no [notify] url; such as url = { env = "RECON_NOTIFY_URL" }')
        return
    done = remind(project, state)
    frame.console.say(f"{plural(done.told, 'notice')} told" if done.told or done.why else "no notice is due")
    if done.why is not None:
        raise DeliveryError(done.why, hint="recon held --remind tries again in five minutes, as every run does")


def _waits(state: "State", figures: "RunFigures") -> str:
    """`  waits     11h 20m, 24h 40m left; told 2 times, next 2026-…`: by the database's clock."""
    from recon.duration import words_of
    from recon.notify.notices import Notices
    from recon.report.words import moment

    now = state.now()
    expires = figures.plan.expires_at if figures.plan is not None else None
    left = f", {words_of((expires - now).total_seconds())} left" if expires is not None else ""
    row = Notices(state).get("held", figures.run)
    again = f", next {moment(row.next_at, figures.timezone)}" if row is not None and row.next_at is not None else ""
    times = "nobody was told" if row is None or not row.count else f"told {row.count} time{'s' if row.count > 1 else ''}"
    return f"  {'waits':<16}  {words_of((now - figures.finished_at).total_seconds())}{left}; {times}{again}"
