"""The event types that a job can emit."""

from dataclasses import dataclass
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
