"""Reading GraphQL items by id: several in one query where the API can, else one by one, several queries side by side."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from recon.clock import Clock
from recon.errors import BadRequest, ForeignOrigin, InvalidPage, ProviderError, Throttled, Unreachable
from recon.fetch.cut import LINE_ENDS, key_of, loose
from recon.fetch.graphql import ById, Connection
from recon.fetch.graphql_ask import ERRORS, Asker
from recon.fetch.graphql_records import OF_ONE_RECORD, Records, Short
from recon.fetch.page import Lookup, LookupStatus
from recon.fetch.path import ABSENT, at_path
from recon.fetch.refusal import describe
from recon.fetch.split import Torn, find, members

#: Queries that fail after all their tries, one after another: the third party is down, and each further one would wait as long.
GIVE_UP_AFTER = 5
NULL = b"null"


class GraphReader:
    """Reads items of one connection. `wire` makes the id that a query takes out of a key."""

    def __init__(self, asker: Asker, connection: Connection, clock: Clock, wire: Callable[[str], str] = str) -> None:
        self._asker = asker
        self._connection = connection
        self._clock = clock
        self._wire = wire
        self._records = Records(asker, connection, clock)
        self._failures = 0

    def read_many(self, keys: Sequence[str], width: int) -> Iterator[Lookup]:
        """An answer per key, in order. Raises only for what concerns every key: a missing secret, a foreign origin."""
        by_id = self._connection.many or self._connection.one
        if by_id is None:
            msg = f"{self._connection.nodes} has no query by id, so single items cannot be read"
            raise BadRequest(msg, hint="give the resource get = { query = …, record = … }")
        batches = [list(keys[start : start + by_id.size]) for start in range(0, len(keys), by_id.size)]
        if len(batches) <= 1 or width == 1:
            for batch in batches:
                yield from self._batch(by_id, batch)
            return
        with ThreadPoolExecutor(width, thread_name_prefix="recon-get") as pool:
            left = iter(batches)
            window: deque[Future[list[Lookup]]] = deque(pool.submit(self._batch, by_id, batch) for batch in islice(left, width * 2))
            try:
                while window:
                    answers = window.popleft().result()
                    window.extend(pool.submit(self._batch, by_id, batch) for batch in islice(left, 1))
                    yield from answers
            finally:
                for waiting in window:
                    waiting.cancel()

    def _batch(self, by_id: ById, keys: list[str]) -> list[Lookup]:
        if self._failures >= GIVE_UP_AFTER:
            return [_unknown(key, f"not asked: {GIVE_UP_AFTER} queries before it got no answer") for key in keys]
        try:
            nodes = self._nodes(by_id, keys)
        except ForeignOrigin:
            raise
        except ProviderError as error:
            if len(keys) > 1 and not isinstance(error, Unreachable | Throttled):
                # One bad id spoils the answer for all of them.
                half = len(keys) // 2
                return [*self._batch(by_id, keys[:half]), *self._batch(by_id, keys[half:])]
            self._failures += isinstance(error, Unreachable | Throttled)
            return [_unknown(key, str(error)) for key in keys]
        self._failures = 0
        return [self._judged(key, node) for key, node in zip(keys, nodes, strict=True)]

    def _nodes(self, by_id: ById, keys: list[str]) -> list[bytes]:
        """What the answer holds for each key, as it was written. Raises ProviderError leaves."""
        ids = [self._wire(key) for key in keys]
        subject = f"{len(keys):,} of {self._connection.nodes} by id"
        response = self._asker.ask(by_id.query, {by_id.variable: ids if by_id.size > 1 else ids[0]}, subject=subject, clock=self._clock)
        body = response.body
        self._asker.free_of_errors(at_path(loose(body), ERRORS), body, subject)
        try:
            place = find(body, f"data.{by_id.record}")
            if place is not None and loose(body) is not ABSENT:
                if by_id.size == 1:
                    return [body[slice(*place)]]
                nodes = [body[start:end] for start, end in members(body, place[0])] if body[place[0] : place[0] + 1] == b"[" else []
                if len(nodes) == len(keys):
                    return nodes
        except Torn:
            pass
        wanted = f"an array of {len(keys):,}" if by_id.size > 1 else "an object or null"
        msg = f"{subject}: {wanted} is wanted at {by_id.record!r}; the body is {describe(body)}"
        raise self._asker.session.masked(InvalidPage(msg))

    def _judged(self, key: str, node: bytes) -> Lookup:
        if node == NULL:
            return Lookup(key=key, status=LookupStatus.NOT_FOUND, why="the answer holds null for it")
        found = key_of(node, self._connection.key)
        if found != key:
            return _unknown(key, f"asked for {key!r}, got {'no key' if found is None else repr(found[:80])} at {self._connection.key!r}")
        try:
            return Lookup(key=key, status=LookupStatus.FOUND, item=self._records.whole(node.translate(LINE_ENDS)))
        except Short as short:
            return _unknown(key, self._asker.session.mask(short.why))
        except (*OF_ONE_RECORD, Unreachable, Throttled) as error:
            return _unknown(key, str(error))


def _unknown(key: str, why: str) -> Lookup:
    return Lookup(key=key, status=LookupStatus.UNKNOWN, why=why)
