"""A real json-server: pages by Link and by X-Total-Count, and rows deleted while they are listed."""

from pathlib import Path

import pytest

from recon.clock import SystemClock
from recon.fetch.page import LookupStatus
from recon.fetch.unchanged import TOLD
from tests.integration.fetched import fetched, rest
from tests.servers.json_server import ROWS, JsonServer, json_server, orders

__all__ = ["json_server"]

pytestmark = pytest.mark.node

BY_LINK = """
path = "orders"
records = ""
params = { _page = 1, _limit = 100 }
total = "header:X-Total-Count"
paging = { rule = "link" }
"""
BY_OFFSET = """
path = "orders"
records = ""
get = "orders/{key}"
paging = { rule = "offset", param = "_start", limit_param = "_limit", size = 100, total = "header:X-Total-Count" }
"""


def test_a_list_by_link_is_whole(json_server: JsonServer, tmp_path: Path) -> None:
    """Ten pages by the Link header, which on the last one has no next; the count is the API's too."""
    provider = rest(f"{json_server.url}/", BY_LINK)
    found = fetched(provider, tmp_path)
    provider.close()

    assert found.coverage.verdict() == "whole"
    assert (found.coverage.pages, found.coverage.total) == (10, ROWS)
    assert found.coverage.proof.startswith("Link without rel=next on page 10")
    assert found.records == orders()


def test_a_second_pass_is_told_what_is_unchanged(json_server: JsonServer, tmp_path: Path) -> None:
    """Express gives each page an ETag: all but the last page of the second pass come as 304, and what is found is the same."""
    plain, tagged = rest(f"{json_server.url}/", BY_OFFSET), rest(f"{json_server.url}/", f"{BY_OFFSET}etags = true\n")
    whole = fetched(plain, tmp_path / "whole")
    spared = fetched(tagged, tmp_path / "spared")
    plain.close()
    tagged.close()

    assert spared.coverage.verdict() == "whole"
    assert f"pass 2, {TOLD}" in spared.coverage.notes
    assert spared.records == whole.records
    assert spared.coverage.bytes < whole.coverage.bytes * 0.65


def test_rows_deleted_between_pages_are_never_lost_for_good(json_server: JsonServer, tmp_path: Path) -> None:
    """Offsets move up over what is deleted, so live rows may be missed by a pass: read by id, each of them is there, and each deleted one is not."""
    provider = rest(f"{json_server.url}/", BY_OFFSET)
    gone = [f"o{n:04}" for n in range(5)]
    before = fetched(provider, tmp_path / "before")

    def deleting(coverage: object) -> None:
        if gone_now := [key for key in gone if key not in deleted][:1]:
            json_server.delete(gone_now[0])
            deleted.extend(gone_now)

    deleted: list[str] = []
    found = fetched(provider, tmp_path / "drifting", on_page=deleting)
    missed = sorted(set(before.keys) - set(found.keys))
    answers = {one.key: one.status for one in provider.get_many("orders", [*missed, *gone], clock=SystemClock())}
    provider.close()

    assert before.coverage.verdict() == "whole"
    assert len(before.keys) == ROWS
    assert deleted == gone
    assert {answers[key] for key in gone} == {LookupStatus.NOT_FOUND}
    assert {answers[key] for key in missed if key not in gone} <= {LookupStatus.FOUND}
