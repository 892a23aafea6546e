"""What a provider is told of a fetch, and what it counts on the way."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from recon.clock import Clock, SystemClock
from recon.fetch.page import Checkpoint
from recon.fetch.partition import Partition
from recon.job import Scalar


@dataclass(slots=True, kw_only=True)
class Meter:
    """What a provider counts while it works, for the certificate and the progress line."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What to fetch: a resource, the job's own parameters for it, which part of it, and where to go on if it was interrupted."""

    resource: str
    params: Mapping[str, Scalar] = field(default_factory=dict)
    resume: Checkpoint | None = None
    partition: Partition = field(default_factory=Partition)
    #: Whether the listing is not to be narrowed by ranges or shards, since the third party does not honour them.
    serial: bool = False
    clock: Clock = field(default_factory=SystemClock)
    #: The local date that the run stands for, in its job's timezone; None where nobody says.
    day: date | None = None
