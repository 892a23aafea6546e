"""GraphQL lists landed: what the certificate says of them, and how a fetch that was broken off goes on."""

import json
from pathlib import Path
from typing import Any

import pytest

from providers.shopify import HIDDEN
from recon.clock import SystemClock
from recon.errors import CursorExpired, ProviderError, Unreachable
from recon.fetch.coverage import Coverage
from recon.fetch.landing import land
from recon.fetch.spool import Spool
from recon.provider import Listing, Provider
from tests.providers.graphql_table import ORDERS, graphql, shopify
from tests.servers.graphql_shop import Answer, Asked, graphql_shop, order


def landed(provider: Provider, folder: Path) -> tuple[Coverage, list[str]]:
    """The certificate of the orders, and the names that are on disk."""
    clock = SystemClock()
    spool = Spool.open(folder)
    coverage = land(provider, Listing(resource="orders", clock=clock), spool, clock=clock)
    return coverage, on_disk(spool)


def short(provider: Provider, folder: Path) -> tuple[str, list[str]]:
    """Why the orders are not whole, by the certificate or by the error that ended the fetch, and the names that are on disk."""
    try:
        coverage, there = landed(provider, folder)
    except ProviderError as error:
        return str(error), on_disk(Spool.open(folder))
    assert not coverage.whole
    return coverage.proof, there


def on_disk(spool: Spool) -> list[str]:
    """The names of the orders in a spool, in order of their numbers."""
    lines = [line for frame in spool.frames() for line in frame.splitlines()]
    return sorted((json.loads(line)["name"] for line in lines), key=lambda name: int(name[1:]))


def names(count: int) -> list[str]:
    """#1 to #count."""
    return [f"#{n}" for n in range(1, count + 1)]


def test_a_connection_that_broke_goes_on_from_its_cursor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken off after three pages by a dead server, the next attempt asks for the rest only, and the certificate says whole, resumed."""
    with graphql_shop(orders=[order(n, items=0) for n in range(1, 61)]) as shop:
        table = {"ranges": None, "nested": None}
        shop.before = lambda _: Answer(200, b"", drop=True) if len(shop.asked) > 3 else None
        provider = graphql(shop, monkeypatch, table, tries=1)
        with pytest.raises(Unreachable):
            landed(provider, tmp_path)
        provider.close()
        shop.before = lambda _: None
        asked = len(shop.asked)
        provider = graphql(shop, monkeypatch, table)
        coverage, there = landed(provider, tmp_path)
        provider.close()
        assert len(shop.asked) - asked == 3
    assert there == names(60)
    assert coverage.whole
    assert coverage.resumed


def test_an_export_that_broke_goes_on_with_the_same_operation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken off while the export was waited for, the next attempt takes up the same one; whole, with the counts in its proof."""
    with graphql_shop(orders=[order(n) for n in range(1, 41)], polls=4) as shop:
        shop.before = lambda asked: Answer(200, b"", drop=True) if "bulkOperation(" in asked.query else None
        provider = shopify(shop, monkeypatch, tries=1)
        with pytest.raises(Unreachable):
            landed(provider, tmp_path)
        provider.close()
        shop.before = lambda _: None
        provider = shopify(shop, monkeypatch)
        coverage, there = landed(provider, tmp_path)
        provider.close()
        assert len(shop.exports) == 1
    assert there == names(40)
    assert coverage.whole
    assert "40 records, 120 objects" in coverage.proof


def test_hidden_orders_are_never_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without read_all_orders what is visible is there, and that is not whole; the certificate's scope says why as well."""
    with graphql_shop(orders=[order(n) for n in range(1, 41)], scopes=["read_orders"]) as shop:
        provider = shopify(shop, monkeypatch)
        why, there = short(provider, tmp_path)
        assert provider.scope("orders")["access"] == HIDDEN
        provider.close()
        assert len(shop.exports) == 1
    assert there == names(40)
    assert HIDDEN in why


