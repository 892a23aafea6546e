"""Rest over a real HTTP server: each paging rule reads the whole list, and takes nothing for an end that is none."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from providers.rest import Rest
from recon.clock import SystemClock
from recon.errors import ForeignOrigin, InvalidPage, ProviderError
from recon.fetch.page import LookupStatus
from recon.provider import Listing
from tests.providers.listing import whole
from tests.providers.sections import section
from tests.servers.scripted import Answer, Call, Scripted, scripted

ORDERS = [{"id": f"o{number:02}", "amount": number} for number in range(1, 24)]
SIZE = 5


def provider_at(url: str, resource: dict[str, Any], **settings: Any) -> Rest:
    """A rest provider of one resource, `orders`."""
    table = {"type": "rest", "base_url": f"{url}/api/", **settings, "resources": {"orders": {"path": "orders", **resource}}}
    return Rest(section("providers.shop", table))


def cut(call: Call, start: int) -> list[dict[str, Any]]:
    """One page of five orders, whatever size was asked for: a server that clamps in silence."""
    del call
    return ORDERS[start : start + SIZE]


def by_cursor(call: Call) -> Answer:
    """A cursor in the body, null at the end."""
    start = int(call.query.get("after", "0"))
    more = start + SIZE < len(ORDERS)
    return Answer({"data": cut(call, start), "meta": {"next": str(start + SIZE) if more else None}})


def by_last_id(call: Call) -> Answer:
    """`starting_after` and `has_more`."""
    ids = [order["id"] for order in ORDERS]
    start = ids.index(call.query["starting_after"]) + 1 if "starting_after" in call.query else 0
    return Answer({"data": cut(call, start), "has_more": start + SIZE < len(ORDERS)})


def by_next_url(call: Call) -> Answer:
    """A relative URL in the body."""
    start = int(call.query.get("from", "0"))
    more = start + SIZE < len(ORDERS)
    return Answer({"data": cut(call, start), "next": "/api/orders?" + urlencode({"from": start + SIZE}) if more else None})


def by_next_header(call: Call) -> Answer:
    """A URL in a header of its own, left out at the end."""
    start = int(call.query.get("from", "0"))
    more = start + SIZE < len(ORDERS)
    return Answer({"data": cut(call, start)}, headers={"X-Next-Page": f"orders?from={start + SIZE}"} if more else {})


def by_link(call: Call) -> Answer:
    """RFC 8288, the body being the array itself; `prev` stays on the last page."""
    start = int(call.query.get("from", "0"))
    links = ['<orders?from=0>; rel="first"']
    if start + SIZE < len(ORDERS):
        links.append(f'<orders?from={start + SIZE}>; title="a, b; c"; REL="next last"')
    return Answer(cut(call, start), headers={"Link": ", ".join(links)})


def by_page(call: Call) -> Answer:
    """Numbered pages with a count of pages."""
    number = int(call.query.get("page", "1"))
    return Answer({"data": cut(call, (number - 1) * SIZE), "pages": -(-len(ORDERS) // SIZE)})


def by_page_until_empty(call: Call) -> Answer:
    """Numbered pages from 0, and nothing that says the end but an empty page."""
    return Answer({"data": cut(call, int(call.query["p"]) * SIZE)})


def by_offset(call: Call) -> Answer:
    """Offset, clamped below what is asked for, with a count of items."""
    return Answer({"data": cut(call, int(call.query["skip"])), "meta": {"total": len(ORDERS)}})


def at_once(call: Call) -> Answer:
    """Everything in one answer."""
    del call
    return Answer({"data": ORDERS})


WAYS: list[tuple[Callable[[Call], Answer], dict[str, Any], str]] = [
    (at_once, {"rule": "none"}, "one answer"),
    (by_cursor, {"rule": "cursor", "param": "after", "at": "meta.next"}, "meta.next = null on page 5"),
    (by_last_id, {"rule": "last_id", "param": "starting_after"}, "has_more = false on page 5"),
    (by_next_url, {"rule": "next_url", "at": "next"}, "next = null on page 5"),
    (by_next_header, {"rule": "next_header", "header": "X-Next-Page", "end": "absent"}, "no header X-Next-Page on page 5"),
    (by_link, {"rule": "link"}, "Link without rel=next on page 5"),
    (by_page, {"rule": "page", "size_param": "size", "size": 50, "total_pages": "pages"}, "page 5 of pages = 5"),
    (by_page_until_empty, {"rule": "page", "param": "p", "start": 0, "end": "empty"}, "page 6 is empty"),
    (
        by_offset,
        {"rule": "offset", "param": "skip", "limit_param": "take", "size": 50, "total": "meta.total"},
        "23 items of meta.total = 23",
    ),
]


@pytest.mark.parametrize(("serve", "paging", "proof"), WAYS, ids=[str(paging["rule"]) + "-" + serve.__name__ for serve, paging, _ in WAYS])
def test_each_rule_reads_the_whole_list(serve: Callable[[Call], Answer], paging: dict[str, Any], proof: str) -> None:
    """All 23 orders come, each once and in order, from a server that hands out five a page whatever is asked for."""
    with scripted(serve) as server:
        provider = provider_at(server.url, {"records": "" if paging["rule"] == "link" else "data", "paging": paging})
        records, end = whole(provider, "orders")
        provider.close()
    assert records == ORDERS
    assert proof in end.proof


MARKERLESS: list[dict[str, Any]] = [
    {"rule": "cursor", "param": "after", "at": "meta.next"},
    {"rule": "last_id", "param": "starting_after"},
    {"rule": "next_url", "at": "next"},
    {"rule": "next_header", "header": "X-Next-Page"},
    {"rule": "link"},
    {"rule": "page", "total_pages": "pages"},
    {"rule": "offset", "total": "total"},
    {"rule": "offset", "more": "more"},
]


@pytest.mark.parametrize("paging", MARKERLESS, ids="-".join)
def test_no_end_marker_is_no_end(paging: dict[str, Any]) -> None:
    """A first page without the declared marker is refused, and the message names the marker that is not there."""
    with scripted(at_once) as server:
        provider = provider_at(server.url, {"records": "data", "paging": paging})
        with pytest.raises(InvalidPage, match="is not there"):
            whole(provider, "orders")
        provider.close()


BODIES: list[tuple[str, Any]] = [
    ("a login page", b"<!doctype html><html><title>Sign in</title></html>"),
    ("an error body", {"error": {"message": "token expired"}}),
    ("the array where the object was", []),
    ("a null list", {"data": None, "pages": 1}),
    ("an object for a list", {"data": {"0": {"id": "a"}}, "pages": 1}),
    ("cut JSON", b'{"data": [{"id": "a"}, {"id"'),
]


@pytest.mark.parametrize("body", [body for _, body in BODIES], ids=[name for name, _ in BODIES])
def test_what_is_no_page_is_never_an_empty_list(body: Any) -> None:
    """With status 200 and a body that is not the declared page, the fetch stops; no record is inferred to be missing."""
    with scripted(lambda _: Answer(body)) as server:
        provider = provider_at(server.url, {"records": "data", "paging": {"rule": "page", "total_pages": "pages"}})
        with pytest.raises(InvalidPage):
            whole(provider, "orders")
        provider.close()


def test_a_next_url_elsewhere_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A next URL on another origin stops the fetch before any request, so the bearer token stays at home."""
    monkeypatch.setenv("SHOP_TEST_TOKEN", "t0ken")
    with scripted(at_once) as elsewhere:

        def serve(_: Call) -> Answer:
            return Answer({"data": ORDERS[:5], "next": f"{elsewhere.url}/api/orders?from=5"})

        with scripted(serve) as server:
            provider = provider_at(
                server.url, {"records": "data", "paging": {"rule": "next_url", "at": "next"}}, auth={"bearer": {"env": "SHOP_TEST_TOKEN"}}
            )
            with pytest.raises(ForeignOrigin):
                whole(provider, "orders")
            provider.close()
        assert elsewhere.calls == []


