"""Reading several items by one request; what an answer leaves out, or a request that is refused, is asked for in smaller ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import msgspec

from recon.clock import Clock
from recon.errors import ForeignOrigin, InvalidPage, ProviderError, Throttled, Unreachable
from recon.fetch.cut import Cutter, key_of
from recon.fetch.document import KEYS, filled
from recon.fetch.narrowing import Batch
from recon.fetch.page import Lookup, LookupStatus
from recon.fetch.session import Session
from recon.fetch.transport import Response


@dataclass(slots=True)
class Batches:
    """Reads the items of one resource by the handful.

    `judge` makes the answer for a key of the item that came for it; `single` reads a key alone. Both answer for that key and raise nothing
    that concerns it alone.
    """

    session: Session
    batch: Batch
    key: str
    judge: Callable[[str, bytes], Lookup]
    single: Callable[[str, Clock], Lookup]
    #: Requests that got no answer at all, one after another.
    failures: int = 0

    def read(self, keys: Sequence[str], clock: Clock) -> list[Lookup]:
        """An answer per key, in order. Raises ForeignOrigin."""
        try:
            items = self._items(keys, clock)
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
        return [self._answer(key, items, clock) for key in keys]

    def _answer(self, key: str, items: dict[str, list[bytes]], clock: Clock) -> Lookup:
        found = items.get(key, [])
        if len(found) == 1:
            return self.judge(key, found[0])
        if not found and self.batch.absent == "not_found":
            return Lookup(key=key, status=LookupStatus.NOT_FOUND, why="the answer for several leaves it out")
        # Left out, or there twice: the read of it alone says which.
        return self.single(key, clock)

    def _items(self, keys: Sequence[str], clock: Clock) -> dict[str, list[bytes]]:
        """What came, by key; keys that nobody asked for do no harm but where what is left out counts as absent. Raises ProviderError leaves."""
        response = self._ask(keys, clock)
        subject = f"{len(keys):,} items of {self.batch.path}"
        if response.status != 200:
            raise self.session.refusal(response, subject)
        try:
            cut = Cutter(self.batch.records).cut(response.body, subject)
        except InvalidPage as error:
            raise self.session.masked(error) from error.__cause__
        items: dict[str, list[bytes]] = {}
        for item in cut.items:
            key = key_of(item, self.key)
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
        return items

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
