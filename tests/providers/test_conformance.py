"""The conformance kit: what is shipped keeps the contract, and what does not keep it is found out, point by point."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from providers.shopify import Shopify
from providers.stripe import Stripe
from recon.clock import Clock
from recon.errors import BadRequest, FilterIgnored
from recon.fetch.cut import loose
from recon.fetch.narrowing import Ranges
from recon.fetch.page import End, Lookup, LookupStatus, Page
from recon.fetch.paging import CursorInBody, LastId
from recon.fetch.partition import Part, Partition, Planner
from recon.fetch.resource import Resource
from recon.http_provider import HTTPProvider
from recon.provider import Listing, Meter, Provider
from recon.secret import Secret
from recon.testing import check_provider, section
from recon.testing.conformance_parts import check_parts
from recon.testing.faultlab.trial import Servers, Subject, servers
from tests.fetch_matrix.kinds import made
from tests.integration.fetched import rest

Make = Callable[[str], Provider]
#: The standard library's client, which the naive providers stand on, leaves a socket to the collector where a server resets it.
QUIET = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def stripe(url: str) -> Stripe:
    return Stripe(section("stripe", base_url=f"{url}/v1/", api_key=Secret("rk_test_0123456789abcdef")))


def shopify(url: str) -> Shopify:
    base = f"{url}/admin/api/2026-10/graphql.json"
    return Shopify(section("shopify", shop="acme", token=Secret("shpat_0123456789abcdef"), bulk=False, base_url=base))


BY_POST = """
path = "orders/search"
method = "POST"
body = { query = { status = "any" }, page = { size = 100 } }
records = "data"
paging = { rule = "cursor", param = "page.after", at = "next" }
page_size = { param = "page.size", size = 4 }
get = "orders/get"
get_body = { order = { id = "{key}" } }
ranges = { at = "created", low = "query.since", high = "query.until", form = "iso" }
batch = { path = "orders/many", body = { ids = "{keys}" }, records = "data", size = 3 }
"""

RECORDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "shopify, page by page": lambda n: {"id": f"gid://shopify/ProductVariant/{n}", "sku": f"s{n}"}
}
"""For those who want more of a record than its key."""

SHIPPED: dict[str, tuple[Make, str]] = {
    "stripe": (stripe, "charges"),
    "shopify, page by page": (shopify, "product_variants"),
    "rest by a cursor": (lambda url: made("cursor", url), "orders"),
    "graphql by edges": (lambda url: made("graphql, edges", url), "orders"),
    "rest by pages": (lambda url: made("page, pages", url), "orders"),
    "rest by POST": (lambda url: rest(f"{url}/v1/", BY_POST), "orders"),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_keeps_the_contract(name: str) -> None:
    """The kit finds nothing to say of a shipped provider."""
    make, resource = SHIPPED[name]

    findings = check_provider(make, resource, record=RECORDS.get(name))

    assert not findings, "\n".join(map(str, findings))


def test_the_example_of_the_documentation_runs() -> None:
    """The provider and the test of docs/testing.md, as they stand there."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "check_provider" in block)
    module: dict[str, Any] = {"__name__": "depot"}

    exec(compile(code, "test_depot.py", "exec"), module)
    module["test_the_depot_keeps_the_contract"]()


