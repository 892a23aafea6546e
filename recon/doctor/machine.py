"""What concerns every domain: settings, the state database, folders, room on the disk, the clock."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from recon.clock import Clock, iso
from recon.doctor.check import Check, fail, guarded, ok, warn
from recon.doctor.delivery import delivery
from recon.duration import words_of
from recon.errors import BadSetting, LocalFault
from recon.files import local_faults, private_folder
from recon.project import Project
from recon.redact import redact

SKEW_WARN = 2.0
SKEW_FAIL = 60.0
ROOM_WARN = 1024**3
ROOM_FAIL = 100 * 1024**2


def machine(project: Project, clock: Clock) -> Iterator[Check]:
    """Every check that is made once."""
    yield ok("settings", f"{project.settings.file}, {sum(1 for _ in project.settings.listing())} settings")
    yield from guarded("state", None, lambda: _state(project, clock))
    yield from guarded("delivery", None, lambda: delivery(project))
    yield from guarded("reports", None, lambda: _folder("reports", project.reports_folder))
    yield from guarded("work", None, lambda: _folder("work", project.work_folder))
    yield from guarded("disk", None, lambda: _room(project))
    yield from guarded("notify", None, lambda: _notify(project))
    yield from guarded("retention", None, lambda: _retention(project))


def _state(project: Project, clock: Clock) -> Iterator[Check]:
    from sqlalchemy import update

    from recon.state.database import State
    from recon.state.tables import runs

    with State.open(project.state_url) as state:
        with state.begin() as conn:
            # Touches no row, and asks the database for the right to write all the same.
            conn.execute(update(runs).where(runs.c.id == "").values(state=runs.c.state))
        now = state.now()
        yield ok("state", f"{redact(state.url)} opens and can be written")
        if state.dialect != "sqlite":  # A file has no clock but this machine's.
            yield skew("clock", None, "the state database", now, clock.now())


def _folder(name: str, folder: Path) -> Iterator[Check]:
    private_folder(folder)
    with local_faults(folder, "writing in"):
        handle, spare = tempfile.mkstemp(prefix=".doctor-", dir=folder)
        os.close(handle)
        Path(spare).unlink()
    yield ok(name, f"{folder} can be written")


def _retention(project: Project) -> Iterator[Check]:
    """What is kept for longer than was asked for is said: whoever must forget by a day has to know."""
    from recon.state.pruning import NEEDED

    asked = project.settings.retention.events
    if asked < NEEDED.total_seconds():
        yield warn(
            "retention",
            f"[retention] events = {words_of(asked)}: they are kept for {NEEDED.days} days all the same, since guards count what went out in a week",
            f'events = "{NEEDED.days}d" under [retention] says what is done',
        )


def _notify(project: Project) -> Iterator[Check]:
    """Whoever waits to be told of a held plan is told of nothing where the address cannot be used; nothing is posted here."""
    from recon.notify.telling import unusable

    if project.settings.notify.url is None:
        return
    why = unusable(project)
    if why is not None:
        hint = 'such as url = { env = "RECON_NOTIFY_URL" } under [notify], and the variable set for whatever runs recon'
        yield fail("notify", BadSetting(f"a held plan would be told to nobody: {why}", hint=hint))
        return
    yield ok("notify", "[notify] url can be used (nothing was posted)")


def _room(project: Project) -> Iterator[Check]:
    free = shutil.disk_usage(project.work_folder).free
    words = f"{free / 1024**3:,.1f} GiB free in {project.work_folder}"
    hint = "a run keeps both sides on disk while it compares; make room, or put the project on a larger disk"
    if free < ROOM_FAIL:
        yield fail("disk", LocalFault(f"{words}, at least {ROOM_FAIL // 1024**2} MiB are wanted", hint=hint))
    elif free < ROOM_WARN:
        yield warn("disk", words, hint)
    else:
        yield ok("disk", words)


def skew(name: str, domain: str | None, whose: str, theirs: datetime, here: datetime) -> Check:
    """Two clocks beside each other: more than 2 s is said, more than 60 s would spoil settle times and leases."""
    seconds = (theirs - here).total_seconds()
    words = f"{whose} says {iso(theirs)}, this machine is {abs(seconds):.1f} s {'behind' if seconds > 0 else 'ahead'}"
    hint = "synchronise this machine's clock (chronyc tracking, timedatectl)"
    if abs(seconds) > SKEW_FAIL:
        return fail(name, LocalFault(f"{words}; the limit is {SKEW_FAIL:.0f} s", hint=hint), domain)
    if abs(seconds) > SKEW_WARN:
        return warn(name, words, hint, domain)
    return ok(name, f"{whose} and this machine agree within {SKEW_WARN:.0f} s", domain)
