"""The shelf of reports: one folder per run and an index over all of them, static files that work from anywhere."""

from collections.abc import Iterator
from dataclasses import replace

from recon.discrepancy import DiscrepancyKind
from recon.errors import ReconError
from recon.ledger import Ledger
from recon.personal import Veil
from recon.project import Project
from recon.redact import redact
from recon.report import render
from recon.report.figures import Item, Problem, RunFigures, Standing
from recon.report.index import Domain
from recon.run.account import history, stored
from recon.state.database import State
from recon.state.runs import Runs


def shelve(project: Project, state: State, figures: RunFigures) -> RunFigures:
    """Writes the run's report and the index anew; answers the figures, with the problem where that failed.

    A report that cannot be written changes nothing of what was found and delivered: `recon report RUN` writes it later.
    """
    if not figures.run:
        return figures
    folder = project.reports_folder
    try:
        render.write_run(figures, lambda: items(project, state, figures), folder)
        render.write_index(domains(project, state), folder)
    except ReconError as error:
        problem = Problem(
            kind=type(error).__name__, message=f"no report was written: {redact(error.message)}", hint=redact(error.hint or "")
        )
        return replace(figures, problem=figures.problem or problem, exit_code=figures.exit_code or error.exit_code)
    return figures


def items(project: Project | None, state: State, figures: RunFigures) -> Iterator[Item]:
    """The run's discrepancies in order, then what it saw resolved; each with its link to the third party where there is one."""
    job = project.jobs.get(figures.domain) if project is not None else None
    try:
        provider = project.provider(job.provider) if project is not None and job is not None else None
    except ReconError:
        # A report may be read long after: a provider that cannot be had takes its links with it, and nothing else.
        provider = None

    def link(key: str) -> str | None:
        return provider.link(job.resource, key) if provider is not None and job is not None else None

    # What was personal when the run was made stays so, whatever the job says today.
    ledger, veil = Ledger(state), Veil.of(state, job, figures.personal)
    for item in veil.items(ledger.items(figures.run, link)):
        # What waits is said of the job as it was when it ran.
        waits = item.kind is DiscrepancyKind.EXTRA and item.standing is not Standing.ACKNOWLEDGED and item.nights < figures.delete_nights
        yield replace(item, waits=figures.delete_nights) if waits else item
    yield from veil.items(ledger.resolved_items(figures.run, link))


def veil_of(project: Project, state: State, domain: str) -> Veil:
    """How a domain's values are shown: as its job says; where there is none that loads, as its last run did."""
    job = project.jobs.get(domain)
    earlier: tuple[str, ...] = ()
    if job is None:
        last = next((figures for run in Runs(state).recent(domain, 10) if (figures := stored(run)) is not None), None)
        earlier = last.personal if last is not None else ()
    return Veil.of(state, job, earlier)


def domains(project: Project, state: State) -> list[Domain]:
    """What the index says: every domain of the project, and every one that ever ran."""
    runs = Runs(state)
    names = sorted({*project.jobs, *(run.domain for run in runs.recent(None, 500))})
    return [
        Domain(
            domain=name,
            runs=history(state, name, before=None),
            consistent_as_of=runs.consistent_as_of(name),
            description=job.description if (job := project.jobs.get(name)) is not None else "",
            timezone=job.timezone if job is not None else "UTC",
        )
        for name in names
    ]
