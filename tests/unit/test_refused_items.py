"""An item of a list that the third party does not give out costs itself, and not the list."""

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from recon.fetch.coverage import Coverage
from recon.fetch.landing import land
from recon.fetch.listing import Listing
from recon.fetch.narrowing import PageSize
from recon.fetch.paging import LastId, Offset, PageNumber
from recon.fetch.resource import Resource
from recon.fetch.spool import Spool
from recon.fetch.transport import Request, Response
from recon.http_provider import Action, HTTPProvider, Rule
from recon.testing import section
from tests.servers.manual_clock import ManualClock

COUNT = 45


@dataclass
class Broken:
    """Items from 0 on, by offset, by page or by the id before; a page that holds one of `refused` is answered with 500 and its code."""

    refused: frozenset[int]
    #: Behind the 15th item a page of more is too large.
    most: int = 1_000
    too_large: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)

    def send(self, request: Request) -> Response:
        """As of `recon.fetch.transport.Transport`."""
        query = dict(parse_qsl(urlsplit(request.target()).query))
        self.asked.append(query)
        size = int(query["limit"])
        start = int(query["after"]) + 1 if "after" in query else int(query.get("offset", 0))
        if "page" in query:
            start = (int(query["page"]) - 1) * size
        rows = range(start, min(COUNT, start + size))
        if self.refused & set(rows):
            return _json(500, {"error": "corrupt item"})
        if size > self.most and rows.stop > 15:
            self.too_large += 1
            return _json(413, {"error": "too large"})
        body = {"data": [{"id": str(n)} for n in rows], "has_more": start + size < COUNT, "total": COUNT, "pages": -(-COUNT // size)}
        return _json(200, body)

    def close(self) -> None:
        """Nothing is open."""


def _json(status: int, document: object) -> Response:
    body = json.dumps(document).encode()
    return Response(status=status, headers={"content-type": "application/json"}, body=body, wire_bytes=len(body))


class Shop(HTTPProvider):
    """A provider that has been told what `corrupt item` means."""

    classify = (Rule(statuses=frozenset({500}), body="corrupt item", do=Action.SKIP),)


def landed(folder: Path, party: Broken, **declared: Any) -> tuple[Coverage, list[int], Spool]:
    """The certificate, the keys in order, each once, and the closed spool."""
    provider = Shop(section("shop", base_url="http://127.0.0.1:9/", concurrency=1, tries=1))
    provider.catalogue = {"orders": Resource(path="orders", records="data", **{"passes": 1, **declared})}
    provider.session.through(party, chance=random.Random(1))
    spool, clock = Spool.open(folder), ManualClock()
    try:
        coverage = land(provider, Listing(resource="orders", clock=clock), spool, clock=clock)
        keys = [int(json.loads(line)["id"]) for frame in spool.frames() for line in frame.splitlines()]
        return coverage, list(dict.fromkeys(keys)), spool
    finally:
        spool.close()
        provider.close()


WAYS: dict[str, Any] = {
    "offset": Offset(limit_param="limit", size=10, total="total", overlap=0),
    "offset that overlaps by one": Offset(limit_param="limit", size=10, more="has_more"),
    "offset that overlaps by three": Offset(limit_param="limit", size=10, total="total", overlap=3),
    "page by total": PageNumber(size_param="limit", size=10, total="total"),
    "page by pages": PageNumber(size_param="limit", size=10, total_pages="pages"),
    "page of an odd size": PageNumber(size_param="limit", size=9, more="has_more"),
}


@pytest.mark.parametrize("refused", [{13}, {0}, {COUNT - 1}, {9, 10}, {3, 17, 31}], ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_a_refused_item_costs_itself(tmp_path: Path, way: str, refused: set[int]) -> None:
    """Every other item comes; the refused ones are counted as unreadable, with what the third party said."""
    coverage, keys, spool = landed(tmp_path, Broken(frozenset(refused)), paging=WAYS[way])
    assert keys == [n for n in range(COUNT) if n not in refused]
    assert coverage.verdict() == f"whole but for {len(refused)} unreadable"
    assert {"500: it does not give this one out: corrupt item" in one.why for one in spool.unread} == {True}


@pytest.mark.parametrize("way", WAYS)
def test_the_page_comes_back_to_its_size(tmp_path: Path, way: str) -> None:
    """Behind the item the pages grow again, to what they were, or as near as page numbers allow: the rest is no matter of single items."""
    party = Broken(frozenset({3}))
    landed(tmp_path, party, paging=WAYS[way])
    assert int(party.asked[-1]["limit"]) == (8 if way == "page of an odd size" else WAYS[way].size)
    assert len(party.asked) < 22


def test_a_size_that_was_too_large_is_not_come_back_to(tmp_path: Path) -> None:
    """Behind the refused item the page grows until it is too large, once; the size that is taken then holds, and the size before is forgotten."""
    party = Broken(frozenset({13}), most=5)
    coverage, keys, _ = landed(tmp_path, party, paging=Offset(limit_param="limit", size=10, total="total"))
    assert coverage.verdict() == "whole but for 1 unreadable"
    assert len(keys) == COUNT - 1
    assert party.too_large == 1
    assert int(party.asked[-1]["limit"]) == 4


def test_a_list_that_is_refused_throughout_is_no_matter_of_items(tmp_path: Path) -> None:
    """Where one refusal follows another without end the listing is given up, partial, after a bounded number of requests."""
    party = Broken(frozenset(range(5, COUNT * 100)))
    coverage, keys, _ = landed(tmp_path, party, paging=Offset(limit_param="limit", size=10, more="has_more"))
    assert not coverage.whole
    assert "it does not give this one out" in coverage.proof
    assert keys == list(range(5))
    assert len(party.asked) < 200


@pytest.mark.parametrize(
    "declared",
    [
        {"paging": LastId(param="after"), "size": PageSize(param="limit", size=10)},
        {"paging": Offset(limit_param="limit", size=10, more="has_more"), "size": PageSize(param="limit", size=10, least=2)},
    ],
    ids=["last id", "pages of two at least"],
)
def test_an_item_that_cannot_be_stepped_over_leaves_the_list_partial(tmp_path: Path, declared: dict[str, Any]) -> None:
    """Where nothing leads on from an item that was never seen, or none can be asked for alone: partial with the reason, never whole."""
    coverage, keys, _ = landed(tmp_path, Broken(frozenset({13})), **declared)
    assert not coverage.whole
    assert "it does not give this one out" in coverage.proof
    assert 13 not in keys
