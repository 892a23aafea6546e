"""The seam to whatever carries events: the Publisher protocol and the four outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from recon.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An event on its way out: the stored bytes (a CloudEvents JSON document) and what transports need of it.

    `emission` counts how often this event was handed over on different nights; `dedupe` is the token for brokers that drop
    repeats, `<id>:<emission>`. The id never changes: an older version of its data, sent beside the newest, has it too, and a token
    of its own, `<id>:<emission>:v<version>`, so that a broker does not take the one for the other.
    """

    id: str
    type: str
    subject: str
    partitionkey: str
    body: bytes
    emission: int = 1
    #: The replay that sends it again, for a header beside the body, which stays as it is; None for what a run found.
    replay: str | None = None
    #: Of the job that found it; "" where nobody says.
    domain: str = ""
    #: The older version of its data that the body is in; 0 for the newest.
    version: int = 0

    @property
    def dedupe(self) -> str:
        """The broker's dedupe token."""
        return f"{self.id}:{self.emission}:v{self.version}" if self.version else f"{self.id}:{self.emission}"

    @property
    def copy(self) -> str:
        """What a destination that keeps each event once keeps it under: the id, and `<id>:v<version>` for an older version."""
        return f"{self.id}:v{self.version}" if self.version else self.id


class OutcomeKind(StrEnum):
    """What became of one event."""

    #: The server has it, and said so.
    CONFIRMED = "confirmed"
    #: Not taken; try again, not before `after` seconds.
    RETRY = "retry"
    #: Will never be taken as it is: to the dead letters, with the reason.
    REJECTED = "rejected"
    #: It may or may not have arrived: send the same id again.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One event's outcome; `reason` is for people, `after` is in seconds. `duplicate`: the receiver said it had it already."""

    kind: OutcomeKind
    reason: str = ""
    after: float | None = None
    duplicate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a transport can take at once, and what it promises."""

    batch: int = 1
    max_bytes: int | None = None
    ordered: bool = True
    dedupe_seconds: float | None = None
    #: Whether events in older versions are sent there too; not where the data is acted on and nobody reads it.
    versions: bool = True


@runtime_checkable
class Publisher(Protocol):
    """A transport for events.

    Must: `publish` answers exactly one outcome per message, in the order given, within `deadline` seconds, and CONFIRMED only
    when the server confirmed it. Must not: raise for part of a batch, drop a message, answer CONFIRMED early, change the body.
    """

    name: str
    capabilities: Capabilities

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        """Send these messages."""
        ...

    def health(self) -> str:
        """A sentence on a destination that can be reached; raises DeliveryError with the way out where it cannot."""
        ...

    def close(self) -> None:
        """Flush and let go."""
        ...


@runtime_checkable
class Says(Protocol):
    """What a publisher may have beside `Publisher`."""

    def says(self, job: Job) -> str | None:
        """For `recon doctor`: what goes out for a job's events where that is not the events themselves. Raises NoWebhook where nothing would."""
        ...
