"""A real mockoon: throttles and failures in turn between the pages of one list."""

from pathlib import Path

import pytest

from recon.errors import Throttled
from tests.integration.fetched import fetched, rest
from tests.servers.manual_clock import ManualClock
from tests.servers.mockoon import Mockoon, mockoon

__all__ = ["mockoon"]

pytestmark = pytest.mark.node

CURSOR = 'path = "orders"\nrecords = "data"\npaging = { rule = "cursor", param = "after", at = "next" }'
FIRST = {"body": {"data": [{"id": "a"}, {"id": "b"}], "next": "c2"}}
LAST = {"body": {"data": [{"id": "c"}], "next": None}}
TOO_FAST = {"status": 429, "body": {"error": {"message": "slow down"}}}
SCRIPT = [{**TOO_FAST, "headers": {"Retry-After": "3"}}, FIRST, TOO_FAST, TOO_FAST, {"status": 503, "body": {}}, LAST]


def test_throttles_between_pages_are_waited_out(mockoon: Mockoon, tmp_path: Path) -> None:
    """Four bad answers of six: the list is whole, the certificate counts them, and the pause that was asked for was kept."""
    url = mockoon.play(
        {"v1/orders": SCRIPT, "v2/orders": [FIRST, {**TOO_FAST, "headers": {"Retry-After": "86400"}}, LAST]},
    )
    provider = rest(f"{url}/v1/", CURSOR)
    clock = ManualClock()
    found = fetched(provider, tmp_path / "one", clock)
    provider.close()

    assert found.coverage.verdict() == "whole"
    assert found.keys == ["a", "b", "c"]
    assert (found.coverage.requests, found.coverage.retries, found.coverage.throttled) == (6, 4, 3)
    assert clock.slept[0] >= 3

    # A day's pause is no retry's to wait: the fetch stops, and the next one goes on from its page.
    provider = rest(f"{url}/v2/", CURSOR)
    with pytest.raises(Throttled, match="it asks for a pause of 1d 00h"):
        fetched(provider, tmp_path / "two", clock)
    clock.sleep(4 * 3600)
    with pytest.raises(Throttled, match="not sent, the third party asks for a pause of 20h"):
        fetched(provider, tmp_path / "two", clock)
    provider.close()
    # In another process nothing is known of the pause.
    provider = rest(f"{url}/v2/", CURSOR)
    found = fetched(provider, tmp_path / "two", clock)
    provider.close()

    assert (found.coverage.verdict(), found.coverage.resumed, found.keys) == ("whole", True, ["a", "b", "c"])
