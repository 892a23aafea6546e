"""Reading several items by one request; what an answer leaves out, or a request that is refused, is asked for in smaller ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import msgspec

from recon.clock import Clock
from recon.errors import ForeignOrigin, InvalidPage, ProviderError, Throttled, Unreachable
from recon.fetch.cut import Cut, Cutter, key_of
from recon.fetch.document import KEYS, filled
from recon.fetch.links import parse_links
from recon.fetch.narrowing import Batch
from recon.fetch.page import Lookup, LookupStatus
from recon.fetch.paging import PageNumber
from recon.fetch.resource import Resource
from recon.fetch.rule import HEADER
from recon.fetch.session import Session
from recon.fetch.transport import Response

SOME = 207
"""Multi-Status (RFC 4918)."""

ROUND = 5
"""Servers cut their answers at 10, 20, 25, 50 or 100 items: at whole multiples of this."""


@dataclass(slots=True)
class Batches:
    """Reads the items of one resource by the handful.

    `judge` makes the answer for a key of the item that came for it; `single` reads a key alone. Both answer for that key and raise nothing
    that concerns it alone.
    """

    session: Session
    batch: Batch
    resource: Resource
    judge: Callable[[str, bytes], Lookup]
    single: Callable[[str, Clock], Lookup]
    #: Requests that got no answer at all, one after another.
    failures: int = 0

    def read(self, keys: Sequence[str], clock: Clock) -> list[Lookup]:
        """An answer per key, in order. Raises ForeignOrigin."""
        try:
            items, all_came = self._items(keys, clock)
        except ForeignOrigin:
            raise
        except (Unreachable, Throttled) as error:
            self.failures += 1
            return [Lookup(key=key, status=LookupStatus.UNKNOWN, why=str(error)) for key in keys]
        except ProviderError:
            # One key may spoil the answer for all of them.
            if len(keys) == 1:
                return [self.single(keys[0], clock)]
            half = len(keys) // 2
            return [*self.read(keys[:half], clock), *self.read(keys[half:], clock)]
        self.failures = 0
        return [self._answer(key, items.get(key, []), clock, all_came=all_came) for key in keys]

    def _answer(self, key: str, found: list[bytes], clock: Clock, *, all_came: bool) -> Lookup:
        if len(found) == 1:
            return self.judge(key, found[0])
        if not found and all_came:
            return Lookup(key=key, status=LookupStatus.NOT_FOUND, why="the answer for several leaves it out")
        # Left out, or there twice: the read of it alone says which.
        return self.single(key, clock)

    def _items(self, keys: Sequence[str], clock: Clock) -> tuple[dict[str, list[bytes]], bool]:
        """What came, by key, and whether what is left out counts as absent: only then do keys that nobody asked for do harm. Raises ProviderError leaves."""
        response = self._ask(keys, clock)
        subject = f"{len(keys):,} items of {self.batch.path}"
        # 207 says that some of them have no answer, or another one.
        if response.status != 200 and (response.status != SOME or self.batch.absent == "not_found"):
            raise self.session.refusal(response, subject)
        try:
            cut = Cutter(self.batch.records, _signs(self.resource) if self.batch.records else ()).cut(response.body, subject)
        except InvalidPage as error:
            raise self.session.masked(error) from error.__cause__
        items: dict[str, list[bytes]] = {}
        for item in cut.items:
            key = key_of(item, self.resource.key)
            if key is not None:
                items.setdefault(key, []).append(item)
        if cut.unread and self.batch.absent == "not_found":
            msg = f"{subject}: {len(cut.unread):,} of them cannot be read, so nothing that is left out is proven absent"
            raise InvalidPage(msg)
        strange = next((key for key in items if key not in keys), None)
        if strange is not None and self.batch.absent == "not_found":
            # An API that does not know the parameter answers with the first page of everything.
            msg = f"{subject}: {strange[:40]!r} came, which was not asked for, so nothing that is left out is proven absent"
            raise self.session.masked(InvalidPage(msg))
        return items, self.batch.absent == "not_found" and not _cut_short(self.resource, cut, response, len(keys))

    def _ask(self, keys: Sequence[str], clock: Clock) -> Response:
        batch, place = self.batch, self.session.origins.resolve(self.batch.path)
        if batch.param is not None:
            if batch.join is not None:
                return self.session.get(place, params={**batch.params, batch.param: batch.join.join(keys)}, clock=clock)
            place = replace(place, query=urlencode([(batch.param, key) for key in keys]))
            return self.session.get(place, params=batch.params, clock=clock)
        given: list[Any] = [{batch.each: key} for key in keys] if batch.each is not None else list(keys)
        document = msgspec.json.encode(filled(batch.body, {KEYS: given}))
        return self.session.post(place, document, params=batch.params, clock=clock)


def safe(key: str, batch: Batch) -> bool:
    """Whether a key can stand among others in one request: one that holds the mark between them would be taken for two."""
    return key != "" and not (batch.join and batch.join in key)


def _signs(resource: Resource) -> tuple[str, ...]:
    """Where a body of this resource would say that there is more."""
    total = resource.total
    return (*resource.paging.paths, *(() if total is None or total.startswith(HEADER) else (total,)))


def _cut_short(resource: Resource, cut: Cut, response: Response, asked: int) -> bool:
    """Whether an answer may hold fewer items than there are of those asked for: it says that there is more, or is as long as pages are."""
    count = len(cut.items)
    if count >= asked:
        return False
    if count and count % ROUND == 0:
        return True
    pages = getattr(resource.paging, "total_pages", None) if isinstance(resource.paging, PageNumber) else None
    told = [value > (1 if path == pages else count) if type(value) is int else bool(value) for path, value in cut.values.items()]
    return any(told) or "next" in parse_links(response.headers.get("link", ""))
