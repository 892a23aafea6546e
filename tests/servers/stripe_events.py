"""Stripe in what its webhooks need, over `tests.servers.scripted`: lists by `created`, reads by id, deletions, and the events that were not delivered."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from providers.stripe import API_VERSION
from tests.servers.scripted import Answer, Call, Scripted, scripted

CREATED = 1_790_000_000
MISSING = Answer({"error": {"message": "No such object", "type": "invalid_request_error"}}, status=404)


def charge(number: int, **changed: Any) -> dict[str, Any]:
    """A charge as the API shows it, in the fields that matter here and a few that no job compares."""
    return {
        "id": f"ch_{number:04}",
        "object": "charge",
        "amount": 1000 + number,
        "amount_refunded": 0,
        "billing_details": {"email": f"person{number}@example.com", "name": f"Person {number}"},
        "captured": True,
        "created": CREATED + number,
        "currency": "eur",
        "customer": None,
        "livemode": False,
        "metadata": {"order": f"{number}"},
        "payment_intent": None,
        "status": "succeeded",
        **changed,
    }


def customer(number: int, **changed: Any) -> dict[str, Any]:
    """A customer, likewise."""
    return {
        "id": f"cus_{number:04}",
        "object": "customer",
        "balance": 0,
        "created": CREATED + number,
        "currency": None,
        "delinquent": False,
        "email": f"person{number}@example.com",
        "livemode": False,
        "metadata": {},
        "name": f"Person {number}",
        "phone": None,
        **changed,
    }


def event(number: int, kind: str, obj: dict[str, Any], *, version: str = API_VERSION, **changed: Any) -> dict[str, Any]:
    """One of Stripe's own events."""
    return {
        "id": f"evt_{number:04}",
        "object": "event",
        "api_version": version,
        "created": CREATED + 1000 + number,
        "data": {"object": obj},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": f"req_{number}", "idempotency_key": None},
        "type": kind,
        **changed,
    }


@dataclass
class Account:
    """What the account holds, by list; `deleted` answers `deleted: true` by id; `undelivered` newest first. `refuse` answers before all else."""

    charges: list[dict[str, Any]] = field(default_factory=list)
    customers: list[dict[str, Any]] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    undelivered: list[dict[str, Any]] = field(default_factory=list)
    refuse: dict[str, Answer] = field(default_factory=dict)
    #: So many seconds pass before each answer.
    slow: float = 0.0
    server: Scripted = field(init=False)

    @property
    def url(self) -> str:
        """The provider's base URL."""
        return f"{self.server.url}/v1/"

    def asked(self, path: str) -> list[Call]:
        """The requests for one path."""
        return [call for call in self.server.calls if call.path == path]

    def answer(self, call: Call) -> Answer:
        """One request."""
        time.sleep(self.slow)
        kind, _, key = call.path.removeprefix("/v1/").partition("/")
        for path, refusal in self.refuse.items():
            if call.path.startswith(f"/v1/{path}"):
                return refusal
        if kind == "events":
            return self._events(call, key)
        rows: list[dict[str, Any]] = getattr(self, kind, [])
        if not key:
            return _listed(rows, call)
        if key in self.deleted:
            return Answer({"id": key, "object": kind.removesuffix("s"), "deleted": True})
        return next((Answer(row) for row in rows if row["id"] == key), MISSING)

    def _events(self, call: Call, key: str) -> Answer:
        if key:
            return next((Answer(one) for one in self.undelivered if one["id"] == key), MISSING)
        assert call.query["delivery_success"] == "false"
        prefix = call.query["type"].removesuffix("*")
        return _listed([one for one in self.undelivered if one["type"].startswith(prefix)], call)


def _listed(rows: list[dict[str, Any]], call: Call) -> Answer:
    low, high = int(call.query.get("created[gte]", 0)), int(call.query.get("created[lt]", 1 << 60))
    found = sorted((row for row in rows if low <= row["created"] < high), key=lambda row: -row["created"])
    after = call.query.get("starting_after")
    if after is not None:
        found = found[[row["id"] for row in found].index(after) + 1 :]
    size = int(call.query.get("limit", 10))
    return Answer({"object": "list", "data": found[:size], "has_more": len(found) > size})


@contextmanager
def stripe_account(**held: Any) -> Iterator[Account]:
    """An account behind a real server, until the block ends."""
    account = Account(**held)
    with scripted(account.answer) as server:
        account.server = server
        yield account