def test_hidden_orders_are_not_exported_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next attempt of a listing whose end is hidden goes on from its end: the pages stay, no second export runs; with the right granted, one does."""
    with graphql_shop(orders=[order(n) for n in range(1, 41)], scopes=["read_orders"]) as shop:
        for _ in range(2):
            provider = shopify(shop, monkeypatch)
            coverage, there = landed(provider, tmp_path)
            provider.close()
            assert len(shop.exports) == 1
            assert there == names(40)
            assert not coverage.whole
            assert HIDDEN in coverage.proof
        shop.scopes = ["read_orders", "read_all_orders"]
        provider = shopify(shop, monkeypatch)
        coverage, there = landed(provider, tmp_path)
        provider.close()
        assert len(shop.exports) == 2
    assert there == names(40)
    assert coverage.whole


def test_a_failed_export_is_never_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an export left in partialDataUrl is there, and it is not whole, with the reason."""
    with graphql_shop(orders=[order(n) for n in range(1, 41)], ends="FAILED", error_code="TIMEOUT", partial=True) as shop:
        provider = shopify(shop, monkeypatch)
        why, there = short(provider, tmp_path)
        provider.close()
    assert there == names(40)
    assert "FAILED (TIMEOUT)" in why


def test_an_export_that_failed_once_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operation that was cancelled under way is begun a second time, and the list is whole."""
    with graphql_shop(orders=[order(n) for n in range(1, 41)], ends="CANCELED") as shop:

        def mended(asked: Asked, answer: Answer) -> Answer:
            shop.ends = "COMPLETED" if len(shop.exports) > 1 else "CANCELED"
            return answer

        shop.after = mended
        provider = shopify(shop, monkeypatch)
        try:
            coverage, there = landed(provider, tmp_path)
        except CursorExpired:
            coverage, there = landed(provider, tmp_path)
        provider.close()
        assert len(shop.exports) == 2
    assert there == names(40)
    assert coverage.whole


@pytest.mark.parametrize("fault", ["errors", "null", "cursor"])
def test_a_page_that_is_none_is_never_whole(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors beside data, null at the list, a cursor that leads in a circle, on the third page for good: not whole, and the two pages before are there."""

    def spoil(asked: Asked, answer: Answer) -> Answer:
        if (asked.variables.get("after") or "") != third:
            return answer
        body = json.loads(answer.body)
        if fault == "errors":
            body["errors"] = [{"message": "lost"}]
        elif fault == "null":
            body["data"]["orders"] = None
        else:
            body["data"]["orders"]["pageInfo"]["endCursor"] = third
        return Answer(200, json.dumps(body).encode())

    third = "Z2lkOi8vc2hvcGlmeS9PcmRlci8yMA=="  # of gid://shopify/Order/20
    with graphql_shop(orders=[order(n, items=0) for n in range(1, 61)], after=spoil) as shop:
        provider = graphql(shop, monkeypatch, {"nested": None, "ranges": None})
        why, there = short(provider, tmp_path)
        provider.close()
    assert there == names(20)
    assert "page 3" in why


def parts(**changes: Any) -> dict[str, Any]:
    """The orders in small pages, cut by their creation."""
    return {"nested": None, "most": 200, "page": 20, "ranges": {**ORDERS["ranges"], "pages": 4}, **changes}


def spread(count: int) -> list[dict[str, Any]]:
    """Orders over half a year: four a day."""
    return [order(n, items=0, createdAt=f"2026-{1 + n // 112:02}-{1 + n % 112 // 4:02}T{n % 4 * 6:02}:00:00Z") for n in range(1, count + 1)]


def test_more_than_can_be_paged_through_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """600 orders of a list of which no more than 200 can be paged through come in parts that meet from open to open."""
    with graphql_shop(orders=spread(600), cap=200) as shop:
        provider = graphql(shop, monkeypatch, parts())
        coverage, there = landed(provider, tmp_path)
        provider.close()
    assert there == names(600)
    assert coverage.whole
    assert coverage.planned == coverage.finished > 3
    lows, highs = ([end for part in coverage.parts if (end := getattr(part, name)) is not None] for name in ("low", "high"))
    assert sorted(lows) == sorted(highs)
    assert len(lows) == coverage.planned - 1, "one is open below, one above, and each of the others begins where one ends"
    assert any("cut in two" in note for note in coverage.notes)


def test_a_filter_that_is_ignored_is_noted_and_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not honour the terms is read in one part, whole, and the certificate notes it."""
    with graphql_shop(orders=spread(100), deaf=True) as shop:
        provider = graphql(shop, monkeypatch, parts())
        coverage, there = landed(provider, tmp_path)
        provider.close()
    assert there == names(100)
    assert coverage.whole
    assert coverage.planned == 1
    assert coverage.notes
