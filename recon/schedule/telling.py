"""Nights that did not happen, told to people: each overdue slot once, by whichever host comes to it first."""

from recon.clock import Clock, iso
from recon.errors import ReconError
from recon.notify import lost, tell
from recon.project import Project
from recon.redact import redact
from recon.schedule.due import shared_now, timetables
from recon.schedule.overdue import find_overdue
from recon.state.database import State
from recon.state.runs import Runs


def tell_overdue(project: Project, *, state: State, clock: Clock) -> str | None:
    """Posts a notice for every slot that has had no finished run in `[schedule] overdue`; answers why it could not, or None.

    Why the night did not happen is left to `recon doctor --overdue`: the reason of a run that failed may speak of records.
    """
    if project.settings.notify.url is None:
        return None
    try:
        allowed = project.settings.schedule.overdue
        found = find_overdue(timetables(project.jobs), state, now=shared_now(state, clock), allowed=allowed)
        # A night whose plan is held has its own notice, and its own reminders.
        waiting = {run.domain for run in Runs(state).held()}
    except ReconError as error:
        return f"notify: {redact(error.message)}"
    for one in found:
        if one.domain in waiting:
            continue
        why = f"no run has finished since its slot of {iso(one.slot)}"
        ways = {"look": "recon doctor --overdue", "run": f"recon run {one.domain}"}
        trouble = tell(project, state, lost(one.domain, f"{one.domain} {iso(one.slot)}", why, kind="overdue", next_commands=ways))
        if trouble is not None:
            return trouble
    return None
