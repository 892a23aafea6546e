"""HTTPProvider against a scripted server: whole listings, refusals in words, reads by id."""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from recon.errors import (
    BadRequest,
    BadSetting,
    ForeignOrigin,
    InvalidPage,
    ItemRefused,
    MissingSecret,
    OversizedBody,
    PageTooLarge,
    ProviderError,
    RangeTooWide,
    ReconError,
    Refused,
    Throttled,
    Unreachable,
)
from recon.fetch.coverage import Coverage
from recon.fetch.landing import land
from recon.fetch.page import LookupStatus
from recon.fetch.paging import CursorInBody, LastId, LinkHeader, NextUrlInBody, NextUrlInHeader, Offset, PageNumber, Paginator, Single
from recon.fetch.spool import Spool
from recon.http_provider import HTTPProvider, QueryKey, Rate, Request, Resource
from recon.provider import Listing, Provider
from recon.secret import Secret, SecretRef
from recon.section import Section
from tests.servers.fault_server import Answer, Asked, FaultServer, fault_server, page
from tests.servers.manual_clock import ManualClock

__all__ = ["fault_server"]
KEYS = [f"ch_{n:03d}" for n in range(25)]
TOKEN = "tok-hush/=+1234"


class Shop(HTTPProvider):
    """Ten to a page, after the last id."""

    catalogue: Mapping[str, Resource] = {
        "charges": Resource(
            path="charges", records="data", paging=LastId(param="starting_after"), get="charges/{key}", deleted=("deleted", True)
        )
    }


def section(server: FaultServer, **table: Any) -> Section:
    return Section(
        name="shop", file=Path("recon.toml"), path="providers.shop", table={"base_url": f"{server.url}/v1", **table}, folder=Path()
    )


