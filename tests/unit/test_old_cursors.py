"""A cursor that is older than the third party honours is not used, and one that has died begins its part anew."""

import json
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from recon.errors import CursorExpired
from recon.fetch.landing import land
from recon.fetch.listing import Listing
from recon.fetch.narrowing import Ranges
from recon.fetch.paging import CursorInBody
from recon.fetch.partition import Partition
from recon.fetch.planning import RangePlan
from recon.fetch.resource import Resource
from recon.fetch.spool import Spool
from recon.fetch.transport import Request, Response
from recon.http_provider import HTTPProvider
from recon.testing import section
from tests.servers.manual_clock import ManualClock


@dataclass
class Ageing:
    """Six items, two a page; a cursor that was given more than 60 seconds before is gone (410), as is the first `dead` ones that are used."""

    clock: ManualClock
    dead: int = 0
    given: dict[str, float] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def send(self, request: Request) -> Response:
        """As of `recon.fetch.transport.Transport`."""
        cursor = str(request.query.get("after", "0"))
        self.asked.append(cursor)
        if cursor != "0":
            assert self.clock.monotonic() - self.given[cursor] <= 60, "an old cursor was used"
            if self.dead:
                self.dead -= 1
                return Response(status=410, headers={}, body=b'{"error":"cursor expired"}', wire_bytes=26)
        start = int(cursor)
        following = str(start + 2) if start < 4 else None
        if following:
            self.given[following] = self.clock.monotonic()
        body = json.dumps({"data": [{"id": f"k{n}"} for n in (start, start + 1)], "next": following}).encode()
        return Response(status=200, headers={"content-type": "application/json"}, body=body, wire_bytes=len(body))

    def close(self) -> None:
        """Nothing is open."""


def made(party: Ageing) -> HTTPProvider:
    """A provider whose cursors live a minute."""
    provider = HTTPProvider(section("shop", base_url="http://127.0.0.1:9/", concurrency=1, tries=1))
    paging = CursorInBody(param="after", at="next")
    provider.catalogue = {"orders": Resource(path="orders", paging=paging, records="data", cursor_age="1m")}
    provider.session.through(party, chance=random.Random(1))
    return provider


def test_a_cursor_that_aged_in_a_running_fetch_is_not_asked_for() -> None:
    """Two minutes pass between two pages of one walk: the second page is not asked for, and the words tell both times."""
    clock = ManualClock()
    party = Ageing(clock)
    pages = made(party).fetch(Listing(resource="orders", clock=clock))
    checkpoint = next(pages).next
    clock.sleep(120)
    with pytest.raises(CursorExpired, match=r"2m 00s old.*1m 00s"):
        next(pages)
    with pytest.raises(CursorExpired, match=r"2m 00s old.*1m 00s"):
        next(made(party).fetch(Listing(resource="orders", clock=clock, resume=checkpoint)))
    assert party.asked == ["0"]


@pytest.mark.parametrize(("pause", "dead"), [(120, 0), (0, 1)], ids=["aged", "refused"])
def test_a_fetch_whose_cursor_died_begins_its_part_anew(tmp_path: Path, pause: float, dead: int) -> None:
    """A cursor that aged between two pages, or that is refused with 410, costs its part a restart, and the fetch ends whole."""
    clock = ManualClock()
    party = Ageing(clock, dead)
    pauses = iter([pause])
    spool = Spool.open(tmp_path)
    coverage = land(
        made(party), Listing(resource="orders", clock=clock), spool, clock=clock, on_page=lambda _: clock.sleep(next(pauses, 0))
    )
    kept = [json.loads(line)["id"] for frame in spool.frames() for line in frame.splitlines()]
    spool.close()
    assert (coverage.whole, coverage.parts[0].restarts) == (True, 1)
    assert kept == [f"k{n}" for n in range(6)]


@pytest.mark.parametrize("form", ["epoch", "date", "integer"])
def test_any_range_is_split_in_two_that_meet(form: str) -> None:
    """Open below, open above or closed: the halves are the range, over and over, down to one that cannot be cut."""
    plan = RangePlan(ranges=Ranges(at="at", low="l", high="h", form=form), now=1_700_000_000)  # type: ignore[arg-type]  # drawn by name
    for whole in (Partition(high=1_600_000_000), Partition(low=1_600_000_000), Partition(low=0, high=1_600_000_000)):
        part, cuts = whole, 0
        while (halves := plan.split(part)) is not None:
            lower, upper = halves
            assert (lower.low, lower.high, upper.high) == (part.low, upper.low, part.high)
            assert lower.name != upper.name
            part, cuts = (lower if cuts % 2 else upper), cuts + 1
            assert cuts < 80
            if part.low is None or part.high is None:
                part = lower if part is upper else upper
        assert cuts > 5