def test_parameters_reach_the_server() -> None:
    """The resource's own parameters and the job's are sent, the job's laid over."""
    with scripted(at_once) as server:
        provider = provider_at(
            server.url, {"records": "data", "paging": {"rule": "none"}, "params": {"limit": 100, "archived": False, "state": "open"}}
        )
        whole(provider, "orders", state="all")
        provider.close()
        assert server.calls[0].query == {"limit": "100", "archived": "false", "state": "all"}


@pytest.fixture
def items() -> Any:
    """A server of single items: found, wrapped, gone for good, deleted by a flag, forbidden, broken, and 404 for all others."""

    def serve(call: Call) -> Answer:
        key = call.path.rsplit("/", 1)[1]
        return {
            "a%2Fb": Answer({"order": {"id": "a/b", "amount": 1}, "state": "live"}),
            "gone": Answer({"error": "gone"}, status=410),
            "dead": Answer({"order": {"id": "dead"}, "state": "deleted"}),
            "secret": Answer({"error": "no"}, status=403),
            "broken": Answer(b"<html>", status=200),
        }.get(key, Answer({"error": "not found"}, status=404))

    with scripted(serve) as server:
        yield server


def test_a_read_by_id_says_what_it_proves(items: Scripted) -> None:
    """Found, deleted (410, or by the declared flag), not found, forbidden and unknown are told apart, each key answered once."""
    provider = provider_at(
        items.url,
        {
            "records": "data",
            "paging": {"rule": "none"},
            "get": "orders/{key}",
            "get_record": "order",
            "deleted": {"at": "state", "is": "deleted"},
        },
        tries=1,
    )
    keys = ["a/b", "gone", "dead", "secret", "broken", "other"]
    answers = {answer.key: answer for answer in provider.get_many("orders", keys, clock=SystemClock())}
    provider.close()
    assert {key: answer.status for key, answer in answers.items()} == {
        "a/b": LookupStatus.FOUND,
        "gone": LookupStatus.DELETED,
        "dead": LookupStatus.DELETED,
        "secret": LookupStatus.FORBIDDEN,
        "broken": LookupStatus.UNKNOWN,
        "other": LookupStatus.NOT_FOUND,
    }
    item = answers["a/b"].item
    assert item is not None
    assert json.loads(item) == {"id": "a/b", "amount": 1}