@pytest.fixture
def shop(fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("SHOP_TOKEN", TOKEN)
    token = SecretRef({"env": "SHOP_TOKEN"}, where="recon.toml [providers.shop] auth", folder=Path())
    made = Shop(section(fault_server, auth={"bearer": token}, timeout=2))
    yield made
    made.close()


def stripe_like(asked: Asked) -> Answer:
    after = asked.query.get("starting_after")
    start = KEYS.index(after) + 1 if after else 0
    rows = [{"id": key} for key in KEYS[start : start + 10]]
    return page({"object": "list", "data": rows, "has_more": start + 10 < len(KEYS)})


def fetched(provider: HTTPProvider, tmp_path: Path, clock: ManualClock | None = None, **params: Any) -> tuple[Coverage, list[str]]:
    spool = Spool.open(tmp_path / "spool")
    try:
        coverage = land(
            provider, Listing(resource="charges", params=params, clock=clock or ManualClock()), spool, clock=clock or ManualClock()
        )
        return coverage, [json.loads(line)["id"] for frame in spool.frames() for line in frame.splitlines()]
    finally:
        spool.close()
        provider.close()


def test_the_provider_is_one() -> None:
    """The class keeps the protocol that the engine works by."""
    assert issubclass(Shop, HTTPProvider)
    assert isinstance(Shop(Section(name="s", file=Path("f"), path="p", table={"base_url": "https://a.example"}, folder=Path())), Provider)


def test_a_listing_is_fetched_whole(fault_server: FaultServer, shop: Shop, tmp_path: Path) -> None:
    """Every item once, the proof, the job's own parameters on every request, the credential on every request."""
    fault_server.on("/v1/charges", stripe_like)
    coverage, ids = fetched(shop, tmp_path, status="all", expand=None, live=True)
    assert ids == KEYS
    assert (coverage.whole, coverage.proof, coverage.pages, coverage.requests) == (True, "has_more = false on page 3", 3, 3)
    assert coverage.bytes > 0
    assert all(
        asked.query["status"] == "all" and asked.query["live"] == "true" and "expand" not in asked.query for asked in fault_server.requests
    )
    assert {asked.headers["authorization"] for asked in fault_server.requests} == {f"Bearer {TOKEN}"}


Serve = Callable[[int, str], Answer]


def by_start(read: Callable[[Mapping[str, str]], int], answer: Serve) -> Callable[[Asked], Answer]:
    return lambda asked: answer(read(asked.query), asked.path)


def rows(start: int) -> list[dict[str, str]]:
    return [{"id": key} for key in KEYS[start : start + 10]]


PAGINGS: dict[str, tuple[Paginator, str, Callable[[Asked], Answer]]] = {
    "cursor": (
        CursorInBody(param="cursor", at="meta.next"),
        "data",
        by_start(
            lambda q: int(q.get("cursor", "0")),
            lambda s, _: page({"data": rows(s), "meta": {"next": str(s + 10) if s + 10 < 25 else None}}),
        ),
    ),
    "next_url": (
        NextUrlInBody(at="next"),
        "data",
        by_start(
            lambda q: int(q.get("from", "0")), lambda s, p: page({"data": rows(s), "next": f"{p}?from={s + 10}" if s + 10 < 25 else None})
        ),
    ),
    "next_header": (
        NextUrlInHeader(header="X-Next"),
        "",
        by_start(lambda q: int(q.get("from", "0")), lambda s, p: page(rows(s), X_Next=f"{p}?from={s + 10}" if s + 10 < 25 else "")),
    ),
    "link": (
        LinkHeader(),
        "",
        by_start(
            lambda q: int(q.get("from", "0")),
            lambda s, p: page(rows(s), LINK=f'<{p}?from={s + 10};v=1,2>; REL="next last"' if s + 10 < 25 else f"<{p}>; rel=first"),
        ),
    ),
    "page": (
        PageNumber(param="page", size_param="per_page", size=5000, total_pages="totalPages"),
        "items",
        by_start(lambda q: int(q["page"]) * 10 - 10, lambda s, _: page({"items": rows(s), "totalPages": 3})),
    ),
    "offset": (
        Offset(limit_param="limit", size=5000, total="header:X-Total-Count"),
        "",
        by_start(lambda q: int(q["offset"]), lambda s, _: page(rows(s), X_Total_Count="25")),
    ),
    "empty": (
        Offset(end="empty"),
        "data",
        by_start(lambda q: int(q["offset"]), lambda s, _: page({"data": rows(s)})),
    ),
    "single": (Single(), "data", lambda _: page({"data": [{"id": key} for key in KEYS]})),
}


@pytest.mark.parametrize("name", PAGINGS)
def test_every_paging_rule_brings_the_whole_listing(fault_server: FaultServer, tmp_path: Path, name: str) -> None:
    """Over a real connection, each rule ends with all items and a proof."""
    paging, records, script = PAGINGS[name]
    fault_server.on("/v1/charges", lambda asked: script(Asked(asked.method, asked.target.replace(";v=1,2", ""), asked.headers)))

    class One(HTTPProvider):
        catalogue: Mapping[str, Resource] = {"charges": Resource(path="charges", records=records, paging=paging)}

    coverage, ids = fetched(One(section(fault_server)), tmp_path)
    turns = 2 if name in {"page", "offset", "empty"} else 1
    assert len(KEYS) * turns <= len(ids) <= len(KEYS) * turns + 3 * turns
    assert sorted(set(ids)) == KEYS
    assert coverage.whole
    assert coverage.records == len(KEYS)


@pytest.mark.parametrize("name", ["next_url", "link"])
@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/v1/charges?from=10",
        "//evil.example/x",
        "http://169.254.169.254/latest",
        "http://127.0.0.1:1/v1",
        "file:///etc/passwd",
    ],
)
def test_a_next_url_on_another_host_gets_no_request(fault_server: FaultServer, tmp_path: Path, name: str, target: str) -> None:
    """The credential goes nowhere that was not declared; what arrived before is not called whole."""
    paging, records, _ = PAGINGS[name]
    fault_server.on(
        "/v1/charges", page(rows(0), Link=f"<{target}>; rel=next") if name == "link" else page({"data": rows(0), "next": target})
    )

    class One(HTTPProvider):
        catalogue: Mapping[str, Resource] = {"charges": Resource(path="charges", records=records, paging=paging)}

    with pytest.raises(ForeignOrigin, match="is not followed"):
        fetched(One(section(fault_server)), tmp_path)
    assert len(fault_server.requests) == 1


