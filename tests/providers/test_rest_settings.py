"""Rest: what recon.toml may say, and what it says back when it is wrong."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from providers.rest import RULES, Rest, read_resource
from recon.errors import BadSetting
from recon.fetch.classify import Action, Rule
from recon.fetch.narrowing import Batch, PageSize, Shards
from recon.fetch.paging import CursorInBody, LastId, LinkHeader, NextUrlInBody, NextUrlInHeader, Offset, PageNumber, Single
from recon.fetch.rate import Rate
from recon.section import Section
from tests.providers.sections import section

DOCS = Path(__file__).resolve().parents[2] / "docs" / "providers.md"
GOOD = {"path": "orders", "records": "data", "paging": {"rule": "none"}}


def table(**table: Any) -> Section:
    """`[providers.shop.resources.orders]` with these keys."""
    return section("providers.shop.resources.orders", table)


@pytest.mark.parametrize(
    ("paging", "built"),
    [
        ({"rule": "none"}, Single()),
        ({"rule": "single"}, Single()),
        ({"rule": "cursor", "param": "after", "at": "next", "more": "more"}, CursorInBody(param="after", at="next", more="more")),
        ({"rule": "cursor", "param": "after", "at": "next", "end": "absent"}, CursorInBody(param="after", at="next", end="absent")),
        ({"rule": "last_id", "param": "starting_after"}, LastId(param="starting_after", more="has_more")),
        ({"rule": "next_url", "at": "links.next"}, NextUrlInBody(at="links.next")),
        ({"rule": "next_header", "header": "X-Next", "end": "absent"}, NextUrlInHeader(header="X-Next", end="absent")),
        ({"rule": "link", "rel": "next"}, LinkHeader(rel="next")),
        ({"rule": "link", "end": "single"}, LinkHeader(end="single")),
        ({"rule": "page", "total_pages": "pages"}, PageNumber(total_pages="pages")),
        (
            {"rule": "page", "param": "p", "size_param": "s", "size": 50, "start": 0, "more": "more"},
            PageNumber(param="p", size_param="s", size=50, start=0, more="more"),
        ),
        ({"rule": "page", "end": "empty"}, PageNumber(end="empty")),
        (
            {"rule": "offset", "param": "skip", "limit_param": "take", "size": 10, "total": "count"},
            Offset(param="skip", limit_param="take", size=10, total="count"),
        ),
    ],
)
def test_each_rule_is_built_as_it_is_written(paging: dict[str, Any], built: object) -> None:
    """Every rule of recon.toml becomes the paginator that it names, with each key in its place."""
    assert read_resource(table(**{**GOOD, "paging": paging})).paging == built


def test_every_rule_is_documented_and_tried() -> None:
    """docs/providers.md has a worked example of every rule (`single` is another word for `none`)."""
    shown = set(re.findall(r'paging = \{ rule = "(\w+)"', DOCS.read_text(encoding="utf-8")))
    assert shown == set(RULES) - {"single"}


@pytest.mark.parametrize("example", re.findall(r"```toml\n(\[providers\..*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL))
def test_the_docs_examples_load(example: str) -> None:
    """Each TOML block of docs/providers.md is a provider as it stands there."""
    ((name, settings),) = tomllib.loads(example)["providers"].items()
    provider = Rest(section(f"providers.{name}", settings))
    assert list(provider.resources()) == list(settings["resources"])
    assert provider.name == name
    provider.close()


def test_what_a_resource_may_say() -> None:
    """All keys of a resource end where HTTPProvider reads them."""
    resource = read_resource(
        table(
            **GOOD,
            key="meta.id",
            get="orders/{key}",
            get_record="order",
            get_params={"expand": "all"},
            params={"limit": 100, "archived": False},
            deleted={"at": "state", "is": "gone"},
            total="count",
            link="https://admin.example/{key}",
        )
    )
    assert (resource.key, resource.get, resource.get_record, resource.get_params) == ("meta.id", "orders/{key}", "order", {"expand": "all"})
    assert (resource.params, resource.deleted, resource.total) == ({"limit": 100, "archived": False}, ("state", "gone"), "count")
    assert resource.link == "https://admin.example/{key}"


def test_deleted_is_true_unless_said_otherwise() -> None:
    """`deleted = { at = "deleted" }` means that the value there is true."""
    assert read_resource(table(**GOOD, get="orders/{key}", deleted={"at": "deleted"})).deleted == ("deleted", True)


HERE = "recon.toml [providers.shop.resources.orders"
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"path": None}, f"{HERE}] path: is missing", ""),
    ({"path": " "}, f"{HERE}] path: is empty", ""),
    ({"path": 7}, f"{HERE}] path: wants a text, not int 7", ""),
    ({"records": None}, f"{HERE}] records: is missing", "dotted path of the array"),
    ({"recrods": "data"}, f"{HERE}] recrods: is not a setting", "did you mean 'records'?"),
    ({"records": None, "recrods": "data"}, f"{HERE}] records: is missing", "there is 'recrods': did you mean 'records'?"),
    ({"paging": None}, f"{HERE}] paging: is missing", "a rule is never guessed"),
    ({"paging": "link"}, f"{HERE}] paging: is a table", 'write paging = { rule = "link" }'),
    ({"paging": {}}, f"{HERE}.paging] rule: is missing", ""),
    ({"paging": {"rule": "lastid"}}, f"{HERE}.paging] rule: 'lastid' is none of none, single, cursor", "did you mean 'last_id'?"),
    ({"paging": {"rule": "last_id"}}, f"{HERE}.paging] param: is missing", ""),
    ({"paging": {"rule": "cursor", "param": "c"}}, f"{HERE}.paging] at: is missing", ""),
    ({"paging": {"rule": "next_url", "at": "n", "end": "empty"}}, f"{HERE}.paging] end: 'empty' is none of marker, absent", ""),
    ({"paging": {"rule": "next_header", "haeder": "X"}}, f"{HERE}.paging] header: is missing", "there is 'haeder': did you mean 'header'?"),
    ({"paging": {"rule": "link", "erl": "next"}}, f"{HERE}.paging] erl: is not a setting", "did you mean 'rel'?"),
    ({"paging": {"rule": "page"}}, f"{HERE}] paging: one end marker is wanted", ""),
    ({"paging": {"rule": "page", "total": "a", "more": "b"}}, f"{HERE}] paging: one end marker is wanted", ""),
    ({"paging": {"rule": "page", "total": "a", "size": 5}}, f"{HERE}.paging] size: goes together with size_param", ""),
    ({"paging": {"rule": "offset", "total": "a", "limit_param": "l"}}, f"{HERE}.paging] size: goes together with limit_param", ""),
    ({"paging": {"rule": "offset", "total": "a", "limit_param": "l", "size": 0}}, f"{HERE}.paging] size: is 0, at least 1", ""),
    ({"paging": {"rule": "none", "size": 5}}, f"{HERE}.paging] size: is not a setting", ""),
    ({"get": "orders"}, f"{HERE}] get: is 'orders', which has no {{key}} in it", 'get = "orders/{key}"'),
    ({"link": "https://x.example"}, f"{HERE}] link: is 'https://x.example', which has no {{key}}", ""),
    ({"get_record": "order"}, f"{HERE}] get_record: says something of a read by id", ""),
    ({"deleted": {"at": "x"}}, f"{HERE}] deleted: says something of a read by id", ""),
    ({"get": "o/{key}", "deleted": {"is": True}}, f"{HERE}.deleted] at: is missing", ""),
    ({"get": "o/{key}", "deleted": {"at": "x", "iss": 1}}, f"{HERE}.deleted] iss: is not a setting", "did you mean 'is'?"),
    ({"get": "o/{key}", "deleted": True}, f"{HERE}] deleted: wants a table", ""),
    ({"params": {"since": tomllib.loads("t = 2026-01-01")["t"]}}, f"{HERE}] params.since: wants a text", "write a time as a text"),
    ({"params": {"ids": [1]}}, f"{HERE}] params.ids: wants a text, a number, true or false, not list", ""),
    ({"key": "a..b"}, f"{HERE}]: 'a..b' is no dotted path", ""),
    ({"records": "", "paging": {"rule": "last_id", "param": "a"}}, f'{HERE}]: records="" says that the body is the array itself', ""),
]


@pytest.mark.parametrize(("changes", "message", "hint"), WRONG, ids=[message.split("orders")[1][:60] for _, message, _ in WRONG])
def test_a_wrong_setting_names_file_table_and_key(changes: dict[str, Any], message: str, hint: str) -> None:
    """Each mistake is refused with the place of the key, what is wanted there, and the near miss where there is one."""
    settings = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    with pytest.raises(BadSetting) as caught:
        read_resource(table(**settings))
    assert caught.value.message.startswith(message)
    assert hint in (caught.value.hint or "")


PARTS: dict[str, Any] = {
    "get": "orders/{key}",
    "page_size": {"param": "limit", "size": 200, "least": 10},
    "batch": {"path": "search", "body": {"ids": "{keys}"}, "records": "data", "size": 50},
    "cursor_age": "5m",
    "passes": 2,
    "parallel": 3,
    "shards": {"param": "region", "values": ["eu", "us"], "at": "region"},
}


def test_how_a_list_is_narrowed_ends_where_it_is_read() -> None:
    """The keys of parts, sizes, batches, cursors and passes, as HTTPProvider reads them."""
    resource = read_resource(table(**{**GOOD, **PARTS}))
    assert resource.size == PageSize(param="limit", size=200, least=10)
    assert resource.batch == Batch(path="search", body={"ids": "{keys}"}, records="data", size=50)
    assert (resource.cursor_age, resource.passes, resource.parallel) == (300.0, 2, 3)
    assert resource.shards == Shards(param="region", values=("eu", "us"), at="region")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"page_size": 50}, f"{HERE}] page_size: is a table"),
        ({"page_size": {"param": "limit", "size": 5, "least": 9}}, f"{HERE}.page_size] least: is 9, and size is 5"),
        (
            {"paging": {"rule": "offset", "limit_param": "n", "size": 9, "total": "t"}, "page_size": {"param": "n", "size": 5}},
            f"{HERE}] page_size: says what size in paging says already",
        ),
        ({"body": {"a": 1}}, f"{HERE}] body: is a document, which a list by GET is not asked for with"),
        ({"batch": {"path": "s", "records": "", "size": 9}}, f"{HERE}] batch: wants exactly one of param"),
        ({"batch": {"path": "s", "records": "", "size": 9, "body": {"ids": []}}}, f'{HERE}.batch] body: has no "{{keys}}" in it'),
        ({"batch": PARTS["batch"], "get": None}, f"{HERE}] batch: says something of a read by id"),
        ({"cursor_age": "soon"}, f"{HERE}] cursor_age: "),
        ({"passes": 0}, f"{HERE}] passes: "),
        ({"etags": "yes"}, f"{HERE}] etags: "),
        ({"etags": True, "passes": 1}, f"{HERE}]: etags spare what a further pass need not send again, and this list is passed over once"),
        ({"paging": {"rule": "offset", "total": "t", "overlap": -1}}, f"{HERE}.paging] overlap: "),
    ],
    ids=str,
)
def test_a_wrong_word_on_narrowing_names_file_table_and_key(changes: dict[str, Any], message: str) -> None:
    """Each is refused with the place of the key and what is wanted there."""
    settings = {key: value for key, value in {**GOOD, "get": "orders/{key}", **changes}.items() if value is not None}
    with pytest.raises(BadSetting) as caught:
        read_resource(table(**settings))
    assert caught.value.message.startswith(message)


def test_a_provider_without_resources_is_refused() -> None:
    """`type = "rest"` with nothing to fetch says what to add."""
    with pytest.raises(BadSetting, match=r"recon\.toml \[providers\.shop\] resources: declares nothing to fetch") as caught:
        Rest(section("providers.shop", {"type": "rest", "base_url": "https://api.shop.example/"}))
    assert "[providers.shop.resources.orders]" in (caught.value.hint or "")


def test_a_resource_that_is_no_table_is_refused() -> None:
    """A resource written as a text names its own place."""
    settings = {"type": "rest", "base_url": "https://api.shop.example/", "resources": {"orders": "orders"}}
    with pytest.raises(BadSetting, match=r"\[providers\.shop\.resources\] orders: wants a table"):
        Rest(section("providers.shop", settings))


def test_an_unknown_key_of_the_provider_is_refused() -> None:
    """A misspelt key beside the resources is refused with its near miss."""
    settings = {"type": "rest", "base_ulr": "x", "base_url": "https://api.shop.example/", "resources": {"orders": GOOD}}
    with pytest.raises(BadSetting, match=r"\[providers\.shop\] base_ulr: is not a setting") as caught:
        Rest(section("providers.shop", settings))
    assert caught.value.hint == "did you mean 'base_url'?"


def rest(**settings: Any) -> Rest:
    """A provider of one resource with these keys beside it."""
    made = Rest(section("providers.shop", {"base_url": "https://api.shop.example/", "resources": {"orders": GOOD}, **settings}))
    made.close()
    return made


def test_rates_are_one_or_several() -> None:
    """A table is one rate; a list of them hold together, each for the account or for each endpoint."""
    assert rest().rate is None
    assert rest(rate={"requests": 190, "per": "10s"}).rate == Rate(requests=190, per=10)
    assert rest(rate=[{"requests": 100}, {"requests": 25, "per": 1, "each": "endpoint"}]).rate == (
        Rate(requests=100),
        Rate(requests=25, each="endpoint"),
    )


def test_what_answers_mean_is_declared_in_order() -> None:
    """Status or statuses, a header with or without its value, words of the body, and what to do."""
    rules = rest(
        classify=[
            {"status": 403, "body": "rate limit", "do": "throttle"},
            {"status": [500, 502], "header": {"name": "X-Final"}, "do": "give up"},
            {"header": {"name": "X-Reason", "is": "busy"}, "do": "retry", "wait": "1m"},
        ]
    ).classify
    assert rules == (
        Rule(statuses=frozenset({403}), body="rate limit", do=Action.THROTTLE),
        Rule(statuses=frozenset({500, 502}), header=("X-Final", None), do=Action.GIVE_UP),
        Rule(header=("X-Reason", "busy"), do=Action.RETRY, wait=60.0),
    )


SHOP = "recon.toml [providers.shop"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 5}, f"{SHOP}] rate: wants a table or a list of tables"),
        ({"rate": []}, f"{SHOP}] rate: wants a table or a list of tables"),
        ({"rate": {"requests": 0}}, f"{SHOP}.rate] requests: rate of 0 requests per 1.0 s: both must be above 0"),
        ({"rate": {"requests": 5, "pre": 1}}, f"{SHOP}.rate] pre: is not a setting"),
        ({"rate": {"requests": 5, "each": "page"}}, f"{SHOP}.rate] each: 'page' is none of account, endpoint"),
        ({"rate": [{"requests": 5}, {"request": 5}]}, f"{SHOP}.rate 2] requests: is missing"),
        ({"classify": {"status": 403, "do": "retry"}}, f"{SHOP}] classify: wants a list of tables"),
        ({"classify": [{"status": 403}]}, f"{SHOP}.classify] do: is missing"),
        ({"classify": [{"status": 403, "do": "wait"}]}, f"{SHOP}.classify] do: 'wait' is none of retry, throttle"),
        ({"classify": [{"do": "retry"}]}, f"{SHOP}.classify] do: stands alone"),
        ({"classify": [{"status": 200, "do": "retry"}]}, f"{SHOP}.classify] status: 200 alone would fit every page"),
        ({"classify": [{"status": "403", "do": "retry"}]}, f"{SHOP}.classify] status: wants a status such as 403"),
        ({"classify": [{"status": 403, "do": "give up", "wait": "1m"}]}, f"{SHOP}.classify] wait: says when to ask again"),
        ({"classify": [{"status": 403, "body": " ", "do": "retry"}]}, f"{SHOP}.classify] body: is empty"),
        ({"classify": [{"status": 403, "header": {"is": "x"}, "do": "retry"}]}, f"{SHOP}.classify.header] name: is missing"),
        ({"retry_share": 2}, f"{SHOP}] retry_share: is 2.0, a number from 0 to 1 is wanted"),
    ],
)
def test_a_wrong_rate_or_rule_names_its_place(settings: dict[str, Any], message: str) -> None:
    """Each mistake in the provider's own table is refused where it stands."""
    with pytest.raises(BadSetting) as caught:
        rest(**settings)
    assert caught.value.message.startswith(message)
