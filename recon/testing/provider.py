"""A third party in memory."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from recon.clock import Clock
from recon.errors import ProviderError
from recon.fetch.page import End, Lookup, LookupStatus, Page
from recon.provider import Listing, Meter

Record = Mapping[str, Any] | bytes


class FakeProvider:
    """Holds `records` per resource (a list means one resource, `items`) and pages through them.

    Records are mappings, or bytes for what only a broken third party would write. The lists may be changed between calls, and in the
    middle of a fetch by `on_page(resource, number)`, which is called before each page from 1 on. Faults: `fail_page={3: Unreachable("…")}` raises
    before page 3, as often as it is asked for; `answers={"42": LookupStatus.FORBIDDEN}` is what a read of that key by id gives; `deleted` keys
    answer DELETED. `dashboard="https://shop.example/orders/{key}"` gives links.
    """

    def __init__(
        self,
        records: Mapping[str, Sequence[Record]] | Sequence[Record],
        *,
        name: str = "fake",
        key: str = "id",
        page_size: int = 100,
        fail_page: Mapping[int, ProviderError] | None = None,
        answers: Mapping[str, LookupStatus] | None = None,
        deleted: Sequence[str] = (),
        on_page: Callable[[str, int], None] | None = None,
        dashboard: str | None = None,
    ) -> None:
        self.name = name
        self.meter = Meter()
        self.records: dict[str, list[Record]] = (
            {resource: list(rows) for resource, rows in records.items()} if isinstance(records, Mapping) else {"items": list(records)}
        )
        self.key = key
        self.page_size = page_size
        self.fail_page = dict(fail_page or {})
        self.answers = dict(answers or {})
        self.deleted = set(deleted)
        self.on_page = on_page
        self.dashboard = dashboard
        self.lookups: list[str] = []

    def resources(self) -> Sequence[str]:
        return sorted(self.records)

    def key_path(self, resource: str) -> str:  # noqa: ARG002 - the protocol's signature
        return self.key

    def fetch(self, listing: Listing) -> Iterator[Page]:
        number = int(listing.resume["page"]) if listing.resume else 1
        while True:
            if self.on_page is not None:
                self.on_page(listing.resource, number)
            if number in self.fail_page:
                raise self.fail_page[number]
            self.meter.requests += 1
            rows = self.records[listing.resource]
            part = rows[(number - 1) * self.page_size : number * self.page_size]
            items = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in part]
            size = sum(map(len, items))
            self.meter.bytes += size
            if number * self.page_size >= len(rows):
                yield Page(items=items, end=End(f"has_more = false on page {number}"), total=len(rows), bytes_read=size)
                return
            number += 1
            yield Page(items=items, next={"page": number}, bytes_read=size)

    def can_get(self, resource: str) -> bool:  # noqa: ARG002 - the protocol's signature
        return True

    def get_many(self, resource: str, keys: Sequence[str], *, clock: Clock) -> Iterator[Lookup]:  # noqa: ARG002 - the protocol's signature
        found = {str(_at(row, self.key)): row for row in self.records[resource] if not isinstance(row, bytes)}
        for key in keys:
            self.lookups.append(key)
            self.meter.requests += 1
            if key in self.answers:
                status = self.answers[key]
                item = json.dumps(found[key]).encode() if status is LookupStatus.FOUND and key in found else None
                yield Lookup(key=key, status=status, item=item, why="as the test says")
            elif key in self.deleted:
                yield Lookup(key=key, status=LookupStatus.DELETED, why="deleted = true")
            elif key in found:
                yield Lookup(key=key, status=LookupStatus.FOUND, item=json.dumps(found[key]).encode())
            else:
                yield Lookup(key=key, status=LookupStatus.NOT_FOUND, why="404")

    def link(self, resource: str, key: str) -> str | None:  # noqa: ARG002 - the protocol's signature
        return self.dashboard.replace("{key}", key) if self.dashboard else None

    def close(self) -> None:
        """Nothing is open."""


def _at(row: Mapping[str, Any], path: str) -> Any:
    value: Any = row
    for name in path.split("."):
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value
