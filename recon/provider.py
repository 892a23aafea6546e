"""The seam to a third party: the Provider protocol, and what a run tells it."""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from recon.clock import Clock
from recon.fetch.listing import Listing, Meter
from recon.fetch.page import Lookup, Page

__all__ = ["Listing", "Meter", "Provider"]


@runtime_checkable
class Provider(Protocol):
    """A third party.

    Must: `fetch` yields pages in order and its last page carries an `End` with positive proof, or it raises a
    ProviderError; `get_many` answers each key exactly once and raises only for what concerns every key.
    Must not: retry for ever, follow a URL to an undeclared origin, swallow an item, write anything there.
    May: answer None from `link`.
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
        """The whole resource, page by page, from `listing.resume` or from the start."""
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
