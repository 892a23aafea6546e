"""The seam to a third party: the Provider protocol, and what a run tells it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from recon.clock import Clock
from recon.fetch.listing import Listing, Meter
from recon.fetch.page import Lookup, Page
from recon.fetch.partition import Partition, Planner

__all__ = ["Listing", "Meter", "Optional", "Provider"]


@runtime_checkable
class Provider(Protocol):
    """A third party.

    Must: `fetch` yields pages in order and its last page carries an `End` with positive proof, or it raises a
    ProviderError; `get_many` answers each key exactly once and raises only for what concerns every key.
    Must not: retry for ever, follow a URL to an undeclared origin, swallow an item, write anything there.
    May: answer None from `link`; have the methods of `Optional`, which the engine looks for by name.
    """

    name: str
    meter: Meter

    def resources(self) -> Sequence[str]:
        """The names of what can be fetched."""
        ...

    def key_path(self, resource: str) -> str:
        """Where a record of this resource carries its key, dotted."""
        ...

    def fetch(self, listing: Listing) -> Iterator[Page]:
        """The resource, or the part of it that `listing.partition` names, page by page, from `listing.resume` or from the start."""
        ...

    def can_get(self, resource: str) -> bool:
        """Whether single items can be read by id."""
        ...

    def get_many(self, resource: str, keys: Sequence[str], *, clock: Clock) -> Iterator[Lookup]:
        """Each key's item as it stands now."""
        ...

    def link(self, resource: str, key: str) -> str | None:
        """A page for people about this item, at the third party's dashboard."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Optional(Protocol):
    """What a provider may have beside `Provider`; each method is looked for by its name, and left out means the plain case.

    Where its third party's webhooks can be sent, it has `native` as well: `recon.native.Renders`.
    """

    def planner(self, listing: Listing) -> Planner | None:
        """How the listing is cut into parts that may be fetched side by side; None: in one."""
        ...

    def sample(self, listing: Listing) -> Iterator[Page]:
        """Some pages of the listing by the quickest way, for `recon doctor`; by default `fetch` is asked for one."""
        ...

    def prepare(self, listing: Listing) -> None:
        """Told what is about to be fetched, before anything else is asked."""
        ...

    def changed(self, listing: Listing, partitions: Sequence[Partition]) -> Mapping[str, str]:
        """Asked once every part has come to its end: those of them, by name, that are not as they were read any more, and why. They are begun anew."""
        ...

    def width(self, resource: str) -> int:
        """How many parts of a listing are fetched side by side."""
        ...

    def identity(self, resource: str) -> str:
        """What tells this listing from another one under the same name."""
        ...

    def scope(self, resource: str) -> Mapping[str, str]:
        """What is asked for, for the certificate: `account`, `credential`, `api_version`, `filters`; never a secret."""
        ...

    def lag(self, resource: str) -> float:
        """For how many seconds after a change the old state may still be shown."""
        ...

    def cursor_age(self, resource: str) -> float | None:
        """For how many seconds a checkpoint leads on; None: for as long as any."""
        ...

    def drifts(self, resource: str) -> bool:
        """Whether pages shift while items come and go, so that an item may stand on two of them."""
        ...
