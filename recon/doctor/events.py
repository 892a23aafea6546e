"""The doctor's look at event types: beside their register, at the steps between versions, and at how long an older one is still sent."""

from collections.abc import Iterator
from datetime import date

from recon.clock import Clock
from recon.doctor.check import Check, fail, ok, warn
from recon.errors import BadDefinition
from recon.event import register, steps
from recon.job import Job
from recon.project import Project

NOTICE_DAYS = 30
"""So many days before an older version ends, it is said."""

HINT = "docs/versions.md has the way from one version to the next, with time for who reads them"


def events(project: Project, clock: Clock) -> Iterator[Check]:
    """A field that is gone breaks who reads it, in the night in which it is first sent; so does a version that ends unsaid."""
    before, today = register.written(project.folder / register.FILE), clock.now().date()
    for _, job in sorted(project.jobs.items()):
        yield from _sunsets(job, today)
    if before is None:
        return
    now = register.register_of(project.jobs, before)
    broken = register.changes(before, now, today=today)
    broken += [fault for _, job in sorted(project.jobs.items()) for fault in steps.faults(job, now)]
    for one in broken:
        yield fail("events", BadDefinition(one, hint=HINT))
    if not broken and before != now:
        yield warn("events", f"{register.FILE} is behind the jobs", "recon events lock writes it anew; commit it")
    elif not broken:
        yield ok("events", f"{len(now['types'])} types are as {register.FILE} has them")


def _sunsets(job: Job, today: date) -> Iterator[Check]:
    for one in job.chain.sent:
        assert one.sunset is not None
        left = (date.fromisoformat(one.sunset) - today).days
        what = f"version {one.number} of its events"
        if left < 0:
            hint = f"take down= and sunset= out of Version(number={one.number}) in the job; its up= stays, for replays"
            yield warn("events", f"{what} is sent no more: its sunset was {one.sunset}", hint, job.domain)
        elif left <= NOTICE_DAYS:
            hint = f"whoever reads it has to read version {job.event_version} by then, or needs a later sunset="
            yield warn("events", f"{what} is sent until {one.sunset}, and refused after it: {left} more days", hint, job.domain)
