"""What `recon doctor` finds out about a listing that is declared to come in parts, from a server that honours its bounds or does not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recon.clock import SystemClock
from recon.doctor.third_party import third_party
from recon.testing.fault_server import FaultServer
from recon.testing.faultlab.api import Api
from tests.acceptance.nights import Doubles, job
from tests.integration.fetched import rest

ORDERS = """
path = "orders"
records = "data"
get = "orders/{key}"
paging = { rule = "last_id", param = "after" }
"""
RANGES = 'ranges = { at = "created", low = "created[gte]", high = "created[lt]" }'
SHARDS = 'shards = { param = "region", values = ["eu", "us"], at = "region" }'


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as one:
        yield one


def said(server: FaultServer, folder: Path, cut: str, **api: Any) -> list[tuple[str, str, str]]:
    """What the doctor says: level, name and words. `api` changes what the server does."""
    provider = rest(f"{server.url}/", f"{ORDERS}{cut}")
    records = [{"id": f"k{n}", "created": 1_700_000_000 + n * 3600, "region": "eu" if n % 2 else "us"} for n in range(9)]
    server.site = Api(resource=provider.resource("orders"), records=records, **api)
    orders = job(resource="orders")
    project = Doubles(folder, orders, {"provider": provider})
    try:
        return [
            (check.level, check.name, check.message) for check in third_party(project, orders, SystemClock()) if check.name == "in parts"
        ]
    finally:
        provider.close()


@pytest.mark.parametrize(
    ("cut", "part"), [(RANGES, "created from created[gte] to created[lt] of its first item: 1 items"), (SHARDS, "region = us: 4 items")]
)
def test_a_page_within_bounds_is_asked_for(server: FaultServer, tmp_path: Path, cut: str, part: str) -> None:
    """The narrowest part that the first item lies in is asked for with its own bounds, and its rows lie within them."""
    ((level, _, words),) = said(server, tmp_path, cut)
    assert level == "ok"
    assert part in words


@pytest.mark.parametrize("cut", [RANGES, SHARDS])
def test_bounds_that_are_not_honoured_are_told(server: FaultServer, tmp_path: Path, cut: str) -> None:
    """Rows of all the list come: a warning, before a night finds out."""
    ((level, _, words),) = said(server, tmp_path, cut, filters=False)
    assert level == "warn"
    assert "were asked for" in words


def test_bounds_that_lose_an_item_are_told(server: FaultServer, tmp_path: Path) -> None:
    """The API leaves the low end out, and the declaration says that it is included: the item on the bound is in no part."""

    class Exclusive(Api):
        def _filtered(self, query: Any) -> Any:
            return [row for row in super()._filtered(query) if str(row["created"]) != query.get("created[gte]")]

    provider = rest(f"{server.url}/", f"{ORDERS}{RANGES}")
    server.site = Exclusive(resource=provider.resource("orders"), records=[{"id": "k1", "created": 1_700_000_000}])
    orders = job(resource="orders")
    checks = [
        check for check in third_party(Doubles(tmp_path, orders, {"provider": provider}), orders, SystemClock()) if check.name == "in parts"
    ]
    provider.close()
    assert [(check.level, "does not hold the item that lies in it" in check.message) for check in checks] == [("warn", True)]


def test_a_list_in_one_is_asked_for_once(server: FaultServer, tmp_path: Path) -> None:
    """Nothing is said of parts where there are none."""
    assert said(server, tmp_path, "") == []
