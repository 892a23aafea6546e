"""Lists in parts, held against the records that the third party has: a filter it ignores, a part it never gives, a cursor that dies in one of them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recon.fetch.coverage import Coverage
from recon.fetch.landing import land
from recon.fetch.listing import Listing
from recon.fetch.spool import Spool
from recon.testing import FixedClock
from recon.testing.fault_server import Answer, Asked, FaultServer, page
from recon.testing.faultlab.api import Api
from tests.fetch_matrix.kinds import PARTS, made, records, subject

KEYS = [str(record["id"]) for record in records()]


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """One for all fetches of a test: a list at another place is another list."""
    with FaultServer() as one:
        yield one


def fetched(kind: str, folder: Path, server: FaultServer, site: Callable[[Asked], Answer]) -> tuple[Coverage, list[str]]:
    """The certificate, and the keys that are on disk, in order."""
    clock = FixedClock()
    server.site = site
    provider = made(kind, server.url)
    spool = Spool.open(folder)
    coverage = land(provider, Listing(resource="orders", clock=clock), spool, clock=clock)
    keys = sorted(json.loads(line)["id"] for frame in spool.frames() for line in frame.splitlines())
    spool.close()
    provider.close()
    return coverage, keys


def holds(api: Api, asked: Asked, key: str) -> bool:
    """Whether the part that is asked for has this record; a list in one has all."""
    return key in [api.key(row) for row in api._filtered(asked.query)]


@pytest.mark.parametrize("kind", PARTS)
def test_a_list_in_parts_is_whole(kind: str, server: FaultServer, tmp_path: Path) -> None:
    """With nothing wrong every record is there once, in more parts than one."""
    coverage, keys = fetched(kind, tmp_path, server, subject(kind).api())
    assert coverage.whole, coverage.proof
    assert coverage.planned == coverage.finished > 1
    assert keys == KEYS
    assert coverage.notes == ()


@pytest.mark.parametrize("kind", PARTS)
def test_a_filter_that_is_ignored_costs_a_fetch_in_one(kind: str, server: FaultServer, tmp_path: Path) -> None:
    """The third party gives all records for every part: noticed, fetched in one, each record once, and the certificate says so."""
    api = subject(kind).api()
    api.filters = False
    coverage, keys = fetched(kind, tmp_path, server, api)
    assert coverage.whole, coverage.proof
    assert coverage.planned == 1
    assert "fetched in one" in " ".join(coverage.notes)
    assert keys == KEYS


@pytest.mark.parametrize("kind", PARTS)
def test_a_part_that_can_never_be_had_leaves_the_others(kind: str, server: FaultServer, tmp_path: Path) -> None:
    """One part is refused for good: partial, that part named, every record of the others there and none of its own; later, mended, it alone is asked for."""
    api = subject(kind).api()
    refused = True
    asked_for: list[Asked] = []

    def site(asked: Asked) -> Answer:
        asked_for.append(asked)
        return page({"error": {"message": "not this one"}}, 404) if refused and holds(api, asked, "o09") else api(asked)

    coverage, keys = fetched(kind, tmp_path, server, site)
    assert not coverage.whole
    lacking = [part for part in coverage.parts if not part.ended]
    assert len(lacking) == 1
    assert coverage.finished == coverage.planned - 1
    assert lacking[0].name in coverage.proof
    gone = [one for one in asked_for if holds(api, one, "o09")]
    its = {api.key(row) for row in api._filtered(gone[0].query)}
    assert keys == [key for key in KEYS if key not in its]

    refused = False
    asked_for.clear()
    coverage, keys = fetched(kind, tmp_path, server, site)
    assert coverage.whole, coverage.proof
    assert keys == KEYS
    assert all(holds(api, one, "o09") or not api._filtered(one.query) for one in asked_for), "what ended is not asked for again"


@pytest.mark.parametrize("kind", ["link, shards"])
def test_a_cursor_that_dies_in_one_part_costs_that_part_alone(kind: str, server: FaultServer, tmp_path: Path) -> None:
    """The second page of one part is refused after a pause, since its cursor is gone: that part begins anew, the others stand, each record is there once."""
    api = subject(kind).api()
    asked_for: list[Asked] = []
    state = "gone"

    def site(asked: Asked) -> Answer:
        asked_for.append(asked)
        second = holds(api, asked, "o09") and api.served(asked).start > 0
        if second and state == "gone":
            return page({"error": {"message": "not now"}}, 404)
        dead = second and not any(holds(api, one, "o09") and api.served(one).start == 0 for one in asked_for)
        return page({"error": {"message": "no such cursor"}}, 400) if dead else api(asked)

    coverage, keys = fetched(kind, tmp_path, server, site)
    assert not coverage.whole
    there = set(keys)
    state = "back"
    asked_for.clear()
    coverage, keys = fetched(kind, tmp_path, server, site)
    assert coverage.whole, coverage.proof
    assert keys == KEYS
    assert 0 < len(there) < len(KEYS)
    assert all(holds(api, one, "o09") for one in asked_for), "the other parts stand"
    assert "started anew" in coverage.proof
