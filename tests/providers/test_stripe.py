"""Stripe: what is sent, what each answer proves, where the dashboard is, and what doctor should say about the key."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from providers.stripe import API_VERSION, Stripe
from recon.clock import SystemClock
from recon.errors import BadSetting, InvalidPage, MissingSecret, Refused
from recon.fetch.landing import land
from recon.fetch.limiter import Rate
from recon.fetch.page import LookupStatus
from recon.fetch.spool import Spool
from recon.provider import Listing
from tests.providers.listing import whole
from tests.providers.sections import section
from tests.servers.manual_clock import ManualClock
from tests.servers.scripted import Answer, Call, Scripted, scripted

KEY = "rk_test_51Nightly"
CUSTOMERS = [{"id": f"cus_{number:03}", "object": "customer", "email": f"c{number}@example.com"} for number in range(250)]
MISSING = {"error": {"code": "resource_missing", "message": "No such customer: 'cus_no'", "param": "id", "type": "invalid_request_error"}}


def stripe(monkeypatch: pytest.MonkeyPatch, key: str = KEY, **settings: Any) -> Stripe:
    """A Stripe provider with this key in the environment."""
    monkeypatch.setenv("STRIPE_API_KEY", key)
    return Stripe(section("providers.stripe", settings))


def listed(call: Call) -> Answer:
    """Stripe's list of 250 customers, newest first, at most 100 a page; each answer has a Request-Id."""
    ids = [customer["id"] for customer in CUSTOMERS]
    start = ids.index(call.query["starting_after"]) + 1 if "starting_after" in call.query else 0
    stop = start + min(int(call.query.get("limit", "10")), 100)
    body = {"object": "list", "url": call.path, "has_more": stop < len(ids), "data": CUSTOMERS[start:stop]}
    return Answer(body, headers={"Request-Id": f"req_{start:04}"})


@pytest.fixture
def server() -> Iterator[Scripted]:
    """Customers by list and by id: 000 is there, 001 was deleted, others are missing."""

    def serve(call: Call) -> Answer:
        name = call.path.removeprefix("/v1/customers").strip("/")
        if not name:
            return listed(call)
        if name == "cus_000":
            return Answer(CUSTOMERS[0])
        if name == "cus_001":
            return Answer({"id": "cus_001", "object": "customer", "deleted": True})
        return Answer(MISSING, status=404, headers={"Request-Id": "req_missing"})

    with scripted(serve) as running:
        yield running