FAULTS: list[tuple[Answer, type[ReconError], str]] = [
    (
        Answer(pieces=[b"<html><head><title>Login</title></head>"], headers={"Content-Type": "text/html"}),
        InvalidPage,
        "an HTML page titled 'Login'",
    ),
    (page({"error": {"code": "rate_limit", "message": "slow down"}}), InvalidPage, "an error body: rate_limit: slow down"),
    (page({"data": [{"id": "ch_000"}]}), InvalidPage, "the end marker has_more is not there"),
    (page({"data": [{"id": "ch_000"}], "has_more": "yes"}), InvalidPage, "has_more is 'yes', where true or false is wanted"),
    (page({"data": [{"no": "id"}], "has_more": True}), InvalidPage, "no readable key"),
    (page({"data": [], "has_more": True}), InvalidPage, "without items"),
    (page({"has_more": False}), InvalidPage, "no array at 'data'"),
    (page(b'{"data":[{"id":"a"},{"id'), InvalidPage, "cut or broken"),
    (Answer(pieces=[]), InvalidPage, "an empty body"),
    (Answer(status=204), InvalidPage, "204: a page of records comes with 200"),
    (page([1], status=206), InvalidPage, "206"),
    (Answer(pieces=[b'{"data":[],"has_more":false}'], framing="close"), InvalidPage, "proves nothing"),
    (page({"error": "gone"}, status=404), Refused, "404: gone"),
    (page({"error": {"message": "Invalid API Key: " + TOKEN}}, status=401), Refused, "401: Invalid API Key: ••••"),
    (page({"message": "not yours"}, status=403, X_Request_Id="req_1"), Refused, r"403 \(request req_1\): not yours"),
    (page({"message": "bad"}, status=422), Refused, "422: bad"),
    (
        Answer(status=302, headers={"Location": "https://login.example/sso?token=hush"}),
        Refused,
        r"302: redirects are not followed, and this one leads to https://login.example/sso$",
    ),
    (page({"message": "down"}, status=503), Unreachable, r"GET /v1/charges -> 503, 8 tries in [^:]+: down"),
    (Answer(status=429, headers={"Retry-After": "9999"}), Throttled, "asks for a pause of 2h 46m"),
    (Answer(pieces=[b'{"data":[]'], framing="cut"), Unreachable, "8 tries in"),
    (Answer(headers={"Content-Length": "99999999999"}, pieces=[b"x"]), OversizedBody, "are announced"),
]


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("fault", FAULTS, ids=[f"{error.__name__}-{words[:30]}" for _, error, words in FAULTS])
def test_each_fault_on_each_page_is_no_whole_listing(
    fault_server: FaultServer, shop: Shop, tmp_path: Path, fault: tuple[Answer, type[ReconError], str], at: int
) -> None:
    """Whatever comes instead of a page, the fetch fails with its own leaf, or is partial where pages came before; both say why, and no secret."""
    answer, error, words = fault
    count = iter(range(1, 100))
    fault_server.on("/v1/charges", lambda asked: stripe_like(asked) if next(count) < at else answer)
    if at == 1 or error in (Unreachable, Throttled):
        with pytest.raises(error) as caught:
            fetched(shop, tmp_path)
        assert isinstance(caught.value, ProviderError)
        told, shown = str(caught.value), f"{caught.value} {caught.value.hint} {caught.value.args}"
    else:
        coverage, _ = fetched(shop, tmp_path)
        assert not coverage.whole
        told, shown = coverage.proof.rpartition("; ")[0], f"{coverage}"
    assert re.search(words, told), told
    assert TOKEN not in shown
    assert "hush" not in shown
    spool = Spool.open(tmp_path / "spool")
    assert (spool.pages, spool.finished) == (at - 1, False)
    spool.close()


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_fault_that_passes_costs_a_retry_and_nothing_else(fault_server: FaultServer, shop: Shop, tmp_path: Path, at: int) -> None:
    """A 500, a 429 and a cut body on a page, then the page: whole, each item once, with the retries in the certificate."""
    passing = iter([page({}, status=500), Answer(status=429, headers={"Retry-After": "3"}), Answer(pieces=[b"{"], framing="cut")])
    count = iter(range(1, 100))
    fault_server.on("/v1/charges", lambda asked: stripe_like(asked) if next(count) < at else next(passing, None) or stripe_like(asked))
    clock = ManualClock()
    coverage, ids = fetched(shop, tmp_path, clock)
    assert ids == KEYS
    assert (coverage.whole, coverage.requests, coverage.retries, coverage.throttled) == (True, 6, 3, 1)
    assert any(3 <= slept < 4 for slept in clock.slept)


