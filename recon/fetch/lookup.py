"""Reading single items by id, several side by side, each to one answer of which only some prove anything."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any
from urllib.parse import quote

import msgspec

from recon.clock import Clock
from recon.errors import BadRequest, ForeignOrigin, InvalidPage, ProviderError
from recon.fetch.batch import Batches, safe
from recon.fetch.cut import LINE_ENDS, Cutter, holds, key_of, loose, raw_record
from recon.fetch.document import KEY, filled
from recon.fetch.origin import Location
from recon.fetch.page import Lookup, LookupStatus
from recon.fetch.path import ABSENT, at_path
from recon.fetch.refusal import describe, error_words
from recon.fetch.resource import Resource
from recon.fetch.session import Session
from recon.fetch.transport import Response

# Reads that fail after all their tries, one after another: the third party is down, and each further key would wait as long.
GIVE_UP_AFTER = 5


class Reader:
    """Reads the items of one resource. `deleted` says whether a decoded body tells of a deletion."""

    def __init__(self, session: Session, resource: Resource, deleted: Callable[[Resource, Any], bool]) -> None:
        self._session = session
        self._resource = resource
        self._deleted = deleted
        self._failures = 0
        batch = resource.batch
        self._batches = None if batch is None else Batches(session, batch, resource, self._judged_item, self._read)

    def read_many(self, keys: Sequence[str], clock: Clock) -> Iterator[Lookup]:
        """An answer per key, in order. Raises only for what concerns every key: a missing secret, a foreign origin."""
        if self._resource.get is None:
            msg = f"the resource {self._resource.path!r} has no get path, so single items cannot be read"
            raise BadRequest(msg, hint='get = "path/{key}" in the resource')
        several = self._handfuls(keys)
        if len(keys) <= 1 or self._session.connections == 1:
            for few in several:
                yield from self._several(few, clock)
            return
        with ThreadPoolExecutor(self._session.connections, thread_name_prefix="recon-get") as pool:
            # A window of bounded length: a hundred thousand keys are never all in flight or in memory.
            window: deque[Future[list[Lookup]]] = deque(
                pool.submit(self._several, few, clock) for few in islice(several, self._session.connections * 2)
            )
            try:
                while window:
                    answers = window.popleft().result()
                    window.extend(pool.submit(self._several, few, clock) for few in islice(several, 1))
                    yield from answers
            finally:
                for waiting in window:
                    waiting.cancel()

    def _handfuls(self, keys: Sequence[str]) -> Iterator[Sequence[str]]:
        """The keys in their order, as many at a time as one request takes."""
        size = self._resource.batch.size if self._resource.batch is not None else 1
        return (keys[start : start + size] for start in range(0, len(keys), size))

    def _several(self, keys: Sequence[str], clock: Clock) -> list[Lookup]:
        """An answer for each of them, in order: by one request where there is one for several."""
        batches = self._batches
        if batches is None or len(keys) == 1:
            return [self._read(key, clock) for key in keys]
        if batches.failures >= GIVE_UP_AFTER:
            return [_unknown(key, f"not asked: {GIVE_UP_AFTER} reads before it got no answer") for key in keys]
        together = list(dict.fromkeys(key for key in keys if safe(key, batches.batch)))
        answers = {one.key: one for one in batches.read(together, clock)} if together else {}
        return [answers[key] if key in answers else self._read(key, clock) for key in keys]

    def _read(self, key: str, clock: Clock) -> Lookup:
        if self._failures >= GIVE_UP_AFTER:
            return _unknown(key, f"not asked: {GIVE_UP_AFTER} reads before it got no answer")
        if key in ("", ".", ".."):
            # As a path these mean the listing or the folder above it, not an item.
            return _unknown(key, f"the key {key!r} cannot stand in a URL")
        try:
            response = self._asked(key, clock)
        except ForeignOrigin:
            raise
        except ProviderError as error:
            self._failures += 1
            return _unknown(key, str(error))
        self._failures = 0
        return self._judge(key, response)

    def _asked(self, key: str, clock: Clock) -> Response:
        place, params, body = self._place(key), self._resource.get_params, self._resource.get_body
        if body is None:
            return self._session.get(place, params=params, clock=clock)
        return self._session.post(place, msgspec.json.encode(filled(body, {KEY: key})), params=params, clock=clock)

    def _place(self, key: str) -> Location:
        assert self._resource.get is not None
        return self._session.origins.resolve(self._resource.get.replace("{key}", quote(key, safe="")))

    def _judge(self, key: str, response: Response) -> Lookup:
        status = response.status
        why = self._session.mask(f"{status}: {error_words(response.body)}".rstrip(": "))
        if status == 200:
            return self._found(key, response.body)
        if status == 404:
            return Lookup(key=key, status=LookupStatus.NOT_FOUND, why=why)
        if status == 410:
            return Lookup(key=key, status=LookupStatus.DELETED, why=why)
        if status in (401, 403):
            return Lookup(key=key, status=LookupStatus.FORBIDDEN, why=why)
        return _unknown(key, why)

    def _found(self, key: str, body: bytes) -> Lookup:
        if self._resource.get_body is not None and isinstance(at_path(loose(body), self._resource.get_record), list):
            return self._among(key, body)
        record = raw_record(body, self._resource.get_record)
        if record is None:
            where = f"no readable object at {self._resource.get_record!r}" if self._resource.get_record else "no readable object"
            return _unknown(key, self._session.mask(f"{where}; the body is {describe(body)}"))
        whole = loose(body)
        if whole is ABSENT:
            return _unknown(key, "the body cannot be read as a whole")
        return self._judged_record(key, record, whole)

    def _among(self, key: str, body: bytes) -> Lookup:
        """The item in what a search by its key found. An empty answer says that there is none; others beside it say nothing of it."""
        try:
            cut = Cutter(self._resource.get_record).cut(body, "the answer")
        except InvalidPage as error:
            return _unknown(key, self._session.mask(error.message))
        mine = [item for item in cut.items if key_of(item, self._resource.key) == key]
        if len(mine) == 1:
            return self._judged_item(key, mine[0])
        if not cut.items and not cut.unread:
            return Lookup(key=key, status=LookupStatus.NOT_FOUND, why="a search for it finds nothing")
        return _unknown(key, f"a search for it finds {len(cut.items) + len(cut.unread):,} items, {len(mine):,} of them under its key")

    def _judged_item(self, key: str, item: bytes) -> Lookup:
        """The same of an item among several: it stands for its own body."""
        whole = loose(item)
        return _unknown(key, "the item cannot be read as a whole") if whole is ABSENT else self._judged_record(key, item, whole)

    def _judged_record(self, key: str, record: bytes, whole: Any) -> Lookup:
        found = key_of(record, self._resource.key)
        if found != key:
            return self._other(key, found, record)
        if self._deleted(self._resource, whole):
            return Lookup(key=key, status=LookupStatus.DELETED, why="the third party says that it was deleted")
        if self._resource.without is not None and holds(record, self._resource.without):
            why = f"it is there, but with {self._resource.without!r} in it, and so none of these"
            return Lookup(key=key, status=LookupStatus.NOT_FOUND, why=why)
        return Lookup(key=key, status=LookupStatus.FOUND, item=record.translate(LINE_ENDS))

    def _other(self, key: str, found: str | None, record: bytes) -> Lookup:
        """Another item than was asked for: the one that this one was merged into, or no answer at all."""
        if found is not None and self._merged(key, record):
            return Lookup(key=key, status=LookupStatus.DELETED, why=f"the third party says that it was merged into {found[:80]!r}")
        return _unknown(key, f"asked for {key!r}, got {'no key' if found is None else repr(found[:80])} at {self._resource.key!r}")

    def _merged(self, key: str, record: bytes) -> bool:
        """Whether a record says that it took this key's place."""
        if self._resource.merged is None:
            return False
        value = at_path(loose(record), self._resource.merged)
        keys = value.split(";") if isinstance(value, str) else value if isinstance(value, list) else []
        return key in {str(one).strip() for one in keys}


def _unknown(key: str, why: str) -> Lookup:
    return Lookup(key=key, status=LookupStatus.UNKNOWN, why=why)
