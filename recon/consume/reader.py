"""The seam to whatever brings events: the Reader protocol and what it hands over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One message as it came in, not settled yet."""

    body: bytes
    #: By lower-case names: `content-type`, the attributes of a binary event under the reader's `prefix`, `recon-replay-id`.
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Where it was, for a person: `orders[3]@1042`.
    place: str = ""
    #: How often it has been handed over, where the transport counts; from 1.
    attempt: int = 1
    #: What the reader settles it by.
    handle: Any = None


@runtime_checkable
class Reader(Protocol):
    """Messages of one subscription, in order within each key.

    Must: hand a message over again (also to another process) until it is `done`; keep the order within a key when one is given
    back with `again`. Must not: settle a message by itself, skip one, or hold more than `receive` was asked for beyond its own
    prefetch. Raises DeliveryError, with the way out, where the broker cannot be reached.
    """

    name: str
    #: What the names of CloudEvents' attributes begin with in `Received.headers`.
    prefix: str

    def receive(self, most: int, wait: float) -> Sequence[Received]:
        """Up to `most` messages, as soon as there is one; none when `wait` seconds are over."""
        ...

    def done(self, received: Sequence[Received]) -> None:
        """They are taken in for good, in the order in which they were handed over."""
        ...

    def again(self, received: Sequence[Received]) -> None:
        """They could not be taken in now: they come again, and what follows them in their key after them."""
        ...

    def close(self) -> None:
        """Lets go; what is not done comes again to whoever reads next."""
        ...
