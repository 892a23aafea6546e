"""`recon publish`."""

import click

from recon.commands.frame import Frame, framed

UNDELIVERED = 6


@click.command()
@click.argument("domain", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@framed
def publish(frame: Frame, domain: str | None, as_json: bool) -> int:
    """Deliver what waits in the outbox, of DOMAIN or of all. Exit code 6 where something still waits, or was refused for good in this call."""
    from recon.inert import terminal
    from recon.report.json_ import wire
    from recon.report.verdict import standing_still
    from recon.run import publish as deliver

    with frame.both() as (project, state):
        if domain is not None:
            project.job(domain)
        with frame.console.progress(domain or "publish") as progress:
            figures = deliver(project, state, domain, clock=frame.clock, progress=progress)
    code = UNDELIVERED if any(figure.undelivered for figure in figures) else 0
    if as_json:
        frame.console.json({"schema": "recon.publish/1", "exit_code": code, "deliveries": [wire(figure) for figure in figures]})
    elif not (frame.console.quiet and not code):
        if not figures:
            frame.console.say("nothing waits")
        for figure in figures:
            counts = f"{figure.confirmed:,} confirmed ({figure.duplicates:,} of them known there already), {figure.waiting:,} waiting, {figure.dead:,} dead"
            frame.console.out(f"{figure.publisher}: {counts}{f': {figure.last_reason}' if figure.last_reason else ''}")
            for label, text in standing_still(figure):
                frame.console.out(terminal(f"  {label}: {text}"))
            for one in figure.older:
                frame.console.out(f"  in version {one.version}: {one.confirmed:,} confirmed, {one.waiting:,} waiting, {one.dead:,} dead")
    return code