def test_three_pages_by_the_last_id(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """250 customers come in three requests of 100, each from the last id of the one before, and has_more = false ends them."""
    provider = stripe(monkeypatch, base_url=f"{server.url}/v1/")
    records, end = whole(provider, "customers")
    provider.close()
    assert records == CUSTOMERS
    assert end.proof == "has_more = false on page 3"
    assert [call.query for call in server.calls] == [
        {"limit": "100"},
        {"limit": "100", "starting_after": "cus_099"},
        {"limit": "100", "starting_after": "cus_199"},
    ]


def test_what_every_request_carries(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key as a bearer token, the pinned version, and no account unless one is named."""
    provider = stripe(monkeypatch, base_url=f"{server.url}/v1/")
    whole(provider, "customers")
    list(provider.get_many("customers", ["cus_000"], clock=SystemClock()))
    provider.close()
    assert len(server.calls) == 4
    for call in server.calls:
        assert call.headers["authorization"] == f"Bearer {KEY}"
        assert call.headers["stripe-version"] == API_VERSION
        assert "stripe-account" not in call.headers


def test_version_and_account_can_be_set(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """`api_version` and `account` go into their headers."""
    provider = stripe(monkeypatch, base_url=f"{server.url}/v1/", api_version="2025-09-30.clover", account="acct_1Nightly")
    whole(provider, "customers")
    provider.close()
    assert {(call.headers["stripe-version"], call.headers["stripe-account"]) for call in server.calls} == {
        ("2025-09-30.clover", "acct_1Nightly")
    }


def test_a_read_by_id_tells_deleted_from_missing(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """`deleted: true` with status 200 is a deletion; 404 with resource_missing is not found; an object is found."""
    provider = stripe(monkeypatch, base_url=f"{server.url}/v1/")
    keys = ["cus_000", "cus_001", "cus_no"]
    answers = {answer.key: answer for answer in provider.get_many("customers", keys, clock=SystemClock())}
    provider.close()
    assert [answers[key].status for key in keys] == [LookupStatus.FOUND, LookupStatus.DELETED, LookupStatus.NOT_FOUND]
    assert json.loads(answers["cus_000"].item or b"") == CUSTOMERS[0]
    assert answers["cus_001"].item is None


def test_subscriptions_of_every_status(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of subscriptions asks for status=all, or the cancelled ones would stay active in the store for ever."""
    with scripted(lambda _: Answer({"object": "list", "data": [], "has_more": False})) as running:
        provider = stripe(monkeypatch, base_url=f"{running.url}/v1/")
        whole(provider, "subscriptions")
        provider.close()
        assert [(call.path, call.query) for call in running.calls] == [("/v1/subscriptions", {"limit": "100", "status": "all"})]


def test_every_resource_asks_its_own_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each resource is read from /v1/<its path>, and can be read by id."""
    with scripted(lambda _: Answer({"object": "list", "data": [], "has_more": False})) as running:
        provider = stripe(monkeypatch, base_url=f"{running.url}/v1/", rate={"requests": 1000, "per": "1s"})
        for resource in provider.resources():
            whole(provider, resource)
            assert provider.can_get(resource)
            assert provider.key_path(resource) == "id"
        provider.close()
        paths = {"checkout_sessions": "checkout/sessions", "invoice_items": "invoiceitems"}
        assert [call.path for call in running.calls] == [f"/v1/{paths.get(resource, resource)}" for resource in provider.resources()]
    assert len(provider.resources()) == 22


def test_the_limits_are_those_of_endpoint_and_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless recon.toml says otherwise: 25 requests a second for each endpoint and 100 for the account."""
    assert stripe(monkeypatch).rate == (Rate(requests=25, per=1.0, each="endpoint"), Rate(requests=100, per=1.0))
    assert stripe(monkeypatch, rate={"requests": 10, "per": "2s"}).rate == Rate(requests=10, per=2.0)


@pytest.mark.parametrize(("key", "least", "most"), [("rk_test_a", 1.0, 2.5), ("rk_live_a", 0.0, 0.75)])
def test_a_sandbox_has_a_quarter_of_a_live_accounts_limit(key: str, least: float, most: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 requests over four endpoints take a second and a half under a test key, and under a live key no more than their endpoints ask."""
    clock = ManualClock()
    with scripted(lambda _: Answer({"object": "list", "data": [], "has_more": False})) as running:
        provider = stripe(monkeypatch, key, base_url=f"{running.url}/v1/")
        for number in range(40):
            list(provider.fetch(Listing(resource=("charges", "customers", "refunds", "payouts")[number % 4], clock=clock)))
        provider.close()
    assert least <= sum(clock.slept) <= most


def test_an_object_that_is_locked_is_no_throttle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 429 of lock_timeout and a 409 are asked again, and the account is not slowed down."""
    refusals = [Answer({"error": {"code": "lock_timeout"}}, status=429), Answer({"error": {"code": "x"}}, status=409)]
    with scripted(lambda call: refusals.pop() if refusals else listed(call)) as running:
        provider = stripe(monkeypatch, base_url=f"{running.url}/v1/")
        pages = list(provider.fetch(Listing(resource="customers", clock=ManualClock())))
        provider.close()
    assert sum(len(page.items) for page in pages) == len(CUSTOMERS)
    assert (provider.meter.retries, provider.meter.throttled) == (2, 0)


def test_customers_come_in_ranges_of_their_creation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where `created` is honoured, the list is landed in ranges that meet from open to open, each customer once."""
    clock = ManualClock()
    now = int(clock.now().timestamp())
    customers = [{"id": f"cus_{number:04}", "created": now - number * 3600} for number in range(1200)]

    def serve(call: Call) -> Answer:
        low, high = int(call.query.get("created[gte]", 0)), int(call.query.get("created[lt]", now + 1))
        rows = [row for row in customers if low <= row["created"] < high]
        start = [row["id"] for row in rows].index(call.query["starting_after"]) + 1 if "starting_after" in call.query else 0
        return Answer({"object": "list", "data": rows[start : start + 100], "has_more": start + 100 < len(rows)})

    with scripted(serve) as running:
        provider = stripe(monkeypatch, "rk_live_1", base_url=f"{running.url}/v1/", concurrency=1)
        spool = Spool.open(tmp_path)
        coverage = land(provider, Listing(resource="customers", clock=clock), spool, clock=clock)
        spool.close()
        provider.close()
    assert (coverage.whole, coverage.records) == (True, 1200)
    assert coverage.planned > 1
    assert coverage.scope["credential"].startswith("restricted key, live mode")
    assert (coverage.scope["account"], coverage.scope["api_version"]) == ("the key's own", API_VERSION)


def test_prices_are_asked_for_active_and_inactive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The plain list has the active ones only, so both are asked for, and the certificate names both parts."""
    clock = ManualClock()

    def serve(call: Call) -> Answer:
        active = call.query.get("active", "true") == "true"
        return Answer({"object": "list", "data": [{"id": f"price_{active}", "active": active}], "has_more": False})

    with scripted(serve) as running:
        provider = stripe(monkeypatch, base_url=f"{running.url}/v1/", concurrency=1)
        spool = Spool.open(tmp_path)
        coverage = land(provider, Listing(resource="prices", clock=clock), spool, clock=clock)
        spool.close()
        provider.close()
    assert (coverage.whole, coverage.records) == (True, 2)
    assert sorted(part.name for part in coverage.parts) == ["active = false", "active = true"]


def test_what_is_expanded_is_in_the_list_and_in_the_read_by_id(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """`expand` asks the list below data, a read by id without it, and no other resource."""
    provider = stripe(monkeypatch, base_url=f"{server.url}/v1/", expand={"customers": ["default_source", "tax"]})
    whole(provider, "customers")
    list(provider.get_many("customers", ["cus_000"], clock=SystemClock()))
    provider.close()
    lists, read = server.calls[0].query, server.calls[-1].query
    assert (lists["expand[0]"], lists["expand[1]"]) == ("data.default_source", "data.tax")
    assert read == {"expand[0]": "default_source", "expand[1]": "tax"}
    assert "expand[0]" not in provider.resource("charges").params


def test_pages_of_two_accounts_modes_and_versions_are_not_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an interrupted fetch is gone on with is told by the account, the mode of the key and the version too."""
    several = [
        stripe(monkeypatch).identity("charges"),
        stripe(monkeypatch, account="acct_1").identity("charges"),
        stripe(monkeypatch, api_version="2025-09-30.clover").identity("charges"),
        stripe(monkeypatch, "rk_live_1").identity("charges"),
    ]
    assert len(set(several)) == 4
    assert not any(KEY in one for one in several)


def test_a_429_with_retry_after_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 429 between two pages is waited out as told and the fetch ends whole; the meter has counted it."""
    refusals = iter([True])

    def serve(call: Call) -> Answer:
        if "starting_after" in call.query and next(refusals, False):
            body = {"error": {"type": "rate_limit_error", "code": "rate_limit", "message": "Too many requests"}}
            return Answer(body, status=429, headers={"Retry-After": "1", "Stripe-Rate-Limited-Reason": "endpoint-rate"})
        return listed(call)

    with scripted(serve) as running:
        provider = stripe(monkeypatch, base_url=f"{running.url}/v1/")
        records, _ = whole(provider, "customers")
        provider.close()
        assert records == CUSTOMERS
        assert len(running.calls) == 4
    assert provider.meter.throttled == 1


def test_a_refused_key_is_said_with_its_request_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 401 names the request and its Request-Id, which Stripe's support asks for, and shows nothing of the key."""
    body = {"error": {"message": f"Invalid API Key provided: {KEY}", "type": "invalid_request_error"}}
    with scripted(lambda _: Answer(body, status=401, headers={"Request-Id": "req_8fX2"})) as running:
        provider = stripe(monkeypatch, base_url=f"{running.url}/v1/")
        with pytest.raises(Refused, match=r"/v1/charges.*401") as caught:
            whole(provider, "charges")
        provider.close()
    assert "req_8fX2" in str(caught.value)
    assert KEY not in f"{caught.value} {caught.value.hint}"


def test_an_error_body_with_status_200_is_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body without `data` or without `has_more` is no page, whatever its status."""
    for body in (MISSING, {"object": "list", "data": []}, {"object": "list", "has_more": False}):
        with scripted(lambda _, body=body: Answer(body)) as running:  # type: ignore[misc]  # mypy cannot type a lambda's default
            provider = stripe(monkeypatch, base_url=f"{running.url}/v1/")
            with pytest.raises(InvalidPage):
                whole(provider, "customers")
            provider.close()


@pytest.mark.parametrize(
    ("resource", "key", "page"),
    [
        ("charges", "ch_1", "payments/ch_1"),
        ("payment_intents", "pi_1", "payments/pi_1"),
        ("customers", "cus_1", "customers/cus_1"),
        ("subscriptions", "sub_1", "subscriptions/sub_1"),
        ("balance_transactions", "txn_1", "search?query=txn_1"),
        ("customers", "a/../b?c", "customers/a%2F..%2Fb%3Fc"),
    ],
)
def test_links_lead_to_the_dashboard_of_the_keys_mode(resource: str, key: str, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test key leads to test mode, a live key to live mode, an account to its own, and a key in a link is percent-encoded."""
    for api_key in ("rk_test_1", "sk_test_1"):
        assert stripe(monkeypatch, api_key).link(resource, key) == f"https://dashboard.stripe.com/test/{page}"
    assert stripe(monkeypatch, "rk_live_1").link(resource, key) == f"https://dashboard.stripe.com/{page}"
    assert stripe(monkeypatch, "rk_live_1", account="acct_9").link(resource, key) == f"https://dashboard.stripe.com/acct_9/{page}"


def test_doctor_is_warned_of_a_key_that_can_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """A live secret key is warned of, a publishable one too; restricted keys and test keys are not, and no warning shows a key."""
    for good in ("rk_live_abc", "rk_test_abc", "sk_test_abc"):
        assert stripe(monkeypatch, good).warnings() == []
    (writes,) = stripe(monkeypatch, "sk_live_abcdef").warnings()
    assert "may write everything" in writes
    (useless,) = stripe(monkeypatch, "pk_live_abcdef").warnings()
    assert "neither a restricted key" in useless
    assert "abcdef" not in writes + useless


def test_without_a_key_nothing_is_asked_for_until_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making the provider, listing its resources and asking for a link need no key; a fetch without one says which is missing."""
    provider = stripe(monkeypatch)
    monkeypatch.delenv("STRIPE_API_KEY")
    assert "charges" in provider.resources()
    assert provider.link("charges", "ch_1") is None
    assert provider.warnings() == []
    with pytest.raises(MissingSecret, match=r"recon\.toml \[providers\.stripe\] api_key.*STRIPE_API_KEY"):
        whole(provider, "charges")
    provider.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"api_key": "sk_live_in_the_file"}, "api_key: a secret is given by reference only"),
        ({"api_version": "latest"}, "api_version: is 'latest'"),
        ({"account": "1Nightly"}, "account: is '1Nightly'"),
        ({"expand": {"charges": "customer"}}, "charges: wants a list of fields"),
        ({"expand": {"charges": ["data.customer"]}}, "charges: 'data.customer' is no field"),
        ({"expand": {"chargs": ["customer"]}}, "chargs: is not a setting"),
        ({"auth": {"bearer": {"env": "STRIPE_API_KEY"}}}, "auth: Stripe has one way to sign in"),
        ({"api_kye": {"env": "STRIPE_API_KEY"}}, "api_kye: is not a setting"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mistake in [providers.stripe] names its key; a key written into the file is not repeated."""
    with pytest.raises(BadSetting) as caught:
        stripe(monkeypatch, **settings)
    table = "providers.stripe.expand" if "expand" in settings else "providers.stripe"
    assert str(caught.value).startswith(f"recon.toml [{table}] {message}")
    assert "sk_live_in_the_file" not in str(caught.value)