def test_a_listing_that_ignores_its_cursor_is_endless(fault_server: FaultServer, shop: Shop, tmp_path: Path) -> None:
    """The first page for ever: found with the second one, also after the items before its last, and what came is partial."""
    fault_server.on("/v1/charges", page({"data": rows(0), "has_more": True}))
    coverage, _ = fetched(shop, tmp_path)
    assert not coverage.whole
    assert "page 2 begins with a row before the one that it goes on from" in coverage.proof
    assert "runs in a circle" in coverage.proof


def test_one_poisoned_item_leaves_the_listing_whole_but_for_it(fault_server: FaultServer, shop: Shop, tmp_path: Path) -> None:
    """A lone surrogate as the page's last item: unreadable, counted, and paging goes on by its key."""
    poisoned = b'{"data":[{"id":"ch_008"},{"id":"ch_009","t":"\\ud800"}],"has_more":true}'
    fault_server.on("/v1/charges", lambda asked: stripe_like(asked) if asked.query else page(poisoned))
    coverage, ids = fetched(shop, tmp_path)
    assert ids == ["ch_008", *KEYS[10:]]
    assert coverage.verdict() == "whole but for 1 unreadable"


def test_the_credential_is_cut_out_of_urls_that_come_back(fault_server: FaultServer, tmp_path: Path) -> None:
    """An API that echoes its key in `next` gets it once per request, and the checkpoint on disk holds none."""

    class Echo(HTTPProvider):
        auth = QueryKey("api_key", Secret(TOKEN, "test"))
        catalogue: Mapping[str, Resource] = {"charges": Resource(path="charges", records="data", paging=NextUrlInBody(at="next"))}

    def script(asked: Asked) -> Answer:
        start = int(asked.query.get("from", "0"))
        following = f"{asked.path}?from={start + 10}&api_key={asked.query['api_key']}&a=b%20c" if start + 10 < 25 else None
        return page({"data": rows(start), "next": following})

    fault_server.on("/v1/charges", script)
    _, ids = fetched(Echo(section(fault_server)), tmp_path)
    assert ids == KEYS
    assert all(asked.target.count("api_key=") == 1 for asked in fault_server.requests)
    assert {asked.query.get("a") for asked in fault_server.requests[1:]} == {"b c"}
    for file in (tmp_path / "spool").iterdir():
        assert b"hush" not in file.read_bytes()


def test_a_token_that_changed_meanwhile_is_read_again_once(fault_server: FaultServer, tmp_path: Path) -> None:
    """A 401 after the secret's file was rewritten is asked again with the new one; a 401 without that is final."""
    (tmp_path / "token").write_text("old-token")
    token = SecretRef({"file": "token"}, where="x", folder=tmp_path)
    shop = Shop(section(fault_server, auth={"bearer": token}))

    def script(asked: Asked) -> Answer:
        if asked.query.get("starting_after") == "ch_009":
            (tmp_path / "token").write_text("new-token")
        wanted = (tmp_path / "token").read_text()
        return stripe_like(asked) if asked.headers["authorization"] == f"Bearer {wanted}" else page({}, status=401)

    fault_server.on("/v1/charges", script)
    assert fetched(shop, tmp_path)[1] == KEYS
    assert len(fault_server.requests) == 4


