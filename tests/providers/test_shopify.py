"""Shopify: exports and pages, what proves them whole, and what the app may not see."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from providers.shopify import HIDDEN, KINDS, Shopify, bulk_query
from recon.clock import SystemClock
from recon.errors import BadSetting, CursorExpired, InvalidPage, Refused, Unreachable
from recon.fetch.page import LookupStatus, Page
from recon.fetch.partition import Partition
from recon.fetch.quota import Points
from recon.fetch.session import Session
from recon.provider import Listing
from tests.providers.graphql_table import shopify
from tests.providers.listing import whole
from tests.servers.graphql_shop import CLIENT_SECRET, Answer, Asked, Shop, graphql_shop, order

ORDERS = [order(1), order(2, items=0), order(3, items=12), *(order(n) for n in range(4, 31))]
NAMES = [f"#{n}" for n in range(1, 31)]


@pytest.fixture
def shop() -> Iterator[Shop]:
    """Thirty orders, the third of which has a dozen items."""
    with graphql_shop(orders=ORDERS) as running:
        yield running


def names(pages: list[Page]) -> list[str]:
    """The names of the orders on these pages."""
    return [json.loads(item)["name"] for page in pages for item in page.items]


def mutations(shop: Shop) -> list[Asked]:
    """The requests that began an export."""
    return [asked for asked in shop.asked if asked.query.startswith("mutation")]


def fetched(provider: Shopify, resume: Any = None) -> tuple[list[Page], Exception | None]:
    """The pages of the orders, and the error that ended them."""
    pages: list[Page] = []
    try:
        pages.extend(iter_into(pages, provider, resume))
    except Exception as error:  # which one it is, the test says
        return pages, error
    return pages, None


def iter_into(pages: list[Page], provider: Shopify, resume: Any) -> list[Page]:
    """Keeps every page that came before an error."""
    for page in provider.fetch(Listing(resource="orders", resume=resume)):
        pages.append(page)  # noqa: PERF402 - what came before an error is kept
    return []


def test_an_export_is_read_whole(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty orders come by one operation, children gathered into their parents, and the proof names the counts that were held against it."""
    provider = shopify(shop, monkeypatch)
    records, end = whole(provider, "orders")
    provider.close()
    assert [record["name"] for record in records] == NAMES
    assert [len(record["lineItems"]) for record in records[:4]] == [2, 0, 12, 2]
    assert "__parentId" not in json.dumps(records)
    assert records[0]["totalPriceSet"]["shopMoney"] == {"amount": "1.50", "currencyCode": "EUR"}
    assert (
        end.proof
        == f"the bulk export gid://shopify/BulkOperation/1 is COMPLETED: 30 records, 98 objects, {len(shop.exports[0].file):,} bytes, all as it says"
    )
    assert len(mutations(shop)) == 1


