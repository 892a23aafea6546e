"""`recon schedule`."""

import click

from recon.commands.frame import Frame, framed


@click.group(invoke_without_command=True)
@framed
def schedule(frame: Frame) -> int:
    """Run each job at its time, in the foreground, as a service: until SIGTERM or Ctrl-C.

    What is due is written down, and taken by one service of those that share the state database; each run is a process of its
    own, at most one per domain. Nights missed while nobody was there are caught up once. SIGHUP, or a change of the project's files,
    loads it anew.
    """
    if click.get_current_context().invoked_subcommand is not None:
        return 0
    from recon.schedule.serve import serve

    with frame.both() as (project, state):
        return serve(project, state, clock=frame.clock)


@schedule.command("print")
@click.argument("kind", type=click.Choice(["cron", "systemd", "k8s"]))
@click.option("--user", default="recon", show_default=True, help="The user that systemd runs it as.")
@click.option("--image", default="registry.example/recon:latest", show_default=True, help="The image that Kubernetes runs.")
@framed
def print_(frame: Frame, *, kind: str, user: str, image: str) -> None:
    """Print what makes another scheduler run the jobs: crontab lines, systemd units, or Kubernetes CronJobs."""
    from recon.schedule.units import Place, render

    with frame.project() as project:
        place = Place(folder=str(project.folder), user=user, image=image)
        frame.console.out(render(kind, project.jobs, place))


@schedule.command("status")
@click.argument("domain", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@framed
def status(frame: Frame, *, domain: str | None, as_json: bool) -> None:
    """Show each domain's latest slot, what became of it, who sees to it, and when the next one comes.

    It needs no service to be running, and says what every host that shares the state database has in hand.
    """
    from recon.commands.frame import known
    from recon.schedule.status import standing, table

    with frame.both() as (project, state):
        if domain is not None:
            known(project, state, domain)
        rows = [row for row in standing(project, state, frame.clock) if domain in {None, row.domain}]
    if as_json:
        frame.console.json({"schema": "recon.slots/1", "slots": [row.document() for row in rows]})
        return
    frame.console.out(table(rows) if rows else 'no job has a schedule; add schedule = "0 3 * * *" to one, or to its [jobs.NAME] table')
