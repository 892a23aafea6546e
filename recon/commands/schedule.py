"""`recon schedule`."""

import click

from recon.commands.frame import Frame, framed


@click.group(invoke_without_command=True)
@framed
def schedule(frame: Frame) -> int:
    """Run each job at its time, in the foreground, as a service: until SIGTERM or Ctrl-C.

    A firing only writes down that a slot is due; each run is a process of its own, at most one per domain. Nights missed while
    this was not running are caught up once.
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
