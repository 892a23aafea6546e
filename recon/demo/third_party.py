"""A stateful third party over HTTP on loopback: what a shop's API is like, on its better days and its worse ones."""

import hmac
import random
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from typing import Any, Self
from urllib.parse import unquote

from recon.demo.server import LoopbackServer, Request, Response

Record = dict[str, Any]
Change = Callable[[str, Record], None]
"""Told of every change: `order.created`, `order.updated` or `order.deleted`, and the record as it then stood."""


class ThirdParty:
    """Holds records of one resource and serves them as an API would.

    - `GET /v1/<resource>?limit=100&cursor=…` answers `{"data": […], "has_more": true, "next_cursor": "…"}`, oldest first;
    - `GET /v1/<resource>/<id>` answers the record, `{"id": …, "deleted": true}` for a deleted one, or 404;
    - both want `Authorization: Bearer <token>`;
    - every `throttle_every`-th request is answered 429 with `Retry-After: 1`, and a seeded share `error_share` of them 500.

    `create`, `update` and `delete` change the state and tell `on_change`, which is where webhooks come from; `quiet_update` tells nobody, as
    some bulk editors do. `pretend_empty = True` makes the listing an empty one that looks perfectly well. Close it when done, or use it in `with`.
    """

    def __init__(
        self,
        *,
        resource: str = "orders",
        token: str = "demo-token",  # noqa: S107 - a loopback double's token guards nothing
        page_size: int = 100,
        throttle_every: int = 0,
        error_share: float = 0.0,
        seed: int = 7,
        on_change: Change | None = None,
    ) -> None:
        self.resource = resource
        self.token = token
        self.page_size = page_size
        self.throttle_every = throttle_every
        self.error_share = error_share
        self.on_change = on_change
        self.pretend_empty = False
        self.requests = 0
        self.throttled = 0
        self.errors = 0
        self._records: dict[str, Record] = {}
        self._order: list[tuple[int, str]] = []
        self._numbers: dict[str, int] = {}
        self._created = 0
        self._deleted: set[str] = set()
        self._random = random.Random(seed)  # noqa: S311 - reproducible faults, no secret
        self._lock = threading.RLock()
        self._server = LoopbackServer(self._answer)

    @property
    def url(self) -> str:
        """The API's base URL."""
        return f"{self._server.url}/v1/"

    @property
    def records(self) -> dict[str, Record]:
        """A copy of what it holds, by id."""
        with self._lock:
            return {key: dict(record) for key, record in self._records.items()}

    def holds(self, key: str) -> bool:
        """Whether a record with this key is there now."""
        return key in self._records

    def create(self, record: Mapping[str, Any]) -> None:
        """A new record; `id` is its key."""
        with self._lock:
            key = str(record["id"])
            self._records[key] = dict(record)
            self._created += 1
            self._numbers[key] = self._created
            self._order.append((self._created, key))
            self._deleted.discard(key)
        self._tell("created", dict(record))

    def update(self, key: str, **changes: Any) -> None:
        """Change a record and tell of it."""
        self._tell("updated", self.quiet_update(key, **changes))

    def quiet_update(self, key: str, **changes: Any) -> Record:
        """Change a record and tell nobody; answers the record as it then stands."""
        with self._lock:
            self._records[key] |= changes
            return dict(self._records[key])

    def delete(self, key: str) -> None:
        """Delete a record and tell of it."""
        with self._lock:
            record = self._records.pop(key)
            del self._order[bisect_left(self._order, self._numbers.pop(key), key=first)]
            self._deleted.add(key)
        self._tell("deleted", record)

    def close(self) -> None:
        """Stop the server."""
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tell(self, verb: str, record: Record) -> None:
        if self.on_change is not None:
            self.on_change(f"{self.resource.removesuffix('s')}.{verb}", record)

    def _answer(self, request: Request) -> Response:
        with self._lock:
            self.requests += 1
            if not hmac.compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {self.token}".encode()):
                return Response(status=401, body={"error": {"type": "unauthorized", "message": "a bearer token is needed"}})
            if self.throttle_every and self.requests % self.throttle_every == 0:
                self.throttled += 1
                return Response(status=429, headers={"Retry-After": "1"}, body={"error": {"type": "rate_limited"}})
            if self._random.random() < self.error_share:
                self.errors += 1
                return Response(status=500, body={"error": {"type": "internal"}})
            return self._route(request)

    def _route(self, request: Request) -> Response:
        parts = [unquote(part) for part in request.path.strip("/").split("/")]
        if request.method != "GET" or parts[:2] != ["v1", self.resource] or len(parts) > 3:
            return Response(status=404, body={"error": {"type": "no_such_route"}})
        if len(parts) == 2:
            return self._list(request.query)
        key = parts[2]
        if key in self._records:
            return Response(body=self._records[key])
        if key in self._deleted:
            return Response(body={"id": key, "deleted": True})
        return Response(status=404, body={"error": {"type": "not_found", "id": key}})

    def _list(self, query: Mapping[str, str]) -> Response:
        if self.pretend_empty:
            return Response(body={"data": [], "has_more": False, "next_cursor": None})
        try:
            start = int(query.get("cursor") or 0)
            limit = min(max(1, int(query.get("limit") or self.page_size)), self.page_size)
        except ValueError:
            return Response(status=400, body={"error": {"type": "bad_cursor"}})
        page: list[Record] = []
        seen = start
        # A cursor is the number that its record got when it was created: deletions before it move nothing.
        for number, key in self._order[bisect_right(self._order, start, key=first) :]:
            if len(page) == limit:
                return Response(body={"data": page, "has_more": True, "next_cursor": str(seen)})
            page.append(self._records[key])
            seen = number
        return Response(body={"data": page, "has_more": False, "next_cursor": None})


def first(pair: tuple[int, str]) -> int:
    """The number of a pair."""
    return pair[0]
