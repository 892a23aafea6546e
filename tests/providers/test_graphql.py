"""type = "graphql": connections read whole, nested ones too, and what is no page though it comes with status 200."""

import json
from pathlib import Path
from typing import Any

import pytest

from recon.clock import SystemClock
from recon.errors import BadSetting, EndlessListing, FilterIgnored, InvalidPage, PageTooLarge, RangeTooWide, Refused, Throttled, Unreachable
from recon.fetch.page import LookupStatus, Page
from recon.fetch.partition import Partition
from recon.provider import Listing, Provider
from tests.providers.graphql_table import ORDERS, edged, graphql
from tests.providers.listing import whole
from tests.servers.graphql_shop import Answer, Asked, Shop, graphql_shop, order


def said(body: Any, status: int = 200) -> Answer:
    """An answer of this body."""
    return Answer(status, json.dumps(body).encode())


def spoilt(change: Any, *, of: int = 1) -> Any:
    """What the shop sends, with the decoded body of its answer number `of` changed."""
    seen = []

    def after(_: Asked, answer: Answer) -> Answer:
        seen.append(answer)
        if len(seen) != of:
            return answer
        body = json.loads(answer.body)
        return said(change(body) or body)

    return after


def pages(provider: Provider, resource: str = "orders", **listing: Any) -> list[Page]:
    """The pages of a listing."""
    return list(provider.fetch(Listing(resource=resource, **listing)))


