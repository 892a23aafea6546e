"""Nights that did not happen, as findings: from the timetables and the state database alone, with no service and no third party."""

from collections.abc import Iterator, Sequence

from recon.clock import Clock, iso
from recon.doctor.check import Check, Level, fail, guarded, ok, warn
from recon.duration import words_of
from recon.errors import ReconError
from recon.project import Project

INCOMPLETE = 75


def overdue(project: Project, domains: Sequence[str], clock: Clock) -> Iterator[Check]:
    """A finding for each of these domains, or for all: 75 for one whose night did not happen, 2 for one that does not load. Raises nothing."""
    wanted = list(domains) or project.domains
    if not wanted:
        yield warn("overdue", "no domain is on", "recon new domain NAME writes one; a shipped job is switched on by a table [jobs.NAME]")
    for domain in wanted:
        try:
            project.job(domain)
        except ReconError as error:
            yield fail("overdue", error, domain)
    yield from guarded("overdue", None, lambda: _scheduled(project, [domain for domain in wanted if domain in project.jobs], clock))


def _scheduled(project: Project, domains: Sequence[str], clock: Clock) -> Iterator[Check]:
    from recon.schedule.due import shared_now, timetables
    from recon.schedule.overdue import find_overdue
    from recon.state.database import State
    from recon.state.runs import Runs

    allowed = project.settings.schedule.overdue
    tables = {domain: table for domain, table in timetables(project.jobs).items() if domain in domains}
    with State.open(project.state_url) as state:
        now = shared_now(state, clock)
        late = {one.domain: one for one in find_overdue(tables, state, now=now, allowed=allowed)}
        for domain in domains:
            if domain not in tables:
                yield warn("overdue", "it has no schedule, and runs by hand only", f'schedule = "0 3 * * *" in [jobs.{domain}]', domain)
            elif domain in late:
                one = late[domain]
                yield Check(name="overdue", level=Level.FAIL, message=one.words, hint=one.way_out, domain=domain, exit_code=INCOMPLETE)
            else:
                following = tables[domain].after(now)
                when = f"the next slot is {iso(following)}" if following is not None else "it has no further slot"
                never = "" if Runs(state).recent(domain, 1) else "it never ran yet; "
                yield ok("overdue", f"{never}no slot older than {words_of(allowed)} waits for a run; {when}", domain)
