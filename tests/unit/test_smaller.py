"""A page that the third party calls too large is asked for with fewer items, and nothing is lost over it."""

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
from recon.fetch.paging import LastId, NextUrlInBody, Offset, PageNumber
from recon.fetch.resource import Resource
from recon.fetch.spool import Spool
from recon.fetch.transport import Request, Response
from recon.http_provider import HTTPProvider
from recon.testing import section
from tests.servers.manual_clock import ManualClock

COUNT = 25


@dataclass
class Narrow:
    """Items from 0 on, of which the 13th is large: a page that holds it and more than `most` items is refused with 413."""

    most: int
    #: Above it sizes are cut down without a word.
    clamp: int = 1_000
    asked: list[dict[str, str]] = field(default_factory=list)

    def send(self, request: Request) -> Response:
        """As of `recon.fetch.transport.Transport`."""
        query = dict(parse_qsl(urlsplit(request.target()).query))
        self.asked.append(query)
        size = min(int(query["limit"]), self.clamp)
        start = int(query.get("offset", query.get("from", 0)))
        if "page" in query:
            start = (int(query["page"]) - 1) * size
        if "after" in query:
            start = int(query["after"]) + 1
        rows = list(range(start, min(COUNT, start + size)))
        if 13 in rows and size > self.most:
            return _json(413, {"error": "too large"})
        more = start + size < COUNT
        following = f"/orders?from={start + size}&limit={size}" if more else None
        return _json(200, {"data": [{"id": str(n)} for n in rows], "has_more": more, "total": COUNT, "next": following})

    def close(self) -> None:
        """Nothing is open."""


def _json(status: int, document: object) -> Response:
    body = json.dumps(document).encode()
    return Response(status=status, headers={"content-type": "application/json"}, body=body, wire_bytes=len(body))


def landed(folder: Path, party: Narrow, **declared: Any) -> tuple[Coverage, list[str]]:
    """The certificate and the keys, each once."""
    provider = HTTPProvider(section("shop", base_url="http://127.0.0.1:9/", concurrency=1, tries=1))
    provider.catalogue = {"orders": Resource(path="orders", records="data", **declared)}
    provider.session.through(party, chance=random.Random(1))
    spool, clock = Spool.open(folder), ManualClock()
    try:
        coverage = land(provider, Listing(resource="orders", clock=clock), spool, clock=clock)
        keys = [json.loads(line)["id"] for frame in spool.frames() for line in frame.splitlines()]
        return coverage, list(dict.fromkeys(keys)) if spool.union else keys
    finally:
        spool.close()
        provider.close()


WAYS: dict[str, dict[str, Any]] = {
    "offset": {"paging": Offset(limit_param="limit", size=10, total="total"), "passes": 1},
    "page": {"paging": PageNumber(size_param="limit", size=10, total="total"), "passes": 1},
    "page that does not align": {"paging": PageNumber(size_param="limit", size=9, total="total"), "passes": 1},
    "last id": {"paging": LastId(param="after"), "size": PageSize(param="limit", size=10)},
    "next URL": {"paging": NextUrlInBody(at="next"), "size": PageSize(param="limit", size=10)},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_page_that_is_too_large_is_asked_for_with_fewer_items(tmp_path: Path, way: str) -> None:
    """By halves down to what the API gives; every item comes, the smaller size holds from there on, and the certificate notes it."""
    party = Narrow(most=3)
    coverage, keys = landed(tmp_path, party, **WAYS[way])
    assert coverage.whole
    assert keys == [str(n) for n in range(COUNT)]
    assert int(party.asked[-1]["limit"]) <= 3
    assert any("was too large with" in note for note in coverage.notes)


def test_a_page_is_not_made_smaller_than_the_least(tmp_path: Path) -> None:
    """Where even the least is too large, what came before is partial, and the words name the reason."""
    coverage, keys = landed(tmp_path, Narrow(most=3), paging=LastId(param="after"), size=PageSize(param="limit", size=10, least=5))
    assert not coverage.whole
    assert "too large" in coverage.proof
    assert keys == [str(n) for n in range(10)]


def test_a_page_number_is_not_moved_where_the_size_is_not_the_one_asked_for(tmp_path: Path) -> None:
    """An API that gives 7 where 10 were asked for counts pages of 7: no number of a smaller page can be known, so it is partial, never wrong."""
    way = {"paging": PageNumber(size_param="limit", size=10, total="total"), "passes": 1}
    coverage, keys = landed(tmp_path, Narrow(most=3, clamp=7), **way)
    assert not coverage.whole
    assert keys == [str(n) for n in range(7)]
