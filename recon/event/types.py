"""The event types that a job can emit."""

from dataclasses import dataclass, replace
from typing import get_args

from recon.job import Job, Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """One type: what it is called, in which version, and of which job."""

    #: `order.updated`.
    name: str
    version: int
    op: Operation
    domain: str
    source: str
    #: Whether the job's own `correct=` may choose another type, or none, in its place.
    may_differ: bool = False
    #: Until when an older version of it is sent, an ISO date; None for the newest.
    sunset: str | None = None


def types_of(job: Job) -> tuple[EventType, ...]:
    """The three types of a job, in the order created, updated, deleted; what its `correct=` makes up is not known before it runs."""
    return tuple(
        EventType(
            name=f"{job.event or job.domain}.{op}",
            version=job.event_version,
            op=op,
            domain=job.domain,
            source=f"/recon/{job.provider}/{job.domain}",
            may_differ=job.correct is not None,
        )
        for op in get_args(Operation)
    )


def older_types_of(job: Job) -> tuple[EventType, ...]:
    """The same in each older version that is sent beside the newest, newest first; also in one whose sunset is over."""
    return tuple(replace(one, version=older.number, sunset=older.sunset) for older in job.chain.sent for one in types_of(job))