def test_what_is_none_of_the_resources_is_left_out_and_counted() -> None:
    """Items that hold what `without` names are not on the page, which says how many they were; a read by id of one does not find it."""
    calls = [{"id": "1"}, {"id": "2", "pull": {"url": "x"}}, {"id": "3", "pull": None}]

    def serve(call: Call) -> Answer:
        key = call.path.rsplit("/", 1)[1]
        return Answer({"data": calls} if key == "orders" else calls[int(key) - 1])

    with scripted(serve) as server:
        provider = provider_at(server.url, {"records": "data", "paging": {"rule": "none"}, "get": "orders/{key}", "without": "pull"})
        (page,) = provider.fetch(Listing(resource="orders"))
        statuses = [answer.status for answer in provider.get_many("orders", ["1", "2", "3"], clock=SystemClock())]
        provider.close()
    assert ([json.loads(item)["id"] for item in page.items], page.left_out) == (["1", "3"], 1)
    assert statuses == [LookupStatus.FOUND, LookupStatus.NOT_FOUND, LookupStatus.FOUND]


@pytest.mark.parametrize(
    ("merged", "status"),
    [("7;8", LookupStatus.DELETED), (["7"], LookupStatus.DELETED), ("77;8", LookupStatus.UNKNOWN), (None, LookupStatus.UNKNOWN)],
)
def test_what_was_merged_away_is_deleted(merged: Any, status: LookupStatus) -> None:
    """An answer that bears another key proves nothing, unless it says itself that it took the place of the one asked for."""
    with scripted(lambda _: Answer({"id": "9", "merged": merged})) as server:
        provider = provider_at(
            server.url, {"records": "data", "paging": {"rule": "none"}, "get": "orders/{key}", "merged": "merged"}, concurrency=1
        )
        (answer,) = provider.get_many("orders", ["7"], clock=SystemClock())
        provider.close()
    assert answer.status is status


def test_a_404_of_the_list_is_no_empty_list() -> None:
    """A list that answers 404 stops the fetch."""
    with scripted(lambda _: Answer({"error": "not found"}, status=404)) as server:
        provider = provider_at(server.url, {"records": "data", "paging": {"rule": "none"}})
        with pytest.raises(ProviderError, match="404"):
            whole(provider, "orders")
        provider.close()


def test_link_pages_come_from_the_template() -> None:
    """A report's link has the key in it, percent-encoded; a resource without a template has none."""
    provider = provider_at(
        "http://127.0.0.1:9", {"records": "data", "paging": {"rule": "none"}, "link": "https://admin.shop.example/orders/{key}"}
    )
    assert provider.link("orders", "a/b c") == "https://admin.shop.example/orders/a%2Fb%20c"
    plain = provider_at("http://127.0.0.1:9", {"records": "data", "paging": {"rule": "none"}})
    assert plain.link("orders", "a") is None
