"""The guards that look beyond one night, asked in the transaction that holds a plan or puts it into the outbox."""

from sqlalchemy import Connection

from recon.guard import total, week
from recon.job import Job
from recon.plan.rolling import day_in, week_in
from recon.plan.terms import terms_of
from recon.project import Project
from recon.report.figures import GuardFigure
from recon.state.database import State
from recon.state.run import Run


def rolling_guards(
    state: State, conn: Connection, run: Run, job: Job, *, limit: int | None, target_rows: int | None
) -> tuple[GuardFigure, ...]:
    """`week` where the whole domain was looked at (`target_rows` is None else), `total` where the project sets that `limit`.

    The plan was made before in the same transaction. With a `limit`, nobody else can count until that has ended.
    """
    figures: tuple[GuardFigure, ...] = ()
    if target_rows is not None:
        of_week = week_in(state, conn, run)
        figures += (week(job.guard, emitted=of_week.emitted, added=of_week.added, target_rows=target_rows),)
    if limit is not None:
        of_day = day_in(state, conn, run)
        figures += (total(limit, emitted=of_day.emitted, added=of_day.added),)
    return figures


def terms(project: Project, job: Job) -> dict[str, str]:
    """What a plan of this job rests on, as this project has it now."""
    return terms_of(job, [project.settings.section("publishers", name) for name in job.publishers])
