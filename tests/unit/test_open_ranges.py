"""A range that is open, and too wide for the third party, is cut in two like any other."""

import json
import random
from dataclasses import dataclass, field
from pathlib import Path

from recon.fetch.classify import Action, Rule
from recon.fetch.landing import land
from recon.fetch.listing import Listing
from recon.fetch.narrowing import Ranges
from recon.fetch.paging import CursorInBody
from recon.fetch.resource import Resource
from recon.fetch.spool import Spool
from recon.fetch.transport import Request, Response
from recon.http_provider import HTTPProvider
from recon.testing import section
from tests.servers.manual_clock import ManualClock


@dataclass
class Search:
    """Items by id, two a page; a range that finds more than `most` of them is refused with 422."""

    ids: range
    most: int
    refused: list[tuple[str | None, str | None]] = field(default_factory=list)

    def send(self, request: Request) -> Response:
        """As of `recon.fetch.transport.Transport`."""
        low, high = request.query.get("from"), request.query.get("to")
        rows = [n for n in self.ids if (low is None or n >= int(low)) and (high is None or n < int(high))]
        if len(rows) > self.most:
            self.refused.append((low, high))
            return _json(422, {"error": "more results than can be given"})
        start = int(request.query.get("after", 0))
        more = start + 2 < len(rows)
        return _json(200, {"data": [{"id": n} for n in rows[start : start + 2]], "next": str(start + 2) if more else None})

    def close(self) -> None:
        """Nothing is open."""


def _json(status: int, document: object) -> Response:
    body = json.dumps(document).encode()
    return Response(status=status, headers={"content-type": "application/json"}, body=body, wire_bytes=len(body))


def test_an_open_range_that_is_too_wide_is_cut_in_two(tmp_path: Path) -> None:
    """The first part is open below and holds forty items where ten can be given: it is cut until each part can be, and the whole meets."""

    class Shop(HTTPProvider):
        classify = (Rule(statuses=frozenset({422}), do=Action.SPLIT),)

    party = Search(range(100, 4_100, 100), 10)
    provider = Shop(section("shop", base_url="http://127.0.0.1:9/", concurrency=1, tries=1))
    ranges = Ranges(at="id", low="from", high="to", form="integer")
    provider.catalogue = {"orders": Resource(path="orders", records="data", paging=CursorInBody(param="after", at="next"), ranges=ranges)}
    provider.session.through(party, chance=random.Random(1))
    spool, clock = Spool.open(tmp_path), ManualClock()
    coverage = land(provider, Listing(resource="orders", clock=clock), spool, clock=clock)
    keys = [json.loads(line)["id"] for frame in spool.frames() for line in frame.splitlines()]
    spool.close()
    provider.close()
    assert (None, "5000") in party.refused
    assert coverage.verdict() == "whole"
    assert sorted(keys) == list(party.ids)
