"""Landing: any provider's listing into a spool, with the proofs that no provider is trusted to make for itself.

A listing is whole when its last page carries a positive end, no page came twice, and no checkpoint came twice. Everything less
raises, with what arrived safe on disk for the next attempt.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Protocol

from recon.clock import Clock
from recon.duration import words_of
from recon.errors import EndlessListing, InvalidPage, ProviderError, Throttled, Unreachable
from recon.fetch.coverage import Coverage
from recon.fetch.listing import Listing, Meter
from recon.fetch.page import Page
from recon.fetch.spool import Spool

MAX_AGE = 6 * 3600.0
EMPTY_IN_A_ROW = 100
# Items may come and go while they are listed, so a total is a hint; twice as many and more is a listing without end.
TOTAL_FACTOR, TOTAL_SLACK = 2, 10_000


class Fetches(Protocol):
    """What landing needs of a provider."""

    name: str
    meter: Meter

    def fetch(self, listing: Listing) -> Iterator[Page]:
        """As of `recon.provider.Provider`."""
        ...


def land(
    provider: Fetches,
    listing: Listing,
    spool: Spool,
    *,
    clock: Clock,
    on_page: Callable[[Coverage], None] | None = None,
    max_age: float = MAX_AGE,
) -> Coverage:
    """Fetches the listing into the spool, from where the spool stands, and answers the certificate.

    A finished spool asks for nothing more. A checkpoint older than `max_age` seconds is not trusted (cursors expire, and the
    pages before it have aged): the fetch starts anew, and the certificate says so. `on_page` is told after every page.
    Raises ProviderError leaves and LocalFault; the spool keeps every whole page.
    """
    return _Landing(provider, listing, spool, clock, on_page).run(max_age)


class _Landing:
    def __init__(self, provider: Fetches, listing: Listing, spool: Spool, clock: Clock, on_page: Callable[[Coverage], None] | None) -> None:
        self._provider = provider
        self._listing = listing
        self._spool = spool
        self._clock = clock
        self._on_page = on_page
        self._name = f"{provider.name} {listing.resource}"
        self._note = ""
        self._empty = 0
        meter = provider.meter
        self._before = Meter(requests=meter.requests, retries=meter.retries, throttled=meter.throttled, bytes=meter.bytes)
        self._began_at = clock.now()
        self._began = clock.monotonic()
        self._started_at = self._began_at
        self._resumed = False

    def run(self, max_age: float) -> Coverage:
        spool = self._spool
        self._drop_old(max_age)
        self._started_at = spool.begin(self._identity(), self._began_at)
        if spool.finished:
            self._resumed = True
            return self._certificate()
        self._resumed = spool.pages > 0
        before = spool.pages
        try:
            return self._through()
        except ProviderError as error:
            # A cursor dies with the item it names, and then no try will ever get on from there. Nothing new is on disk yet.
            if not before or spool.pages != before or isinstance(error, Unreachable | Throttled):
                raise
            self._note = f"; page {before:,} could not be gone on from ({error.message}), so it was started anew"
            spool.reset()
            self._resumed = False
            self._started_at = spool.begin(self._identity(), self._clock.now())
            return self._through()

    def _identity(self) -> dict[str, Any]:
        """What makes two listings one: where it is, as the provider tells it, and what is asked for."""
        listing = self._listing
        place = getattr(self._provider, "identity", None)
        return {
            "provider": self._provider.name,
            "resource": listing.resource,
            "params": dict(listing.params),
            "place": place(listing.resource) if place is not None else "",
        }

    def _through(self) -> Coverage:
        """The listing from where the spool stands to its end."""
        spool, listing = self._spool, self._listing
        at = Listing(resource=listing.resource, params=listing.params, resume=spool.checkpoint, clock=self._clock)
        pages = self._provider.fetch(at)
        try:
            for page in pages:
                self._take(page)
                if page.end is not None:
                    return self._certificate()
        finally:
            close = getattr(pages, "close", None)
            if close is not None:
                close()
        msg = f"{self._name}: the listing stopped after page {spool.pages:,} without an end marker, so nothing proves it whole"
        raise InvalidPage(msg)

    def _drop_old(self, max_age: float) -> None:
        spool = self._spool
        if not spool.pages or spool.last_at is None:
            return
        age = (self._clock.now() - spool.last_at).total_seconds()
        if age > max_age:
            self._note = f"; {spool.pages:,} pages from {words_of(age)} before were too old to go on from, so it was started anew"
            spool.reset()

    def _take(self, page: Page) -> None:
        """Proves a page and writes it."""
        number = self._spool.pages + 1
        if (page.next is None) == (page.end is None):
            msg = f"{self._name}: page {number:,} says {'both a next page and an end' if page.end else 'neither a next page nor an end'}"
            raise InvalidPage(msg)
        earlier = self._spool.seen(page)
        if earlier is not None:
            msg = (
                f"{self._name}: page {number:,} holds the same {len(page.items):,} items as page {earlier:,}; the listing runs in a circle"
            )
            raise EndlessListing(msg, hint="check the paging rule: a parameter that the API ignores brings the first page again and again")
        if page.next is not None:
            self._prove_onward(page, number)
        self._spool.append(page, at=self._clock.now())
        if self._on_page is not None:
            self._on_page(self._certificate())

    def _prove_onward(self, page: Page, number: int) -> None:
        assert page.next is not None
        earlier = self._spool.seen_place(page.next)
        if earlier is not None:
            msg = f"{self._name}: page {number:,} leads to the same place as page {earlier:,} did; the listing runs in a circle"
            raise EndlessListing(msg)
        self._empty = 0 if page.items or page.unread else self._empty + 1
        if self._empty > EMPTY_IN_A_ROW:
            msg = f"{self._name}: {self._empty:,} empty pages in a row up to page {number:,}, and still no end"
            raise EndlessListing(msg)
        items = self._spool.items + len(page.items)
        if page.total is not None and items > page.total * TOTAL_FACTOR + TOTAL_SLACK:
            msg = f"{self._name}: {items:,} items up to page {number:,}, of a listing of {page.total:,} by the API's own count"
            raise EndlessListing(msg)

    def _certificate(self) -> Coverage:
        spool, meter, before = self._spool, self._provider.meter, self._before
        finished_at: datetime = spool.last_at if spool.finished and spool.last_at else self._clock.now()
        return Coverage(
            provider=self._provider.name,
            resource=self._listing.resource,
            whole=spool.finished,
            proof=(spool.proof or f"{spool.pages:,} {'page' if spool.pages == 1 else 'pages'} so far") + self._note,
            started_at=self._started_at,
            finished_at=finished_at,
            pages=spool.pages,
            records=spool.items,
            unreadable=spool.unread_items,
            requests=meter.requests - before.requests,
            retries=meter.retries - before.retries,
            throttled=meter.throttled - before.throttled,
            bytes=spool.bytes_read,
            seconds=self._clock.monotonic() - self._began,
            total=spool.total,
            resumed=self._resumed,
        )