def test_a_missing_secret_is_said_before_anything_is_sent(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request leaves without its credential, and the error is the project's to mend."""
    monkeypatch.delenv("SHOP_TOKEN", raising=False)
    shop = Shop(section(fault_server, auth={"bearer": SecretRef({"env": "SHOP_TOKEN"}, where="w", folder=Path())}))
    with pytest.raises(MissingSecret, match="SHOP_TOKEN is not set"):
        fetched(shop, tmp_path)
    assert fault_server.requests == []


def test_the_declared_rate_is_kept_over_the_wire(fault_server: FaultServer, tmp_path: Path) -> None:
    """Two requests a minute: the third page waits for its turn on the injected clock."""
    fault_server.on("/v1/charges", stripe_like)
    clock = ManualClock()
    fetched(Shop(section(fault_server, rate={"requests": 2, "per": "1m"})), tmp_path, clock)
    assert clock.elapsed == pytest.approx(60 * 1.02)


def test_two_providers_under_one_credential_share_one_rate(
    fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two domains, each with its own provider of the same account, together ask no faster than one may; another account is not held back."""
    monkeypatch.setenv("SHOP_TOKEN", TOKEN)
    monkeypatch.setenv("OTHER_TOKEN", "tok-other-1234")
    fault_server.on("/v1/charges", stripe_like)

    def made(env: str) -> Shop:
        token = SecretRef({"env": env}, where="w", folder=Path())
        return Shop(section(fault_server, auth={"bearer": token}, rate={"requests": 4, "per": "1m"}))

    clock = ManualClock()
    one, two, other = made("SHOP_TOKEN"), made("SHOP_TOKEN"), made("OTHER_TOKEN")
    listing = Listing(resource="charges", clock=clock)
    assert len(list(one.fetch(listing))) == 3
    assert clock.elapsed == 0
    assert len(list(other.fetch(listing))) == 3
    assert clock.elapsed == 0
    assert len(list(two.fetch(listing))) == 3
    assert clock.elapsed == pytest.approx(60 * 1.02)
    for provider in (one, two, other):
        provider.close()


def test_a_pause_holds_for_the_other_provider_of_the_account(fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """One domain is told to wait two hours; the next one of the same account sends nothing to be told it again."""
    monkeypatch.setenv("SHOP_TOKEN", TOKEN)
    token = SecretRef({"env": "SHOP_TOKEN"}, where="w", folder=Path())
    one, two = (Shop(section(fault_server, auth={"bearer": token})) for _ in range(2))
    fault_server.on("/v1/charges", Answer(status=429, headers={"Retry-After": "7200"}))
    clock = ManualClock()
    for provider, words in ((one, "429, 1 try"), (two, "not sent, the third party asks for a pause of 2h 00m")):
        with pytest.raises(Throttled, match=words):
            list(provider.fetch(Listing(resource="charges", clock=clock)))
        provider.close()
    assert len(fault_server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (
            page({"message": "too big"}, status=413, X_Request_Id="r1"),
            PageTooLarge,
            r"413 \(request r1\): the page is too large for it: too big",
        ),
        (page({"message": "Narrow the range"}, status=422), RangeTooWide, "422: the range asked for is too wide for it"),
        (page({"code": "corrupt"}, status=500), ItemRefused, "500: it does not give this one out"),
    ],
)
def test_an_answer_that_wants_another_request_is_its_own_error(
    fault_server: FaultServer, tmp_path: Path, answer: Answer, error: type[ReconError], words: str
) -> None:
    """Shrink, split and skip end the listing with a leaf of their own, after one request, and with a way out."""
    fault_server.on("/v1/charges", answer)
    rules = [{"status": 422, "body": "narrow", "do": "split"}, {"status": 500, "body": "corrupt", "do": "skip"}]
    with pytest.raises(error, match=words) as caught:
        fetched(Shop(section(fault_server, classify=rules)), tmp_path)
    assert caught.value.hint
    assert len(fault_server.requests) == 1


def test_a_graphql_throttle_is_waited_out_though_it_is_a_200(fault_server: FaultServer, shop: Shop, tmp_path: Path) -> None:
    """`errors` with THROTTLED, in an answer with status 200: it is asked again once the points are back, and a record of that word is a record."""
    cost = {"requestedQueryCost": 100, "throttleStatus": {"maximumAvailable": 1000, "currentlyAvailable": 40, "restoreRate": 10}}
    throttled = page({"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}], "extensions": {"cost": cost}})
    answers = iter([throttled])

    def script(asked: Asked) -> Answer:
        if not asked.query:
            return page({"data": [{"id": "ch_009", "note": "throttled", "error": "THROTTLED"}], "has_more": True})
        return next(answers, None) or stripe_like(asked)

    fault_server.on("/v1/charges", script)
    clock = ManualClock()
    coverage, ids = fetched(shop, tmp_path, clock)
    assert ids == ["ch_009", *KEYS[10:]]
    assert (coverage.requests, coverage.throttled) == (4, 1)
    assert 6 <= clock.slept[0] < 7


LOOKUPS: dict[str, tuple[Answer, LookupStatus, str]] = {
    "ch_found": (page({"id": "ch_found", "amount": 5}), LookupStatus.FOUND, ""),
    "ch_deleted": (page({"id": "ch_deleted", "deleted": True}), LookupStatus.DELETED, "deleted"),
    "ch_one": (page({"id": "ch_one", "deleted": 1}), LookupStatus.FOUND, ""),
    "ch_gone": (page({"error": "gone"}, status=410), LookupStatus.DELETED, "410: gone"),
    "ch_absent": (page({"error": {"message": "No such charge"}}, status=404), LookupStatus.NOT_FOUND, "404: No such charge"),
    "ch_401": (page({}, status=401), LookupStatus.FORBIDDEN, "401"),
    "ch_403": (page({}, status=403), LookupStatus.FORBIDDEN, "403"),
    "ch_400": (page({"message": "bad id"}, status=400), LookupStatus.UNKNOWN, "400: bad id"),
    "ch_503": (page({}, status=503), LookupStatus.UNKNOWN, "503, 8 tries"),
    "ch_302": (Answer(status=302, headers={"Location": "/login"}), LookupStatus.UNKNOWN, "302"),
    "ch_html": (Answer(pieces=[b"<title>Login</title>"]), LookupStatus.UNKNOWN, "an HTML page titled 'Login'"),
    "ch_other": (page({"id": "ch_else"}), LookupStatus.UNKNOWN, "asked for 'ch_other', got 'ch_else'"),
    "ch_nokey": (page({"amount": 5}), LookupStatus.UNKNOWN, "got no key"),
    "ch_list": (page([]), LookupStatus.UNKNOWN, "an array of 0"),
    "ch_poison": (page(b'{"id":"ch_poison","t":"\\ud800"}'), LookupStatus.UNKNOWN, "no readable object"),
    "ch_error": (page({"error": {"message": "oops"}}), LookupStatus.UNKNOWN, "got no key"),
    "ch_cut": (Answer(pieces=[b'{"id":"ch_cut"'], framing="cut"), LookupStatus.UNKNOWN, "broke off"),
    "7": (page(b'{\n "id": 7\n}'), LookupStatus.FOUND, ""),
}


def test_each_answer_to_a_read_by_id_proves_just_what_it_proves(fault_server: FaultServer, shop: Shop) -> None:
    """Only an outright 404, 410 or deletion speaks of absence; everything odd is unknown; answers come in the order of the keys."""
    for key, (answer, _, _) in LOOKUPS.items():
        fault_server.on(f"/v1/charges/{key}", answer)
    answers = list(shop.get_many("charges", list(LOOKUPS), clock=ManualClock()))
    assert [a.key for a in answers] == list(LOOKUPS)
    for lookup in answers:
        _, status, why = LOOKUPS[lookup.key]
        assert lookup.status is status, lookup
        assert why in lookup.why
        assert (lookup.item is not None) == (status is LookupStatus.FOUND)
    assert answers[-1].item == b'{  "id": 7 }'


def test_keys_are_percent_encoded_and_dangerous_ones_not_sent(fault_server: FaultServer, shop: Shop) -> None:
    """A key never leaves its place in the path: not by slashes, queries, dots, or being empty."""
    fault_server.on("*", lambda asked: page({"id": asked.path.rsplit("/", 1)[1]}))
    keys = ["a/../b", "a?x=1", "a b#c", "ü", "..", ".", ""]
    statuses = {a.key: a.status for a in shop.get_many("charges", keys, clock=ManualClock())}
    assert [asked.target for asked in sorted(fault_server.requests, key=lambda a: a.target)] == [
        "/v1/charges/%C3%BC",
        "/v1/charges/a%20b%23c",
        "/v1/charges/a%2F..%2Fb",
        "/v1/charges/a%3Fx%3D1",
    ]
    assert {statuses[k] for k in ("..", ".", "")} == {LookupStatus.UNKNOWN}


def test_hundreds_of_reads_go_side_by_side_and_stay_in_order(fault_server: FaultServer, shop: Shop) -> None:
    """The first read is not answered before another one is under way beside it, and the answers come in the order of the keys."""
    under_way, most, changed = 0, 0, threading.Condition()

    def beside(asked: Asked) -> Answer:
        nonlocal under_way, most
        with changed:
            under_way += 1
            most = max(most, under_way)
            changed.notify_all()
            changed.wait_for(lambda: most > 1, timeout=20)
            under_way -= 1
        return page({"id": asked.path.rsplit("/", 1)[1]})

    fault_server.on("*", beside)
    keys = [f"k{n}" for n in range(60)]
    clock = ManualClock()
    answers = list(shop.get_many("charges", keys, clock=clock))
    assert [a.key for a in answers] == keys
    assert {a.status for a in answers} == {LookupStatus.FOUND}
    assert shop.meter.requests == 60


def test_a_third_party_that_is_down_is_not_waited_for_key_by_key(fault_server: FaultServer, shop: Shop) -> None:
    """After a few reads without any answer the others are unknown at once, and said to be not asked."""
    fault_server.on("*", page({}, status=500))
    clock = ManualClock()
    answers = list(shop.get_many("charges", [f"k{n}" for n in range(200)], clock=clock))
    assert {a.status for a in answers} == {LookupStatus.UNKNOWN}
    assert "not asked" in answers[-1].why
    assert len(fault_server.requests) <= 8 * (5 + 4)


def test_a_resource_without_get_says_so(fault_server: FaultServer) -> None:
    """can_get is the question; asking all the same is a BadRequest with the line to write."""

    class ListOnly(HTTPProvider):
        catalogue: Mapping[str, Resource] = {"charges": Resource(path="charges", records="data", paging=LastId(param="after"))}

    provider = ListOnly(section(fault_server))
    assert not provider.can_get("charges")
    with pytest.raises(BadRequest, match="no get path"):
        list(provider.get_many("charges", ["a"], clock=ManualClock()))
    with pytest.raises(BadRequest, match="has no resource 'refunds'; it has charges"):
        provider.key_path("refunds")


def test_hooks_see_and_change_every_attempt(fault_server: FaultServer, tmp_path: Path) -> None:
    """before_request may add headers and parameters; configure takes keys of the subclass's own; link makes a page for people."""

    class Hooked(Shop):
        rate = Rate(requests=1000)
        headers: Mapping[str, str] = {"Shop-Version": "2026-10-01"}

        def configure(self, section: Section) -> None:
            self.account = section.text("account")

        def before_request(self, request: Request) -> None:
            request.headers["Shop-Account"] = self.account
            request.query["trace"] = "1"

    fault_server.on("/v1/charges", stripe_like)
    provider = Hooked(section(fault_server, account="acct_1", headers={"X-Env": "test"}))
    fetched(provider, tmp_path)
    for asked in fault_server.requests:
        assert (asked.headers["shop-account"], asked.headers["shop-version"], asked.headers["x-env"]) == ("acct_1", "2026-10-01", "test")
        assert asked.query["trace"] == "1"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"base_url": "http://api.example/v1"}, "plain http"),
        ({"base_url": "api.example"}, "it has no scheme"),
        ({"base_url": "https://u:pw@api.example"}, "user information"),
        ({"base_url": "https://api.example/v1?key=hush"}, "holds a query"),
        ({"base_url": "https://api.example", "timeuot": 3}, "timeuot: is not a setting"),
        ({"base_url": "https://api.example", "timeout": "soon"}, "not a duration"),
        ({"base_url": "https://api.example", "tries": 0}, "at least 1"),
        ({"base_url": "https://api.example", "rate": {"requests": 0}}, "above 0"),
        ({"base_url": "https://api.example", "rate": {"request": 5}}, "requests: is missing"),
        ({"base_url": "https://api.example", "rate": 5}, "wants a table"),
        ({"base_url": "https://api.example", "origins": "x"}, "wants a list of texts"),
        ({"base_url": "https://api.example", "origins": ["http://files.example"]}, "plain http"),
        ({"base_url": "https://api.example", "headers": {"A": 1}}, "wants a text"),
        ({"base_url": "https://api.example", "headers": {"A": "x\r\ny"}}, "printable ASCII"),
        ({}, "base_url: is missing"),
    ],
)
def test_a_wrong_setting_is_named_with_file_and_key(table: dict[str, Any], words: str) -> None:
    """Every complaint starts with the place, and no value that might be a secret is repeated."""
    with pytest.raises(BadSetting) as caught:
        Shop(Section(name="shop", file=Path("recon.toml"), path="providers.shop", table=table, folder=Path()))
    assert words in str(caught.value)
    assert str(caught.value).startswith("recon.toml [providers.shop")
    assert "hush" not in str(caught.value)
    assert "pw" not in str(caught.value)


def test_plain_http_is_for_this_machine_or_by_word() -> None:
    """Loopback needs no leave; another machine needs insecure = true."""
    for table in ({"base_url": "http://localhost:1/"}, {"base_url": "http://api.example", "insecure": True}):
        Shop(Section(name="shop", file=Path("recon.toml"), path="providers.shop", table=table, folder=Path())).close()