class Naive:
    """A provider as one is quickly written: no retries, redirects followed, the end guessed from a short page, nothing held against anything."""

    name = "naive"

    def __init__(self, url: str) -> None:
        self.url = url
        self.meter = Meter()

    def resources(self) -> Sequence[str]:
        return ["orders"]

    def key_path(self, resource: str) -> str:
        return "id"

    def ask(self, target: str) -> Any:
        url = target if target.startswith("http") else f"{self.url}/api/{target}"
        with urllib.request.urlopen(
            urllib.request.Request(url, headers={"Authorization": "Bearer t0k3n-of-the-shop"}), timeout=5
        ) as answer:
            return json.loads(answer.read() or b"{}")

    def fetch(self, listing: Listing) -> Iterator[Page]:
        after: str | None = None
        while True:
            rows = self.ask("orders" + (f"?starting_after={after}" if after else "")).get("data") or []
            items = [json.dumps(row).encode() for row in rows if isinstance(row, dict)]
            if len(rows) < 4:
                yield Page(items=items, end=End("a short page"))
                return
            after = rows[-1].get("id")
            yield Page(items=items, next={"after": after})

    def can_get(self, resource: str) -> bool:
        return True

    def get_many(self, resource: str, keys: Sequence[str], *, clock: Clock) -> Iterator[Lookup]:
        for key in keys:
            try:
                yield Lookup(key=key, status=LookupStatus.FOUND, item=json.dumps(self.ask(f"orders/{key}")).encode())
            except (urllib.error.URLError, ValueError):
                yield Lookup(key=key, status=LookupStatus.NOT_FOUND)

    def link(self, resource: str, key: str) -> str | None:
        return None

    def close(self) -> None:
        """Nothing is open."""


ORDERS = Resource(path="orders", records="data", paging=LastId(param="starting_after"), get="orders/{key}")
WANTED = [
    "429, on the first page .*: it should have ended whole: .*\n.*must not end the fetch",
    "500, twice, .*: it should have ended whole",
    "200 with an error body.*: it should not have ended whole",
    "the record path is null.*: it should not have ended whole",
    "a short page that is not the last.*: whole is said, and",
    "an empty body with status 200, .*: it should not have ended whole",
    "a redirect to another host.*: a host that nobody declared was asked",
    "401, for ever.*: it should end with a leaf of ProviderError",
    "resume after page 1: other items come",
    "meter: meter.requests counts 0 of",
    "reads by id: 403: not_found, wanted forbidden",
    "reads by id: 500 for ever: not_found, wanted unknown",
    "reads by id: another item: found, wanted unknown",
    "reads by id: k02: not_found, wanted deleted",
]


@QUIET
def test_a_provider_that_trusts_everything_is_found_out() -> None:
    """Each thing that a quickly written provider gets wrong is named, with what to do about it."""
    findings = "\n".join(map(str, check_provider(Naive, "orders", declared=ORDERS, base="/api/")))
    unfound = [pattern for pattern in WANTED if not re.search(pattern, findings)]

    assert unfound == [], findings


class Halves:
    """Numbers up to 8, and those from 9 on."""

    ranged = True
    ends: ClassVar = ((None, 9), (9, None))

    def following(self, parts: Sequence[Part]) -> Partition | None:
        if len(parts) == len(self.ends):
            return None
        low, high = self.ends[len(parts)]
        return Partition(name=f"{low} to {high}", low=low, high=high)


class Parted(HTTPProvider):
    """It cuts its list by a number, and holds each row against its part."""

    plan: Any = Halves()
    looks = True
    catalogue: ClassVar = {
        "orders": Resource(
            path="orders", records="data", paging=LastId(param="after"), ranges=Ranges(at="n", low="from", high="to", form="integer")
        )
    }

    def planner(self, listing: Listing) -> Planner | None:
        return self.plan

    def fetch(self, listing: Listing) -> Iterator[Page]:
        part = listing.partition
        params = {name: end for name, end in (("from", part.low), ("to", part.high)) if end is not None}
        plain = Listing(resource=listing.resource, params={**listing.params, **params}, resume=listing.resume, clock=listing.clock)
        for page in super().fetch(plain):
            numbers = [number for item in page.items if isinstance(number := loose(item).get("n"), int)]
            if self.looks and any(not (part.low or 0) <= number < (part.high or 99) for number in numbers):
                raise FilterIgnored("a row outside")
            yield page