@pytest.mark.parametrize("form", ["nodes", "edges"])
def test_a_connection_is_read_to_its_end(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """25 orders come in three pages by the cursor of the one before, in either form of Relay's, and hasNextPage = false ends them."""
    with graphql_shop(orders=[order(n) for n in range(1, 26)]) as shop:
        provider = graphql(shop, monkeypatch, edged() if form == "edges" else None)
        records, end = whole(provider, "orders")
        provider.close()
    assert [record["name"] for record in records] == [f"#{n}" for n in range(1, 26)]
    assert end.proof == "data.orders.pageInfo.hasNextPage = false on page 3"
    assert [asked.variables["first"] for asked in shop.asked] == [10, 10, 10]
    assert shop.asked[0].variables["after"] is None
    assert len({asked.variables["after"] for asked in shop.asked}) == 3


def test_a_nested_connection_is_read_to_its_end_and_handed_on_as_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """An order of eleven items, of which the listing brings two, is completed by further requests before it is handed on."""
    with graphql_shop(orders=[order(1), order(2, items=11), order(3, items=0)]) as shop:
        provider = graphql(shop, monkeypatch)
        records, _ = whole(provider, "orders")
        provider.close()
    assert [[item["sku"] for item in record["lineItems"]] for record in records] == [
        ["sku-0", "sku-1"],
        [f"sku-{n}" for n in range(11)],
        [],
    ]
    assert len(shop.asked) == 1 + 3


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda body: body["data"]["order"]["lineItems"]["pageInfo"].pop("hasNextPage"), "does not say whether there is more"),
        (lambda body: body["data"].update(order=None), "could not be read to its end"),
        (lambda body: body.update(errors=[{"message": "lost"}]), "could not be read to its end"),
        (lambda body: body["data"]["order"]["lineItems"]["nodes"].__setitem__(0, None), "null stands where a record"),
        (lambda body: body["data"]["order"]["lineItems"]["pageInfo"].update(endCursor=None), "leads nowhere"),
    ],
)
def test_a_record_whose_nested_list_cannot_be_had_is_unread(change: Any, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One order whose items cannot be read to their end is unreadable, with the reason; never short, and the others are kept."""

    def only_nested(body: Any) -> Any:
        change(body)
        return body

    with graphql_shop(orders=[order(1), order(2, items=11), order(3)], after=spoilt(only_nested, of=2)) as shop:
        provider = graphql(shop, monkeypatch)
        (page,) = pages(provider)
        provider.close()
    assert [json.loads(item)["name"] for item in page.items] == ["#1", "#3"]
    (unread,) = page.unread
    assert why in unread.why
    assert "#2" in unread.raw.decode()


def test_a_nested_cursor_that_comes_twice_is_no_way_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A nested connection that leads to the same cursor again and again makes its record unreadable, after two requests."""
    first: list[str] = []

    def circle(asked: Asked, answer: Answer) -> Answer:
        if "id" not in asked.variables:
            return answer
        body = json.loads(answer.body)
        info = body["data"]["order"]["lineItems"]["pageInfo"]
        first.append(info["endCursor"])
        info.update(hasNextPage=True, endCursor=first[0])
        return said(body)

    with graphql_shop(orders=[order(2, items=11)], after=circle) as shop:
        provider = graphql(shop, monkeypatch)
        (page,) = pages(provider)
        provider.close()
    assert page.items == []
    assert "leads to where an earlier one led" in page.unread[0].why
    assert len(shop.asked) == 3


def test_a_nested_connection_that_nobody_declared_is_never_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a query asks for a nested connection that is not declared, a record whose part goes on is unreadable, the others are as they came."""
    with graphql_shop(orders=[order(1), order(2, items=3)]) as shop:
        provider = graphql(shop, monkeypatch, {"nested": None})
        (page,) = pages(provider)
        provider.close()
    assert [json.loads(item)["name"] for item in page.items] == ["#1"]
    assert "not declared as nested" in page.unread[0].why


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda body: body.update(errors=[{"message": "customers broke"}]), InvalidPage, "answer has errors.*customers broke"),
        (lambda body: body["data"].update(orders=None), InvalidPage, r"no array at 'data\.orders\.nodes'"),
        (
            lambda body: body.update(data=None, errors=[{"message": "no", "extensions": {"code": "ACCESS_DENIED"}}]),
            Refused,
            "ACCESS_DENIED",
        ),
        (lambda body: body["data"]["orders"]["pageInfo"].pop("hasNextPage"), InvalidPage, "hasNextPage is not there"),
        (lambda body: body["data"]["orders"].pop("pageInfo"), InvalidPage, "hasNextPage is not there"),
        (lambda body: body["data"]["orders"]["pageInfo"].update(endCursor=None), InvalidPage, "holds no cursor"),
        (lambda body: body["data"]["orders"]["pageInfo"].update(hasNextPage="true"), InvalidPage, "true or false is wanted"),
    ],
)
def test_what_is_no_page_though_it_comes_with_status_200(
    change: Any, error: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors beside data, null at the connection, no word on a next page: each is an error on page 2, after page 1 was handed on."""

    def changed(body: Any) -> Any:
        change(body)
        return body

    with graphql_shop(orders=[order(n) for n in range(1, 26)], after=spoilt(changed, of=2)) as shop:
        provider = graphql(shop, monkeypatch)
        reading = provider.fetch(Listing(resource="orders"))
        assert len(next(reading).items) == 10
        with pytest.raises(error, match=words) as caught:
            next(reading)
        provider.close()
    assert "page 2" in str(caught.value)


def test_a_repeated_end_cursor_is_an_endless_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that leads to itself ends the fetch with EndlessListing, at once."""

    def same(body: Any) -> Any:
        body["data"]["orders"]["pageInfo"]["endCursor"] = shop.asked[1].variables["after"]
        return body

    with graphql_shop(orders=[order(n) for n in range(1, 41)], after=spoilt(same, of=2)) as shop:
        provider = graphql(shop, monkeypatch)
        with pytest.raises(EndlessListing, match="page 2"):
            pages(provider)
        provider.close()
    assert len(shop.asked) == 2


def test_a_checkpoint_leads_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the checkpoint of page 2, as JSON, the rest comes, and nothing that was there already."""
    with graphql_shop(orders=[order(n) for n in range(1, 26)]) as shop:
        provider = graphql(shop, monkeypatch)
        reading = provider.fetch(Listing(resource="orders"))
        next(reading)
        resume = json.loads(json.dumps(next(reading).next))
        (last,) = pages(provider, resume=resume)
        provider.close()
    assert [json.loads(item)["name"] for item in last.items] == [f"#{n}" for n in range(21, 26)]
    assert last.end is not None
    assert last.end.proof.endswith("on page 3")


def test_a_page_that_costs_too_much_is_asked_for_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """MAX_COST_EXCEEDED halves the page, in a request built anew, until it is cheap enough, and the pages after it are as small."""
    with graphql_shop(orders=[order(n) for n in range(1, 26)], dearest=40.0) as shop:
        provider = graphql(shop, monkeypatch, {"page": 20})
        records, _ = whole(provider, "orders")
        provider.close()
    assert len(records) == 25
    assert [asked.variables["first"] for asked in shop.asked] == [20, 10, *[5] * 5]


def test_a_page_that_cannot_be_made_smaller_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the least page still costs too much, the fetch ends with PageTooLarge."""
    with graphql_shop(orders=[order(1)], dearest=10.0) as shop:
        provider = graphql(shop, monkeypatch, {"page": 8, "least": 4})
        with pytest.raises(PageTooLarge, match="the page is too large for it"):
            pages(provider)
        provider.close()
    assert [asked.variables["first"] for asked in shop.asked] == [8, 4]


def test_points_are_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """With points for six pages, and more only as they come back, ten pages come whole, the rate learned from what each one says it cost."""
    with graphql_shop(orders=[order(n, items=0) for n in range(1, 101)], bucket=80.0, restored=1000.0) as shop:
        provider = graphql(shop, monkeypatch, {"nested": None})
        records, _ = whole(provider, "orders")
        provider.close()
    assert len(records) == 100
    assert provider.meter.throttled <= 1
    assert len(shop.asked) <= 11


def test_a_throttle_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """THROTTLED with status 200 is asked again and counted; past the longest wait it is said."""
    throttled = {"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]}
    answers = iter([said(throttled)])
    with graphql_shop(orders=[order(1)], before=lambda _: next(answers, None)) as shop:
        provider = graphql(shop, monkeypatch)
        assert len(whole(provider, "orders")[0]) == 1
        provider.close()
        assert provider.meter.throttled == 1
        shop.before = lambda _: said(throttled)
        provider = graphql(shop, monkeypatch, tries=1)
        with pytest.raises(Throttled):
            pages(provider)
        provider.close()


def test_a_range_asks_by_its_terms_and_holds_every_row_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of half an hour brings what was created in it; where the server does not honour the terms, FilterIgnored."""
    low = 1767225600 + 600
    part = Partition(name="part", low=low, high=low + 1800)
    with graphql_shop(orders=[order(n) for n in range(1, 61)]) as shop:
        provider = graphql(shop, monkeypatch)
        got = [json.loads(item)["name"] for page in pages(provider, partition=part) for item in page.items]
        assert got == [f"#{n}" for n in range(10, 40)]
        assert shop.asked[0].variables["query"] == "created_at:>='2026-01-01T00:10:00Z' created_at:<'2026-01-01T00:40:00Z'"
        shop.deaf = True
        for outside in (part, Partition(name="above", low=low), Partition(name="below", high=low)):
            with pytest.raises(FilterIgnored, match="createdAt"):
                pages(provider, partition=outside)
        provider.close()


def test_what_cannot_be_paged_through_is_too_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing that goes on past the most that can be paged through ends with RangeTooWide, before the server is asked for more."""
    with graphql_shop(orders=[order(n) for n in range(1, 61)], cap=40) as shop:
        provider = graphql(shop, monkeypatch, {"most": 40})
        with pytest.raises(RangeTooWide, match="no more than 40"):
            pages(provider)
        provider.close()
    assert len(shop.asked) == 4


def test_a_batch_by_id_answers_each_key_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty keys in three queries, in their order: found whole, or null and so not found."""
    with graphql_shop(orders=[order(1, items=5), *(order(n) for n in range(2, 60))]) as shop:
        provider = graphql(shop, monkeypatch)
        keys = [f"gid://shopify/Order/{n}" for n in range(1, 61)]
        answers = list(provider.get_many("orders", keys, clock=SystemClock()))
        provider.close()
    assert [answer.key for answer in answers] == keys
    assert [answer.status for answer in answers] == [LookupStatus.FOUND] * 59 + [LookupStatus.NOT_FOUND]
    assert len(json.loads(answers[0].item or b"")["lineItems"]) == 5
    assert sum("ids" in asked.variables for asked in shop.asked) == 3


def test_one_bad_key_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that the API refuses makes itself unknown, and the seven beside it are read."""
    with graphql_shop(orders=[order(n) for n in range(1, 9)]) as shop:
        provider = graphql(shop, monkeypatch, {"get": None})
        keys = [f"gid://shopify/Order/{n}" for n in range(1, 8)]
        answers = {a.key: a for a in provider.get_many("orders", [*keys, "7"], clock=SystemClock())}
        provider.close()
    assert {answers[key].status for key in keys} == {LookupStatus.FOUND}
    assert answers["7"].status is LookupStatus.UNKNOWN
    assert "Invalid global id" in answers["7"].why


def test_another_item_than_was_asked_for_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer whose nodes stand in another order makes both keys unknown."""

    def swapped(body: Any) -> Any:
        body["data"]["nodes"].reverse()
        return body

    with graphql_shop(orders=[order(1), order(2)], after=spoilt(swapped)) as shop:
        provider = graphql(shop, monkeypatch)
        answers = list(provider.get_many("orders", ["gid://shopify/Order/1", "gid://shopify/Order/2"], clock=SystemClock()))
        provider.close()
    assert [answer.status for answer in answers] == [LookupStatus.UNKNOWN] * 2
    assert "asked for 'gid://shopify/Order/1'" in answers[0].why


def test_single_reads_where_there_is_no_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a query for one item only, each key is asked for alone; an error proves nothing of it."""
    with graphql_shop(orders=[order(1)]) as shop:
        provider = graphql(shop, monkeypatch, {"batch": None})
        one, gone, bad = provider.get_many("orders", ["gid://shopify/Order/1", "gid://shopify/Order/2", "3"], clock=SystemClock())
        provider.close()
    assert (one.status, gone.status, bad.status) == (LookupStatus.FOUND, LookupStatus.NOT_FOUND, LookupStatus.UNKNOWN)


def test_a_dead_token_is_said_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that dies between two pages ends the fetch with Refused, and the message does not hold it."""
    with graphql_shop(orders=[order(n) for n in range(1, 26)]) as shop:
        provider = graphql(shop, monkeypatch)
        reading = provider.fetch(Listing(resource="orders"))
        next(reading)
        dead, shop.token = shop.token, "another"
        with pytest.raises(Refused, match="401") as caught:
            next(reading)
        provider.close()
    assert dead not in f"{caught.value} {caught.value.hint}"


def test_a_connection_that_breaks_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A query only reads, so one whose answer was lost is asked again; where none comes, Unreachable."""
    drops = iter([Answer(200, b"", drop=True)])
    with graphql_shop(orders=[order(1)], before=lambda _: next(drops, None)) as shop:
        provider = graphql(shop, monkeypatch)
        assert len(whole(provider, "orders")[0]) == 1
        provider.close()
        shop.before = lambda _: Answer(200, b"", drop=True)
        provider = graphql(shop, monkeypatch, tries=1)
        with pytest.raises(Unreachable):
            pages(provider)
        provider.close()


def test_a_declared_total_stands_beside_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API's own count, asked for in the same query, is on every page; where it is no count the page is none."""
    query = ORDERS["query"].replace("{ orders(", "{ ordersCount { count } orders(", 1)
    with graphql_shop(orders=[order(n) for n in range(1, 16)]) as shop:
        provider = graphql(shop, monkeypatch, {"query": query, "total": "ordersCount.count"})
        assert [page.total for page in pages(provider)] == [15, 15]
        shop.after = spoilt(lambda body: body["data"].update(ordersCount=None))
        with pytest.raises(InvalidPage, match="the declared total"):
            pages(provider)
        provider.close()


def test_a_query_may_stand_in_a_file_and_a_job_may_narrow_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`query_file` is read from the project's folder; a job's own params are laid over the variables, and a part narrows them further."""
    (tmp_path / "orders.graphql").write_text(ORDERS["query"])
    monkeypatch.chdir(tmp_path)
    own = "created_at:>='2026-01-01T00:05:00Z'"
    part = Partition(name="part", high=1767225600 + 600)
    with graphql_shop(orders=[order(n) for n in range(1, 31)]) as shop:
        provider = graphql(shop, monkeypatch, {"query": None, "query_file": "orders.graphql", "variables": {"query": "created_at:<'2020'"}})
        got = [json.loads(item)["name"] for page in pages(provider, params={"query": own}, partition=part) for item in page.items]
        provider.close()
    assert got == [f"#{n}" for n in range(5, 10)]
    assert shop.asked[0].variables["query"] == f"({own}) created_at:<'2026-01-01T00:10:00Z'"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": None}, "query: is missing"),
        ({"nodes": "orders"}, "is no connection's"),
        ({"query": "{ orders { nodes { id } } }"}, "does not ask for pageInfo"),
        ({"query_file": "orders.graphql"}, "stands beside query_file"),
        ({"query": None, "query_file": "nowhere.graphql"}, "nowhere.graphql: FileNotFoundError"),
        ({"least": 20}, "cannot be made smaller"),
        ({"ranges": {**ORDERS["ranges"], "low": "created_at:>="}}, r"has no \{value\}"),
        ({"ranges": {**ORDERS["ranges"], "start": "soon"}}, "start: is 'soon'"),
        (
            {"nested": {"lineItems": {"query": "{ order { id } }", "nodes": "order.lineItems.nodes"}}},
            "nested lineItems: query does not ask",
        ),
        ({"nested": ["lineItems"]}, "nested: wants a table"),
        ({"batch": {"query": "{ x }", "records": "nodes", "size": 1}}, "size: is 1"),
        ({"nodse": "x"}, "nodse: is not a setting"),
    ],
)
def test_a_wrong_declaration_is_refused(change: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mistake names its table, before anything is asked."""
    with pytest.raises(BadSetting, match=message) as caught:
        graphql(Shop(url="http://127.0.0.1:1"), monkeypatch, change)
    assert "[providers.shop.resources.orders" in str(caught.value)
