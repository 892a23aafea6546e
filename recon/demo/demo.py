"""The demo from end to end: a folder, two ends, five nights, and where to look next."""

import os
import shlex
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

from recon.demo.clock import StoryClock
from recon.demo.nights import Stage, play
from recon.demo.project_files import write_project
from recon.demo.world import HISTORY, PER_DAY, World
from recon.errors import BadRequest
from recon.project import Project
from recon.report.index import REPORT_NAME
from recon.state.database import State

NIGHTS = 5


def play_demo(folder: Path | None, out: TextIO | None) -> Path:
    """Plays it in `folder`, which must be empty or not there (a new temporary one by default); answers the path of the reports' index."""
    begun = time.monotonic()
    folder = _empty(folder)
    first = _last_slot(datetime.now(UTC)) - timedelta(days=NIGHTS - 1)
    with World(folder, start=first - timedelta(days=1)) as world:
        write_project(folder, api=world.third_party.url, hook=world.application.url, token=world.token, secret=world.recon_secret)
        # Settings that the environment lays over projects are meant for those, not for this one.
        environ = {name: value for name, value in os.environ.items() if not name.startswith("RECON_")}
        with Project.find(folder, environ=environ) as project:
            clock = StoryClock(first - timedelta(minutes=5))
            with State.open(project.state_url, clock=clock) as state:
                stage = Stage(world=world, project=project, state=state, clock=clock, out=out or sys.stdout)
                _introduce(stage, folder)
                play(stage, first)
                index = project.reports_folder / REPORT_NAME
                _conclude(stage, folder, index, time.monotonic() - begun)
    return index


def _empty(folder: Path | None) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="recon-demo-"))
    folder = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        msg = f"{folder} is there already and is not an empty folder"
        raise BadRequest(msg, hint="name a folder that is not there yet: recon demo my-demo")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _last_slot(now: datetime) -> datetime:
    """The last 03:00 UTC that is well past, so that the story lies in the days before this one."""
    slot = now.replace(hour=3, minute=0, second=0, microsecond=0)
    return slot if now - slot > timedelta(hours=6) else slot - timedelta(days=1)


def _introduce(stage: Stage, folder: Path) -> None:
    stage.say("Five nights of a small shop, for real, on this machine's loopback.")
    stage.say()
    stage.say(
        f"A shop (the third party) has {HISTORY:,} orders and gets {PER_DAY} more a day. It tells an application of each change by webhook."
    )
    stage.say(
        "The application keeps its own copy in SQLite. Webhooks get lost, so the copy drifts. Each night at 03:00 recon fetches the shop's"
    )
    stage.say("whole state, compares, looks again at every suspect, and sends corrections to the application's own webhook handler.")
    stage.say()
    stage.say(f"Played in {folder} (recon.toml and jobs/orders.py there are all that a user writes).")


def _conclude(stage: Stage, folder: Path, index: Path, seconds: float) -> None:
    api, application = stage.world.third_party, stage.world.application
    stage.say()
    stage.say(
        f"Five nights in {seconds:.1f} s: {api.requests:,} requests to the shop's API, of which it answered {api.throttled} with 429 and {api.errors} "
        f"with 500; {application.told['recon handled']:,} corrections handled by the application."
    )
    project = shlex.quote(str(folder))
    stage.say()
    stage.say("What to do next")
    stage.say(f"  open the reports        {index}")
    stage.say(f"  all runs                recon runs --project {project}")
    stage.say(f"  one order's story       recon explain orders KEY --project {project}")
    stage.say("  your own project        recon init shop")
    stage.say()
    stage.say(f"Report: {index}")
