"""The Stripe provider against stripe-stateful-mock: Stripe's own shapes, from a server that nobody here wrote."""

import json
from pathlib import Path
from typing import Any

import pytest

from providers.stripe import Stripe
from recon.clock import SystemClock
from recon.errors import Refused
from recon.fetch.landing import land
from recon.fetch.page import LookupStatus
from recon.fetch.spool import Spool
from recon.provider import Listing
from tests.providers.listing import whole
from tests.providers.sections import section
from tests.servers.stripe_mock import StripeMock, stripe_mock

__all__ = ["stripe_mock"]

pytestmark = pytest.mark.node


def provider_of(mock: StripeMock, monkeypatch: pytest.MonkeyPatch, account: str) -> Stripe:
    """The provider on the mock, in an account of its own."""
    monkeypatch.setenv("STRIPE_API_KEY", mock.key)
    return Stripe(section("providers.stripe", {"base_url": f"{mock.url}/v1/", "account": account}))


@pytest.fixture(scope="module")
def charges(stripe_mock: StripeMock) -> tuple[str, list[dict[str, Any]]]:
    """An account with 300 charges, made through the API over several connections."""
    account = stripe_mock.new_account()
    return account, stripe_mock.create_charges(300, account)


def test_every_charge_comes_once(
    stripe_mock: StripeMock, charges: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 charges in three pages, each exactly as its creation answered it."""
    account, created = charges
    provider = provider_of(stripe_mock, monkeypatch, account)
    records, end = whole(provider, "charges")
    provider.close()
    assert {record["id"]: record for record in records} == {charge["id"]: charge for charge in created}
    assert len(records) == 300
    assert end.proof == "has_more = false on page 3"


def test_a_bound_that_the_server_ignores_is_found_out(
    tmp_path: Path, stripe_mock: StripeMock, charges: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mock answers every range of `created` with everything: the rows give it away, the list is read in one, each charge once, and it is noted."""
    account, created = charges
    provider, spool = provider_of(stripe_mock, monkeypatch, account), Spool.open(tmp_path)
    try:
        coverage = land(provider, Listing(resource="charges"), spool, clock=SystemClock())
        ids = [json.loads(line)["id"] for frame in spool.frames() for line in frame.splitlines()]
    finally:
        spool.close()
        provider.close()
    assert sorted(ids) == sorted(charge["id"] for charge in created)
    assert (coverage.whole, coverage.planned, coverage.records) == (True, 1, 300)
    assert any("a row with created = " in note and "were asked for" in note for note in coverage.notes)


def test_an_interrupted_fetch_goes_on(
    stripe_mock: StripeMock, charges: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the checkpoint of the first page the rest of the list comes, and nothing of the first page again."""
    account, created = charges
    provider = provider_of(stripe_mock, monkeypatch, account)
    first = next(iter(provider.fetch(Listing(resource="charges"))))
    rest = list(provider.fetch(Listing(resource="charges", resume=json.loads(json.dumps(first.next)))))
    provider.close()
    ids = [json.loads(item)["id"] for page in (first, *rest) for item in page.items]
    assert sorted(ids) == sorted(charge["id"] for charge in created)


def test_a_charge_by_id(stripe_mock: StripeMock, charges: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed charge is found as it stands now; an unknown one is answered with resource_missing."""
    account, created = charges
    key = created[0]["id"]
    stripe_mock.update("charges", key, account, description="changed since")
    provider = provider_of(stripe_mock, monkeypatch, account)
    answers = {answer.key: answer for answer in provider.get_many("charges", [key, "ch_none"], clock=SystemClock())}
    provider.close()
    assert json.loads(answers[key].item or b"")["description"] == "changed since"
    assert [answers[key].status, answers["ch_none"].status] == [LookupStatus.FOUND, LookupStatus.NOT_FOUND]


def test_other_resources_of_the_mock(stripe_mock: StripeMock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Customers, products, prices and refunds come through the same provider."""
    account = stripe_mock.new_account()
    customer = stripe_mock.create("customers", account, email="jenny@example.com")
    product = stripe_mock.create("products", account, name="Gold", type="service")
    price = stripe_mock.create("prices", account, product=product["id"], currency="usd", unit_amount="1000")
    charge = stripe_mock.create_charges(1, account)[0]
    refund = stripe_mock.create("refunds", account, charge=charge["id"], amount="100")
    provider = provider_of(stripe_mock, monkeypatch, account)
    found = {
        name: [record["id"] for record in whole(provider, name)[0]] for name in ("customers", "products", "prices", "charges", "refunds")
    }
    provider.close()
    assert found == {
        "customers": [customer["id"]],
        "products": [product["id"]],
        "prices": [price["id"]],
        "charges": [charge["id"]],
        "refunds": [refund["id"]],
    }


def test_an_empty_account_is_an_empty_list(stripe_mock: StripeMock, monkeypatch: pytest.MonkeyPatch) -> None:
    """No charges is a whole list of none, proven by has_more = false."""
    provider = provider_of(stripe_mock, monkeypatch, stripe_mock.new_account())
    records, end = whole(provider, "charges")
    provider.close()
    assert (records, end.proof) == ([], "has_more = false on page 1")


def test_an_unknown_list_is_refused(stripe_mock: StripeMock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that the server does not have stops the fetch; it is no empty list."""
    provider = provider_of(stripe_mock, monkeypatch, stripe_mock.new_account())
    with pytest.raises(Refused, match=r"/v1/payouts.*404"):
        whole(provider, "payouts")
    provider.close()


def test_a_key_that_is_refused(stripe_mock: StripeMock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that the server does not take stops the fetch, and is not shown, though the server repeats parts of it."""
    account = stripe_mock.new_account()
    provider = provider_of(stripe_mock, monkeypatch, account)
    monkeypatch.setenv("STRIPE_API_KEY", "sk_wrong_key_1234567890")
    with pytest.raises(Refused, match="401") as caught:
        whole(provider, "charges")
    provider.close()
    assert "sk_wrong_key_1234567890" not in f"{caught.value} {caught.value.hint}"
