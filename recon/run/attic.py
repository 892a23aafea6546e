"""What runs leave: kept while somebody may need it, then removed, so that a year of nights fills no disk.

Only what has ended is touched: never an open or held run, nor the newest of a domain that could be gone on with, nor its newest
whole one. Nothing of what the next night decides is read from what is removed.
"""

import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from recon.clock import Clock, iso, parse_iso
from recon.errors import ReconError
from recon.progress import Progress
from recon.project import Project
from recon.report import render
from recon.report.index import REPORT_NAME
from recon.run.shelf import domains
from recon.state.database import State
from recon.state.pruning import Ended, Pruning, remember, remembered
from recon.state.runs import Runs

KEPT = 3
"""The newest ended runs of a domain keep their files on disk, however old: they are the evidence of its last nights."""

EVERY = timedelta(hours=20)
"""How often a run prunes its domain by itself: once a night, also where the nights drift."""

SECONDS = 10.0
"""How long that may take; what is left then goes on the next night."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was removed of one domain, or would be. `until` names the oldest moment from which findings are kept."""

    domain: str
    #: Folders of runs with their pages and snapshots, and folders of reports.
    folders: int = 0
    reports: int = 0
    #: Runs whose findings went, and how many findings, planned events and events that was.
    runs: int = 0
    findings: int = 0
    planned: int = 0
    events: int = 0
    #: False where the time ended before the work.
    whole: bool = True

    @property
    def nothing(self) -> bool:
        """Whether there was nothing to remove."""
        return not (self.folders or self.reports or self.runs or self.findings or self.planned or self.events)


def prune(
    project: Project, state: State, names: Sequence[str], *, clock: Clock, dry: bool = False, seconds: float | None = None
) -> list[Pruned]:
    """Removes by age what the runs of these domains left; `dry` only counts. At most `seconds` long, if given.

    It needs no lease, and may go on while runs are at work: it touches only what ended, in short transactions that look at that
    again. Raises StateError and LocalFault for the state database; a folder that cannot be removed stays for the next time.
    """
    until = None if seconds is None else clock.monotonic() + seconds
    done = [_domain(project, state, name, clock=clock, dry=dry, until=until) for name in names]
    folder = project.reports_folder
    if not dry and any(one.reports for one in done) and (folder / REPORT_NAME).is_file():
        # The index links to reports that lie there, and to no others.
        render.write_index(domains(project, state), folder)
    return done


def tidy(project: Project, state: State, domain: str, *, clock: Clock, progress: Progress) -> None:
    """After a run: prunes its domain once a night, for a bounded time. Nothing depends on it, so a fault is told and no more."""
    try:
        now = state.now()
        last = remembered(state, domain)
        if last is not None and now - parse_iso(last) < EVERY:
            return
        done = prune(project, state, [domain], clock=clock, seconds=SECONDS)[0]
        if done.whole:
            remember(state, domain, iso(now))
    except ReconError as error:
        progress.note(f"what older runs left was not removed: {error.message}; recon prune {domain}")


def _domain(project: Project, state: State, domain: str, *, clock: Clock, dry: bool, until: float | None) -> Pruned:
    now, keep = state.now(), project.settings.retention
    pruning = Pruning(state, clock, until=until)
    ended = pruning.ended(domain)
    newest = {run.id for run in ended[:KEPT]}
    safe = _protected(Runs(state), domain)
    over = [run for run in ended if run.id not in safe]
    old = [run.id for run in _older(over, now, keep.findings)]
    files = [project.work_folder / "runs" / run.id for run in _older(over, now, keep.files) if run.id not in newest]
    folders = _folders(files, dry=dry)
    reports = _folders([project.reports_folder / run for run in old], dry=dry)
    work = pruning.count if dry else pruning.remove
    return Pruned(domain=domain, folders=folders, reports=reports, **work(domain, old, now - timedelta(seconds=keep.events)))


def _protected(runs: Runs, domain: str) -> Collection[str]:
    """The runs that the next night is measured by, or may go on from."""
    newest = next((run for run in runs.recent(domain, 50) if run.key is None and not run.dry_run), None)
    return {run.id for run in (runs.last_whole(domain), newest) if run is not None}


def _older(over: Iterable[Ended], now: datetime, seconds: float) -> Iterable[Ended]:
    return (run for run in over if now - run.at > timedelta(seconds=seconds))


def _folders(paths: Iterable[Path], *, dry: bool) -> int:
    """How many of the folders were removed, or would be. A symbolic link is no folder of ours: it is neither followed nor removed."""
    count = 0
    for path in paths:
        if path.is_symlink() or not path.is_dir():
            continue
        if not dry:
            shutil.rmtree(path, ignore_errors=True)
        count += dry or not path.exists()
    return count
