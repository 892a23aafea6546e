"""A fetch killed at any instant, and a disk that is full: nothing lost, nothing doubled, nothing believed too early."""

import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from recon.clock import SystemClock
from recon.errors import LocalFault
from recon.fetch.landing import land
from recon.fetch.page import End, Page
from recon.fetch.spool import Spool
from recon.provider import Listing, Meter
from tests.servers.fault_server import Answer, Asked, FaultServer, fault_server

__all__ = ["fault_server"]
ROOT = Path(__file__).parent.parent.parent
PAGES, SIZE = 120, 20

CHILD = """
import sys
from pathlib import Path
from recon.clock import SystemClock
from recon.fetch.landing import land
from recon.fetch.paging import CursorInBody
from recon.fetch.spool import Spool
from recon.http_provider import HTTPProvider, Resource
from recon.provider import Listing
from recon.section import Section

class Shop(HTTPProvider):
    catalogue = {"orders": Resource(path="orders", records="data", paging=CursorInBody(param="cursor", at="next"))}

url, folder = sys.argv[1:]
provider = Shop(Section(name="shop", file=Path("recon.toml"), path="providers.shop", table={"base_url": url}, folder=Path()))
spool = Spool.open(Path(folder))
coverage = land(provider, Listing(resource="orders"), spool, clock=SystemClock())
spool.close()
provider.close()
print(coverage.whole, coverage.pages, coverage.records, coverage.resumed, coverage.requests)
"""


def rows(number: int) -> list[dict[str, object]]:
    return [{"id": number * SIZE + i, "text": "x" * (number * 37 % 200)} for i in range(SIZE)]


def orders(asked: Asked) -> Answer:
    number = int(asked.query.get("cursor", "0"))
    body = {"data": rows(number), "next": str(number + 1) if number + 1 < PAGES else None}
    text = json.dumps(body).encode()
    # A little time per page, so that a kill falls into the middle of the fetch.
    return Answer(pieces=[0.002, text[: len(text) // 2], text[len(text) // 2 :]])


def start(url: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, url, str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def spooled(folder: Path) -> list[int]:
    spool = Spool.open(folder)
    try:
        return [json.loads(line)["id"] for frame in spool.frames() for line in frame.splitlines()]
    finally:
        spool.close()


def test_a_fetch_killed_again_and_again_ends_whole(fault_server: FaultServer, tmp_path: Path) -> None:
    """Kill -9 at five different points, a fresh process each time: every item once, in order, and hardly a page asked for twice."""
    fault_server.on("/orders", orders)
    folder = tmp_path / "spool"
    kills = 0
    for wanted in (1, 17, 46, 80, 101):
        child = start(fault_server.url, folder)
        while len(fault_server.requests) < wanted + kills and child.poll() is None:
            time.sleep(0.001)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        kills += 1
        ids = spooled(folder)
        assert ids == list(range(len(ids))), "what is on disk is a prefix of the listing, page by page"
        assert len(ids) % SIZE == 0
    done = start(fault_server.url, folder)
    out, _ = done.communicate(timeout=60)
    assert done.returncode == 0
    assert out.split()[:4] == ["True", str(PAGES), str(PAGES * SIZE), "True"]
    assert spooled(folder) == list(range(PAGES * SIZE))
    assert len(fault_server.requests) <= PAGES + kills * 2
    asked = len(fault_server.requests)
    start(fault_server.url, folder).communicate(timeout=60)
    assert len(fault_server.requests) == asked, "a finished spool asks for nothing more"


class Endless:
    """A provider whose pages do not compress, for ever."""

    name = "shop"

    def __init__(self) -> None:
        self.meter = Meter()

    def fetch(self, listing: Listing) -> Iterator[Page]:
        number = 0 if listing.resume is None else int(listing.resume["n"])
        while True:
            number += 1
            items = [json.dumps({"id": f"{number}-{i}", "blob": os.urandom(500).hex()}).encode() for i in range(20)]
            yield Page(items=items, next={"n": number}) if number < 400 else Page(items=items, end=End("page 400"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte; skips where this user may mount none."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.strip()[:100]}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True, capture_output=True)


def test_a_full_disk_keeps_whole_pages_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    """The error names folder, space and way out; every page before it is kept; with room made, the fetch goes on from there."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 600_000)
    spool = Spool.open(small_disk / "spool")
    with pytest.raises(LocalFault) as caught:
        land(Endless(), Listing(resource="orders"), spool, clock=SystemClock())
    assert str(small_disk / "spool") in str(caught.value)
    assert "No space left on device" in str(caught.value)
    assert "make room" in str(caught.value.hint)
    pages = spool.pages
    spool.close()
    assert pages > 5
    spool = Spool.open(small_disk / "spool")
    assert spool.pages == pages
    assert sum(frame.count(b"\n") for frame in spool.frames()) == pages * 20
    ballast.unlink()
    with pytest.raises(LocalFault):
        land(Endless(), Listing(resource="orders"), spool, clock=SystemClock())
    assert spool.pages > pages
    spool.close()


def test_a_file_size_limit_is_a_full_disk_too(tmp_path: Path) -> None:
    """What the kernel refuses to write, for whatever reason, is a LocalFault with whole pages behind it; needs no rights to be shown."""
    code = """
import resource, signal, sys
from pathlib import Path
from recon.clock import SystemClock
from recon.errors import LocalFault
from recon.fetch.landing import land
from recon.fetch.spool import Spool
from recon.provider import Listing, Meter
from tests.integration.test_fetch_killed import Endless

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
spool = Spool.open(Path(sys.argv[1]))
try:
    land(Endless(), Listing(resource="orders"), spool, clock=SystemClock())
except LocalFault as error:
    print(spool.pages, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    pages, _, words = done.stdout.partition(" ")
    assert int(pages) > 5
    assert "File too large" in words
    spool = Spool.open(tmp_path / "s")
    assert spool.pages == int(pages)
    assert sum(frame.count(b"\n") for frame in spool.frames()) == spool.pages * 20
    spool.close()


def test_memory_stays_flat_however_long_the_listing(tmp_path: Path) -> None:
    """Ten times the pages cost a few bytes each, not their content."""

    def run(pages: int) -> int:
        class Long(Endless):
            def fetch(self, listing: Listing) -> Iterator[Page]:
                for number, made in enumerate(super().fetch(listing), start=1):
                    yield made if number < pages else Page(items=made.items, end=End("last"))
                    if number == pages:
                        return

        spool = Spool.open(tmp_path / str(pages))
        tracemalloc.start()
        land(Long(), Listing(resource="orders"), spool, clock=SystemClock())
        for frame in spool.frames():
            assert frame
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        spool.close()
        return peak

    few, many = run(30), run(300)
    assert many - few < 270 * 2048, (few, many)


def test_the_certificate_of_an_interrupted_fetch_is_partial(tmp_path: Path) -> None:
    """What on_page is told on the way never says whole."""
    told = []
    spool = Spool.open(tmp_path / "s")
    land(Endless(), Listing(resource="orders"), spool, clock=SystemClock(), on_page=told.append)
    assert [c.whole for c in told] == [False] * 399 + [True]
    assert told[0].verdict() == "partial (1 page so far)"
    spool.close()