def test_export_pages_and_reads_by_id_give_the_same_records(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever way a record comes, it is the same JSON."""
    exported, paged = shopify(shop, monkeypatch), shopify(shop, monkeypatch, bulk=False)
    by_export, by_page = whole(exported, "orders")[0], whole(paged, "orders")[0]
    by_id = [json.loads(answer.item or b"") for answer in paged.get_many("orders", [row["id"] for row in ORDERS], clock=SystemClock())]
    exported.close()
    paged.close()
    assert by_export == by_page == by_id


def test_no_credential_goes_where_the_files_are(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's host is asked without the token, and it must be a declared one."""
    provider = shopify(shop, monkeypatch)
    whole(provider, "orders")
    provider.close()
    assert shop.downloads
    assert all(shop.token not in json.dumps(headers) for headers in shop.downloads)
    elsewhere = shopify(shop, monkeypatch, downloads=["https://storage.googleapis.com"])
    _, error = fetched(elsewhere)
    elsewhere.close()
    assert type(error).__name__ == "ForeignOrigin"
    assert "s3cret" not in str(error)


def test_an_export_of_nothing_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop without orders gives an operation without a file: whole, and empty."""
    with graphql_shop() as shop:
        provider = shopify(shop, monkeypatch)
        records, end = whole(provider, "orders")
        provider.close()
    assert records == []
    assert "holds nothing" in end.proof


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"spoil": lambda file: file[: file.rindex(b"\n", 0, -1) + 1]}, "objectCount is 98, and 97 came"),
        ({"spoil": lambda file: file[:-9]}, "fileSize is"),
        ({"said": {"objectCount": "99"}}, "objectCount is 99, and 98 came"),
        ({"said": {"rootObjectCount": "31"}}, "rootObjectCount is 31, and 30 came"),
        ({"said": {"fileSize": "17"}}, "fileSize is 17"),
        ({"said": {"objectCount": "many"}}, "state cannot be read"),
    ],
)
def test_a_file_that_is_not_what_the_operation_says_is_not_whole(
    fault: dict[str, Any], words: str, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file cut at a line's end, cut anywhere, or with other counts than the operation's, never ends the listing."""
    for name, value in fault.items():
        setattr(shop, name, value)
    provider = shopify(shop, monkeypatch)
    pages, error = fetched(provider)
    provider.close()
    assert isinstance(error, InvalidPage)
    assert words in str(error)
    assert all(page.end is None for page in pages)


def test_part_of_the_data_is_part_of_the_data(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FAILED operation's partialDataUrl gives its records, and then no end but the reason; asked again from there it says the same at once."""
    shop.ends, shop.error_code, shop.partial = "FAILED", "TIMEOUT", True
    provider = shopify(shop, monkeypatch)
    pages, error = fetched(provider)
    assert isinstance(error, InvalidPage)
    assert names(pages) == NAMES
    assert "FAILED (TIMEOUT)" in str(error)
    again, error = fetched(provider, resume=pages[-1].next)
    provider.close()
    assert (again, type(error)) == ([], InvalidPage)
    assert len(shop.downloads) == 1


@pytest.mark.parametrize(
    ("ends", "code", "error"),
    [
        ("FAILED", "INTERNAL_SERVER_ERROR", CursorExpired),
        ("FAILED", "ACCESS_DENIED", Refused),
        ("CANCELED", None, CursorExpired),
        ("EXPIRED", None, CursorExpired),
    ],
)
def test_an_operation_that_came_to_nothing(
    ends: str, code: str | None, error: type[Exception], shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operation that failed, was cancelled or ran out is begun anew (CursorExpired), one for want of a right is refused."""
    shop.ends, shop.error_code = ends, code
    provider = shopify(shop, monkeypatch)
    pages, raised = fetched(provider)
    provider.close()
    assert isinstance(raised, error)
    assert ends in str(raised)
    assert names(pages) == []


@pytest.mark.parametrize("number", [0, 1])
def test_a_killed_fetch_goes_on_with_its_own_operation(number: int, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """From either of the first two checkpoints a new process takes up the operation that was begun, and begins no second one."""
    provider = shopify(shop, monkeypatch)
    reading = provider.fetch(Listing(resource="orders"))
    early = [next(reading), next(reading)]
    provider.close()
    other = shopify(shop, monkeypatch)
    pages, error = fetched(other, resume=json.loads(json.dumps(early[number].next)))
    other.close()
    assert error is None
    assert names(pages) == NAMES
    assert len(shop.exports) == len(mutations(shop)) == 1


def test_an_export_goes_on_from_the_middle_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the checkpoint between two pages of the file only the rest of it is asked for, and its counts still hold."""
    with graphql_shop(orders=[order(n, items=1) for n in range(1, 1501)]) as shop:
        provider = shopify(shop, monkeypatch)
        reading = provider.fetch(Listing(resource="orders"))
        first = [next(reading) for _ in range(3)]
        provider.close()
        other = shopify(shop, monkeypatch)
        pages, error = fetched(other, resume=json.loads(json.dumps(first[-1].next)))
        other.close()
        assert error is None
        assert names(first) + names(pages) == [f"#{n}" for n in range(1, 1501)]
        assert len(names(first)) == 1000
        assert shop.downloads[-1]["range"].startswith("bytes=")


def test_a_lost_answer_starts_no_second_export(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the mutation was done and its answer lost, the operation is found by its mark; the mutation is sent once."""
    shop.after = lambda asked, answer: Answer(200, b"", drop=True) if asked.query.startswith("mutation") else answer
    provider = shopify(shop, monkeypatch)
    pages, error = fetched(provider)
    provider.close()
    assert error is None
    assert names(pages) == NAMES
    assert len(shop.exports) == len(mutations(shop)) == 1


def test_a_mutation_that_never_arrived_is_sent_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no operation bears the mark the mutation is sent a second time; after three that were lost the fetch ends."""
    drops = iter([True])
    shop.before = lambda asked: Answer(200, b"", drop=True) if asked.query.startswith("mutation") and next(drops, False) else None
    provider = shopify(shop, monkeypatch)
    pages, error = fetched(provider)
    assert (error, names(pages), len(mutations(shop))) == (None, NAMES, 2)
    shop.before = lambda asked: Answer(200, b"", drop=True) if asked.query.startswith("mutation") else None
    _, error = fetched(provider)
    provider.close()
    assert isinstance(error, Unreachable)
    assert len(mutations(shop)) == 5


def test_somebody_elses_operations_are_waited_for(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """While others hold every place the export waits for one, and takes it when it is there."""
    shop.foreign = 1

    def released(asked: Asked, answer: Answer) -> Answer:
        shop.foreign = 0 if len(mutations(shop)) >= 2 else 1
        return answer

    shop.after = released
    provider = shopify(shop, monkeypatch, bulk_busy=5)
    pages, error = fetched(provider)
    provider.close()
    assert (error, names(pages)) == (None, NAMES)
    assert len(shop.exports) == 1


def test_the_list_is_read_by_pages_where_no_place_comes_free(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Past bulk_busy the list is read page by page instead, and the log says so; such a fetch goes on by its cursor."""
    shop.foreign = 1
    provider = shopify(shop, monkeypatch)
    with caplog.at_level(logging.WARNING):
        pages, error = fetched(provider)
    provider.close()
    assert (error, names(pages), shop.exports) == (None, NAMES, [])
    assert "read page by page instead" in caplog.text
    assert pages[-1].end is not None
    assert "hasNextPage = false" in pages[-1].end.proof


def test_an_export_that_takes_too_long_is_gone_on_with_later(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past bulk_wait the fetch ends with Unreachable, and its checkpoint leads to the same operation."""
    shop.polls = 10_000
    provider = shopify(shop, monkeypatch, bulk_wait=0.1)
    pages, error = fetched(provider)
    assert isinstance(error, Unreachable)
    assert "still runs" in str(error)
    shop.exports[0].polls = 1
    again, error = fetched(provider, resume=pages[-1].next)
    provider.close()
    assert (error, names(again), len(shop.exports)) == (None, NAMES, 1)


@pytest.mark.parametrize("bulk", [True, False])
def test_orders_older_than_sixty_days_are_never_told_missing(bulk: bool, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without read_all_orders all that is visible is read, no end is proven, and an order that is null by id is unknown."""
    shop.scopes = ["read_orders"]
    provider = shopify(shop, monkeypatch, bulk=bulk)
    pages, error = fetched(provider)
    assert isinstance(error, Refused)
    assert str(error) == HIDDEN
    assert names(pages) == NAMES
    assert all(page.end is None for page in pages)
    assert provider.scope("orders")["access"] == HIDDEN
    before = len(shop.asked)
    assert fetched(provider, resume=pages[-1].next)[0] == []
    assert len(shop.asked) == before
    (answer,) = provider.get_many("orders", ["gid://shopify/Order/99"], clock=SystemClock())
    provider.close()
    assert answer.status is LookupStatus.UNKNOWN
    assert HIDDEN in answer.why


def test_a_part_within_sixty_days_is_whole_all_the_same(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a list cut by creation only the parts that reach back behind the sixty days are without an end."""
    shop.scopes = ["read_orders"]
    provider = shopify(shop, monkeypatch, bulk=False)
    now = int(SystemClock().now().timestamp())
    recent = list(provider.fetch(Listing(resource="orders", partition=Partition(name="recent", low=now - 86400))))
    provider.close()
    assert recent[-1].end is not None


def test_with_all_rights_null_is_not_found(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """With read_all_orders an order that is null by id is not there; numeric ids are asked for as global ones."""
    provider = shopify(shop, monkeypatch, ids="numeric")
    found, gone = provider.get_many("orders", ["3", "99"], clock=SystemClock())
    assert provider.key_path("orders") == "legacyResourceId"
    provider.close()
    assert (found.status, gone.status) == (LookupStatus.FOUND, LookupStatus.NOT_FOUND)
    assert len(json.loads(found.item or b"")["lineItems"]) == 12
    assert provider.scope("orders")["access"] == "read_all_orders"


def test_another_version_than_was_asked_for_is_no_page(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop that answers by a later version, since ours is out of support, is not read."""
    shop.version = "2027-10"
    provider = shopify(shop, monkeypatch, bulk=False)
    _, error = fetched(provider)
    provider.close()
    assert isinstance(error, InvalidPage)
    assert "answers by version '2027-10'" in str(error)


def test_a_token_that_dies_while_an_export_is_waited_for(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead token ends the fetch with Refused; with a new one it goes on with the same operation."""
    shop.polls = 3

    def dies(asked: Asked, answer: Answer) -> Answer:
        if "bulkOperation(" in asked.query and len(shop.asked) == 3:
            shop.token = "shpat_new"
        return answer

    shop.after = dies
    provider = shopify(shop, monkeypatch)
    pages, error = fetched(provider)
    provider.close()
    assert isinstance(error, Refused)
    assert "401" in str(error)
    assert "shpat_nightly" not in f"{error} {error.hint}"
    other = shopify(shop, monkeypatch)
    again, error = fetched(other, resume=pages[-1].next)
    other.close()
    assert (error, names(again), len(shop.exports)) == (None, NAMES, 1)


def test_a_dead_token_is_said_before_anything_is_written_down(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fetch whose token is not taken ends before its first page, so that nothing looks like the beginning of a list."""
    provider = shopify(shop, monkeypatch)
    shop.token = "shpat_new"
    with pytest.raises(Refused, match="401"):
        next(provider.fetch(Listing(resource="customers")))
    provider.close()


def test_client_credentials_obtain_a_token_and_another_when_it_dies(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app of the Dev Dashboard signs by its client's secret; a token that dies while an export is waited for costs one request."""
    monkeypatch.setenv("SHOPIFY_CLIENT_SECRET", CLIENT_SECRET)
    shop.polls = 2

    def dies(asked: Asked, answer: Answer) -> Answer:
        if "bulkOperation(" in asked.query:
            shop.token = "shpat_new"
        return answer

    shop.after = dies
    provider = shopify(shop, monkeypatch, client_id="app-1")
    pages, error = fetched(provider)
    assert provider.session.mask("of shpat_new, and shpss_nightly") == "of ••••, and ••••"
    provider.close()
    assert (error, names(pages), shop.tokens) == (None, NAMES, 2)


def ungrouped(file: bytes) -> bytes:
    """The same lines, children last."""
    lines = file.splitlines(keepends=True)
    return b"".join(sorted(lines, key=lambda line: b"__parentId" in line))


def broken_child(file: bytes) -> bytes:
    """The same file, the first child's line no JSON."""
    lines = file.splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if b"__parentId" in line)
    return b"".join([*lines[:at], b"x" + lines[at][1:], *lines[at + 1 :]])


def broken_root(file: bytes) -> bytes:
    """The same file, the first order's line no JSON."""
    return b"x" + file[1:]


def test_children_out_of_place_make_no_record(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that does not stand below its parent means that the file is not grouped: nothing of it can be told whole."""
    shop.spoil = ungrouped
    provider = shopify(shop, monkeypatch)
    _, error = fetched(provider)
    provider.close()
    assert isinstance(error, InvalidPage)
    assert "not the object above it" in str(error)


@pytest.mark.parametrize("spoil", [broken_child, broken_root])
def test_a_line_that_cannot_be_read_costs_its_record(spoil: Callable[[bytes], bytes], shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken line makes the order that it belongs to unreadable, never short, and the others are read; the counts still hold."""
    shop.spoil = spoil
    provider = shopify(shop, monkeypatch)
    pages, error = fetched(provider)
    provider.close()
    assert error is None
    assert names(pages) == NAMES[1:]
    (unread,) = [one for page in pages for one in page.unread]
    assert "no valid JSON object" in unread.why


def test_what_is_selected_can_be_chosen(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fields, nested connections and a filter of the settings go into every query, and the filter into the certificate's scope."""
    chosen = {"orders": {"fields": "id legacyResourceId createdAt email", "nested": {}, "filter": "created_at:>='2026-01-01T00:05:00Z'"}}
    provider = shopify(shop, monkeypatch, resources=chosen)
    records, _ = whole(provider, "orders")
    assert (len(records), set(records[0])) == (26, {"id", "legacyResourceId", "createdAt", "email"})
    assert provider.scope("orders")["filters"] == "created_at:>='2026-01-01T00:05:00Z'"
    provider.close()
    paged = shopify(shop, monkeypatch, resources=chosen, bulk=False)
    assert whole(paged, "orders")[0] == records
    paged.close()


def test_doctor_starts_no_export_and_is_told_of_the_rights(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page that doctor looks at comes without an export; a right to write is warned of, and a missing read_all_orders."""
    provider = shopify(shop, monkeypatch)
    assert len(next(provider.sample(Listing(resource="orders"))).items) == 30
    assert provider.warnings() == []
    assert shop.exports == []
    provider.close()
    shop.scopes = ["read_orders", "write_products"]
    other = shopify(shop, monkeypatch)
    hidden, writes = other.warnings()
    other.close()
    assert "read_all_orders" in hidden
    assert "write_products" in writes


def test_the_plan_says_how_fast_before_the_first_answer_does(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account's bucket is expected to hold what comes back in twenty seconds, of which a query may ask for 1,000; without a plan nothing is."""
    expected: list[Points] = []
    monkeypatch.setattr(Session, "expect", lambda _, points: expected.append(points))
    for plan in ({}, {"plan": "standard"}, {"plan": "plus"}):
        shopify(shop, monkeypatch, **plan).close()
    assert [(one.capacity, one.restored, one.cost) for one in expected] == [(2000, 100, 1000), (20000, 1000, 1000)]


def test_links_lead_to_the_admin(monkeypatch: pytest.MonkeyPatch) -> None:
    """An order, a customer and a product have a page by their number; an inventory item has none."""
    provider = shopify(Shop(url="http://127.0.0.1:1"), monkeypatch)
    assert provider.link("orders", "gid://shopify/Order/17") == "https://admin.shopify.com/store/acme/orders/17"
    assert provider.link("customers", "17") == "https://admin.shopify.com/store/acme/customers/17"
    assert provider.link("inventory_items", "17") is None
    provider.close()


def test_every_list_is_declared_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each list selects what tells its objects apart, has a query by id, and its export carries no size of a page."""
    provider = shopify(Shop(url="http://127.0.0.1:1"), monkeypatch)
    for name, kind in KINDS.items():
        assert provider.can_get(name)
        assert "legacyResourceId" in kind.fields
        assert "first" not in bulk_query(kind)
    provider.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shop": "https://acme.myshopify.com"}, "shop: is 'https"),
        ({"api_version": "2025-07"}, "api_version: is '2025-07'"),
        ({"api_version": "unstable"}, "api_version: is 'unstable'"),
        ({"token": "shpat_in_the_file"}, "token: a secret is given by reference only"),
        ({"auth": {"bearer": {"env": "X"}}}, "auth: Shopify signs in its own way"),
        ({"client_id": "app-1", "token": {"env": "X"}}, "token: stands beside client_id"),
        ({"downloads": ["http://files.example"]}, "downloads: http://files.example is plain http"),
        ({"downloads": []}, "downloads: names no origin"),
        ({"resources": {"refunds": {}}}, "refunds: is no list"),
        ({"resources": {"orders": {"fields": "id name"}}}, "fields: does not select legacyResourceId"),
        ({"resources": {"orders": {"nested": {"lineItems": {"type": "LineItem", "fields": "sku"}}}}}, "fields: does not select id"),
        (
            {"resources": {"orders": {"nested": {"a": {"type": "LineItem", "fields": "id"}, "b": {"type": "LineItem", "fields": "id"}}}}},
            "nested: has two connections of one type",
        ),
        ({"ids": "names"}, "ids: 'names' is none of"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mistake names its key, and a token written into the file is not repeated."""
    with pytest.raises(BadSetting) as caught:
        shopify(Shop(url="http://127.0.0.1:1"), monkeypatch, **settings)
    assert message in str(caught.value)
    assert "shpat_in_the_file" not in str(caught.value)
