"""Rest against a real PocketBase server: numbered pages, clamped in silence, with its own counts."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from providers.rest import Rest
from recon.clock import SystemClock
from recon.errors import Refused
from recon.fetch.coverage import Coverage
from recon.fetch.landing import land
from recon.fetch.page import LookupStatus
from recon.fetch.spool import Spool
from recon.provider import Listing
from tests.providers.listing import whole
from tests.providers.sections import section
from tests.servers.pocketbase import PocketBase, pocketbase

__all__ = ["pocketbase"]

COUNT = 2300
NAMES = (f"orders_{number}" for number in itertools.count(1))


@pytest.fixture(scope="module")
def orders(pocketbase: PocketBase) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A collection of 2,300 orders, and the records as the server stored them."""
    name = next(NAMES)
    pocketbase.create_collection(name, {"ref": "text", "amount": "number", "state": "text"})
    stored = pocketbase.insert(name, ({"ref": f"r{n}", "amount": n, "state": "open" if n % 10 else "closed"} for n in range(COUNT)))
    yield name, stored
    pocketbase.drop_collection(name)


def provider_of(server: PocketBase, collection: str, monkeypatch: pytest.MonkeyPatch, *, signed: bool = True, **page: Any) -> Rest:
    """The provider as docs/providers.md declares PocketBase, on this server; without its token where it is not `signed`."""
    monkeypatch.setenv("POCKETBASE_TOKEN", server.token)
    resource = {
        "path": f"{collection}/records",
        "records": "items",
        "get": f"{collection}/records/{{key}}",
        "total": "totalItems",
        "params": {"sort": "id"},
        "paging": {"rule": "page", "size_param": "perPage", "size": 500, "total_pages": "totalPages", **page},
        "link": f"{server.url}/_/#/collections?collection={collection}&record={{key}}",
    }
    auth = {"auth": {"bearer": {"env": "POCKETBASE_TOKEN"}}} if signed else {}
    settings = {"type": "rest", "base_url": f"{server.url}/api/collections/", **auth, "resources": {"orders": resource}}
    return Rest(section("providers.pocketbase", settings))


