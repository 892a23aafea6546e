"""A fetch in parts side by side, killed at any instant: what is on disk is never asked for again, and the end is the same."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from recon.fetch.crew import AHEAD
from recon.fetch.spool import Spool
from tests.servers.fault_server import Answer, Asked, FaultServer, fault_server

__all__ = ["fault_server"]
ROOT = Path(__file__).parent.parent.parent
REGIONS, PAGES, SIZE, WIDTH = ("eu", "us", "ap", "af", "sa"), 24, 10, 3

CHILD = """
import sys
from pathlib import Path
from recon.clock import SystemClock
from recon.fetch.landing import land
from recon.fetch.narrowing import Shards
from recon.fetch.paging import CursorInBody
from recon.fetch.spool import Spool
from recon.http_provider import HTTPProvider, Resource
from recon.provider import Listing
from recon.section import Section

class Shop(HTTPProvider):
    catalogue = {"orders": Resource(path="orders", records="data", paging=CursorInBody(param="cursor", at="next"),
                                    shards=Shards(param="region", values=("eu", "us", "ap", "af", "sa"), at="region"))}

url, folder = sys.argv[1:]
table = {"base_url": url, "concurrency": 3}
provider = Shop(Section(name="shop", file=Path("recon.toml"), path="providers.shop", table=table, folder=Path()))
spool = Spool.open(Path(folder))
coverage = land(provider, Listing(resource="orders"), spool, clock=SystemClock())
spool.close()
provider.close()
print(coverage.whole, coverage.pages, coverage.records, coverage.planned, coverage.resumed, coverage.requests)
"""


def orders(asked: Asked) -> Answer:
    """A page of a region's orders, a little later than asked for, so that a kill falls among several on their way."""
    region, number = asked.query["region"], int(asked.query.get("cursor", "0"))
    first = (REGIONS.index(region) * PAGES + number) * SIZE
    body = {"data": [{"id": first + i, "region": region} for i in range(SIZE)], "next": str(number + 1) if number + 1 < PAGES else None}
    text = json.dumps(body).encode()
    return Answer(pieces=[0.003, text[: len(text) // 2], text[len(text) // 2 :]])


def start(url: str, folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", CHILD, url, str(folder)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def spooled(folder: Path) -> list[int]:
    """The ids on disk, in order."""
    spool = Spool.open(folder)
    try:
        return sorted(json.loads(line)["id"] for frame in spool.frames() for line in frame.splitlines())
    finally:
        spool.close()


def place(asked: Asked) -> int:
    """The number of the page that is asked for, counted over all regions."""
    return REGIONS.index(asked.query["region"]) * PAGES + int(asked.query.get("cursor", "0"))


def test_parts_killed_again_and_again_end_whole(fault_server: FaultServer, tmp_path: Path) -> None:
    """Kill -9 four times with three parts on their way: whole pages on disk, none of them asked for again, every item once at the end."""
    fault_server.on("/orders", orders)
    folder, kills = tmp_path / "spool", 0
    for wanted in (2, 25, 60, 95):
        child = start(fault_server.url, folder)
        while len(fault_server.requests) < wanted + kills * WIDTH and child.poll() is None:
            time.sleep(0.001)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert child.returncode == -signal.SIGKILL, "killed under way"
        kills += 1
        ids = spooled(folder)
        there = {number // SIZE for number in ids}
        assert ids == [page * SIZE + i for page in sorted(there) for i in range(SIZE)], "whole pages, each once"
        before = len(fault_server.requests)
        again = start(fault_server.url, folder)
        while len(fault_server.requests) < before + 2 * WIDTH and again.poll() is None:
            time.sleep(0.001)
        again.send_signal(signal.SIGKILL)
        again.communicate()
        assert again.returncode == -signal.SIGKILL, "killed under way"
        kills += 1
        assert not there & set(map(place, fault_server.requests[before:])), "a page that is on disk is not asked for again"
    assert len({asked.query["region"] for asked in fault_server.requests[: 2 * WIDTH]}) > 1, "side by side"
    done = start(fault_server.url, folder)
    out, _ = done.communicate(timeout=60)
    assert done.returncode == 0
    pages = len(REGIONS) * PAGES
    assert out.split()[:5] == ["True", str(pages), str(pages * SIZE), str(len(REGIONS)), "True"]
    assert spooled(folder) == list(range(pages * SIZE))
    assert len(fault_server.requests) <= pages + kills * WIDTH * (AHEAD + 2), "asked twice is only what was in hand"
    asked = len(fault_server.requests)
    start(fault_server.url, folder).communicate(timeout=60)
    assert len(fault_server.requests) == asked, "a finished spool asks for nothing more"
