"""What runs leave on disk: kept while somebody may need it, then removed, so that a year of nights fills no disk."""

import shutil

from recon.project import Project
from recon.state.database import State
from recon.state.run import RunState
from recon.state.runs import Runs

KEPT = 3
"""Ended runs of a domain whose pages and snapshot stay, as evidence; the findings themselves are in the state database."""

LOOKED_AT = 200
WAITING = frozenset({RunState.HELD, RunState.FAILED})


def tidy(project: Project, state: State, domain: str) -> None:
    """Removes the folders of the domain's older ended runs. What cannot be removed is left for the next time: nothing depends on it."""
    ended = [run for run in Runs(state).recent(domain, LOOKED_AT) if not run.unfinished and run.state not in WAITING]
    for run in ended[KEPT:]:
        shutil.rmtree(project.work_folder / "runs" / run.id, ignore_errors=True)