def test_every_record_comes_once(pocketbase: PocketBase, orders: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> None:
    """2,300 records in pages of 500: all of them, as the server stored them, and its own count beside ours."""
    name, stored = orders
    provider = provider_of(pocketbase, name, monkeypatch)
    pages = list(provider.fetch(Listing(resource="orders")))
    records, end = whole(provider, "orders")
    provider.close()
    assert sorted(records, key=lambda record: record["id"]) == sorted(stored, key=lambda record: record["id"])
    assert end.proof == "page 5 of totalPages = 5"
    assert [page.total for page in pages] == [COUNT] * 5
    assert [len(page.items) for page in pages] == [500, 500, 500, 500, 300]


def test_a_clamped_page_size_loses_nothing(
    pocketbase: PocketBase, orders: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for 5,000 a page the server hands out 1,000 and says nothing; the fetch reads on to its last page all the same."""
    name, stored = orders
    provider = provider_of(pocketbase, name, monkeypatch, size=5000)
    records, end = whole(provider, "orders")
    provider.close()
    assert {record["id"] for record in records} == {record["id"] for record in stored}
    assert (len(records), end.proof) == (COUNT, "page 3 of totalPages = 3")


def test_a_job_may_filter(pocketbase: PocketBase, orders: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The job's parameters go to the server, special characters and all."""
    name, stored = orders
    provider = provider_of(pocketbase, name, monkeypatch)
    records, _ = whole(provider, "orders", filter="state = 'closed' && amount >= 1000")
    provider.close()
    assert {record["ref"] for record in records} == {r["ref"] for r in stored if r["state"] == "closed" and r["amount"] >= 1000}


def test_a_read_by_id(pocketbase: PocketBase, orders: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that is there is found as it stands now; one that was deleted, or never was, is answered with 404."""
    name, stored = orders
    (changed, dead) = pocketbase.insert(name, [{"ref": "changing"}, {"ref": "dying"}])
    pocketbase.patch(name, changed["id"], {"amount": 41})
    pocketbase.delete(name, [dead["id"]])
    provider = provider_of(pocketbase, name, monkeypatch)
    keys = [stored[0]["id"], changed["id"], dead["id"], "nosuchrecord000"]
    answers = {answer.key: answer for answer in provider.get_many("orders", keys, clock=SystemClock())}
    provider.close()
    pocketbase.delete(name, [changed["id"]])
    assert [answers[key].status for key in keys] == [LookupStatus.FOUND] * 2 + [LookupStatus.NOT_FOUND] * 2
    assert b'"amount":41' in (answers[changed["id"]].item or b"")


def test_a_wrong_collection_is_refused(pocketbase: PocketBase, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collection that is not there is no empty one: the fetch stops and names the request."""
    provider = provider_of(pocketbase, "nowhere", monkeypatch)
    with pytest.raises(Refused, match=r"/api/collections/nowhere/records.*404"):
        whole(provider, "orders")
    provider.close()


def test_a_wrong_token_is_refused(
    pocketbase: PocketBase, orders: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without rights nothing is read, and nothing of the token is said."""
    provider = provider_of(pocketbase, orders[0], monkeypatch)
    monkeypatch.setenv("POCKETBASE_TOKEN", "not-the-token-at-all")
    with pytest.raises(Refused, match="403") as caught:
        whole(provider, "orders")
    provider.close()
    assert "not-the-token-at-all" not in f"{caught.value} {caught.value.hint}"


def test_the_servers_own_rate_limit_is_waited_out(pocketbase: PocketBase, monkeypatch: pytest.MonkeyPatch) -> None:
    """With real 429s between the pages, which carry no Retry-After, the fetch still ends whole."""
    name = next(NAMES)
    pocketbase.create_collection(name, {"ref": "text"}, public=True)
    pocketbase.insert(name, ({"ref": f"r{n}"} for n in range(12)))
    # Superusers are exempt from the server's limit, so this one reads as nobody.
    provider = provider_of(pocketbase, name, monkeypatch, signed=False, size=2)
    pocketbase.limit(4, seconds=1)
    try:
        records, end = whole(provider, "orders")
    finally:
        pocketbase.limit(None)
        provider.close()
        pocketbase.drop_collection(name)
    assert (len({record["ref"] for record in records}), end.proof) == (12, "page 6 of totalPages = 6")
    assert provider.meter.throttled > 0


def test_rows_lost_to_deletions_are_still_found_by_id(pocketbase: PocketBase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten deletions after the first page shift ten live rows out of the listing; a read by id tells these from the deleted ones."""
    name = next(NAMES)
    pocketbase.create_collection(name, {"ref": "text"})
    pocketbase.insert(name, ({"ref": f"r{n}"} for n in range(300)))
    provider = provider_of(pocketbase, name, monkeypatch, size=50)
    seen: list[str] = []
    deleted: list[str] = []
    for page in provider.fetch(Listing(resource="orders")):
        seen.extend(json.loads(item)["id"] for item in page.items)
        if not deleted:
            deleted = seen[:10]
            pocketbase.delete(name, deleted)
    live, _ = whole(provider, "orders")
    lost = [record["id"] for record in live if record["id"] not in set(seen)]
    answers = {answer.key: answer.status for answer in provider.get_many("orders", [*lost, *deleted], clock=SystemClock())}
    provider.close()
    pocketbase.drop_collection(name)
    assert len(lost) == 10
    assert {answers[key] for key in lost} == {LookupStatus.FOUND}
    assert {answers[key] for key in deleted} == {LookupStatus.NOT_FOUND}


def test_what_deletions_shift_out_of_one_pass_the_second_has(
    tmp_path: Path, pocketbase: PocketBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten rows of the first page go before the second is asked for: the first pass misses ten live ones, and the union of both passes has them all."""
    name = next(NAMES)
    pocketbase.create_collection(name, {"ref": "text"})
    stored = [row["id"] for row in pocketbase.insert(name, ({"ref": f"r{n}"} for n in range(300)))]
    provider, spool = provider_of(pocketbase, name, monkeypatch, size=50), Spool.open(tmp_path)
    provider.concurrency = 1
    deleted: list[str] = []

    def on_page(_: Coverage) -> None:
        if not deleted:
            deleted.extend(sorted(stored)[:10])
            pocketbase.delete(name, deleted)

    try:
        coverage = land(provider, Listing(resource="orders"), spool, clock=SystemClock(), on_page=on_page)
        seen = [json.loads(line)["id"] for frame in spool.frames() for line in frame.splitlines()]
    finally:
        spool.close()
        provider.close()
        pocketbase.drop_collection(name)
    live = set(stored) - set(deleted)
    assert (coverage.whole, coverage.planned, coverage.finished) == (True, 2, 2)
    assert len(live - set(seen[:290])) == 10
    assert live <= set(seen)