def parted(both: Servers, **changes: Any) -> str:
    """What the kit says of its parts, with these changes."""
    kind = type("Changed", (Parted,), changes)
    records = [{"id": f"k{n:02}", "n": n} for n in range(1, 18)]
    subject = Subject(
        make=lambda url: kind(section("shop", base_url=f"{url}/v1/")),
        resource="orders",
        declared=Parted.catalogue["orders"],
        base="/v1/",
        records=records,
    )
    return "\n".join(check_parts(subject, both, lambda what, todo: f"{what}: {todo}"))


@QUIET
def test_parts_are_held_together() -> None:
    """A sound plan is passed; a gap, an overlap, a plan without end, and rows that nobody holds against their part are found."""
    gap = type("Gap", (Halves,), {"ends": ((None, 9), (10, None))})
    overlap = type("Overlap", (Halves,), {"ends": ((None, 10), (9, None))})
    endless = type("Endless", (Halves,), {"following": lambda self, parts: Partition(name=str(len(parts)), low=100, high=None)})

    with servers() as both:
        assert parted(both) == ""
        assert "no part holds k09" in parted(both, plan=gap())
        assert "a range ends at 9, and the next one begins at 10" in parted(both, plan=gap())
        assert "more than one part holds k09" in parted(both, plan=overlap())
        assert "the plan has no end: 200 parts" in parted(both, plan=endless())
        assert "9 to None: 17 items come of a server that ignores its filter, and nothing is said" in parted(both, looks=False)


def test_the_kit_looks_at_parts() -> None:
    """Of a provider with a planner the kit tries the parts too."""
    gap = type("Gap", (Halves,), {"ends": ((None, 9), (10, None))})
    kind = type("Changed", (Parted,), {"plan": gap()})
    findings = check_provider(lambda url: kind(section("shop", base_url=f"{url}/v1/")), "orders")

    assert "parts: no part holds k09" in "\n".join(map(str, findings))


class Writer(HTTPProvider):
    """It marks each list that it reads as read."""

    catalogue: ClassVar = {"orders": ORDERS}

    def fetch(self, listing: Listing) -> Iterator[Page]:
        self.session.post(self.session.origins.resolve("orders/seen"), b"{}", clock=listing.clock)
        yield from super().fetch(listing)


class Chatty(HTTPProvider):
    """Its cursor is the API's, its end is not: what is left out is taken for the end."""

    catalogue: ClassVar = {"orders": Resource(path="orders", records="data", paging=CursorInBody(param="after", at="next", end="absent"))}


@QUIET
def test_a_provider_that_writes_is_found_out() -> None:
    """A POST that no batch declares is a finding."""
    made = lambda url: Writer(section("shop", base_url=f"{url}/v1/", auth={"bearer": Secret("t0k3n-of-the-shop")}))  # noqa: E731 - as a user writes it
    findings = "\n".join(map(str, check_provider(made, "orders")))

    assert "it sends POST /v1/orders/seen" in findings


def test_a_weaker_end_that_is_declared_is_told() -> None:
    """A list whose missing marker is declared as its end cannot be told from one whose marker was lost, and the kit says so."""
    made = lambda url: Chatty(section("shop", base_url=f"{url}/v1/"))  # noqa: E731 - as a user writes it
    findings = "\n".join(map(str, check_provider(made, "orders")))

    assert "no end marker" in findings


def test_a_provider_without_a_catalogue_must_say_how_its_list_looks() -> None:
    """Nothing is guessed: the error names the argument."""
    with pytest.raises(BadRequest, match="declares no resource 'orders'") as caught:
        check_provider(Naive, "orders")

    assert "declared=Resource(" in str(caught.value.hint)


@pytest.mark.soak
def test_each_page_can_be_tried() -> None:
    """With `every_page` each fault strikes on the first, a middle and the last page."""
    assert not check_provider(_counted, "orders", every_page=True)
    assert MADE[0] > 250


MADE = [0]


def _counted(url: str) -> Provider:
    MADE[0] += 1
    return made("last_id", url)
