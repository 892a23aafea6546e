"""A real datasette: 50,000 rows by its own keyset, by Link and by URL, whatever page size is asked for."""

from pathlib import Path

from recon.clock import SystemClock
from recon.fetch.page import LookupStatus
from tests.integration.fetched import fetched, rest
from tests.servers.datasette import ROWS, Datasette, datasette

__all__ = ["datasette"]

# Datasette sends a Link header while there is more, and none on the last page (https://docs.datasette.io/en/stable/json_api.html, read 2026-11).
BY_LINK = """
path = "orders.json"
records = ""
params = { _shape = "array", _size = 1000 }
paging = { rule = "link", end = "absent" }
"""
# It never gives more than max_returned_rows, and `_size=max` asks for that.
BY_URL = """
path = "orders.json"
records = "rows"
params = { _shape = "objects", _size = "max" }
total = "filtered_table_rows_count"
paging = { rule = "next_url", at = "next_url" }
get = "orders/{key}.json"
get_params = { _shape = "objects" }
get_record = "rows.0"
"""


def test_fifty_thousand_rows_come_by_link(datasette: Datasette, tmp_path: Path) -> None:
    """Fifty pages of a thousand: whole, each row once, in the order of its key."""
    provider = rest(f"{datasette.url}/shop/", BY_LINK)
    found = fetched(provider, tmp_path)
    provider.close()

    assert found.coverage.whole
    assert (found.coverage.pages, found.coverage.records, found.coverage.unreadable) == (50, ROWS, 0)
    assert found.coverage.proof == "no Link header on page 50"
    assert found.keys == [f"o{n:05}" for n in range(ROWS)]


def test_its_own_count_stands_in_the_certificate(datasette: Datasette, tmp_path: Path) -> None:
    """By the URL in the body: the API's count beside ours, its end in its own words; a row can be read by id, one that is not there is not found."""
    provider = rest(f"{datasette.url}/shop/", BY_URL)
    found = fetched(provider, tmp_path)
    answers = list(provider.get_many("orders", ["o00007", "o99999"], clock=SystemClock()))
    provider.close()

    assert found.coverage.verdict() == "whole"
    assert (found.coverage.total, found.coverage.records, len(set(found.keys))) == (ROWS, ROWS, ROWS)
    assert found.coverage.proof == "next_url = null on page 50"
    assert [answer.status for answer in answers] == [LookupStatus.FOUND, LookupStatus.NOT_FOUND]
