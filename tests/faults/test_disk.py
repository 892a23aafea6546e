"""Disks that fail: an I/O error or no room at each of our own operations, and real full disks and bounded files under everything else."""

import errno
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.campaign import Campaign, campaign, ground, seed, spread
from tests.faults.laws import Undisturbed, broken
from tests.faults.nights import finish, nights
from tests.faults.nursery import Ended, Nursery
from tests.faults.results import record
from tests.faults.steps import DISK
from tests.faults.world import DRIFT, World, third_party
from tests.servers.fault_server import FaultServer

EVERY = 100
AT_WORK = "is at work on it since"
"""A disk that was too full even for giving the lease back: the next minute's runs are told so."""
FREE = re.compile(r"[\d,.]+ MB are free")


def told(ended: Ended, folder: Path) -> list[str]:
    """What is missing of a clear end: exit 75, the place, what went wrong, the room that is left, the way out. A fault that was got over says nothing."""
    words = ended.err + ended.out
    if ended.code == 0:
        return []
    wrong = [] if ended.code in (4, 6, 75) else [f"exit {ended.code}"]
    wrong += ["a trace"] if "Traceback" in words else []
    if ended.code == 75 and AT_WORK not in words:
        wrong += [] if str(folder) in words else ["no place"]
        wrong += [] if FREE.search(words) else ["not what room is left"]
        wrong += [] if re.search(r"^\s*(hint:|next )", words, re.MULTILINE) else ["no way out"]
    return [f"{one}: {words}" for one in wrong]


def fail(open_: Campaign, place: Path, every: int) -> None:
    """Each of our own operations on the disk fails once, with EIO and with ENOSPC."""
    with Nursery() as nursery, nights(place, nursery) as known:
        trials = [
            (name, number, code)
            for name, night in known.items()
            for code in (errno.EIO, errno.ENOSPC)
            for number in spread([kind for kind in night.steps if kind in DISK], every, (name, code))
        ]

        def trial(worker: Nursery, which: tuple[str, int, int]) -> list[str]:
            name, number, code = which
            night, spot = known[name], place / f"{list(known).index(name)}-{number}-{code}"
            world = night.before.copied(spot)
            ended = worker.run(world.folder, *night.command(world), act="fail", at=number, kinds=sorted(DISK), errno=code)
            wrong = told(ended, world.folder) if ended.hit else [f"operation {number} was not reached"]
            finish(worker, world, ended)
            wrong += broken(world, night.wanted)
            if not wrong:
                shutil.rmtree(spot)
            return wrong

        wrong = open_.each(trials, trial)
        kinds = Counter([kind for kind in known[name].steps if kind in DISK][number - 1] for name, number, _ in trials)
    which = "every operation" if every == 1 else f"every {every}th operation"
    note = f"{which}; {', '.join(f'{kind} {count}' for kind, count in sorted(kinds.items()))}"
    record("I/O error or full disk at an operation", len(trials) - len(wrong), len(trials), seconds=open_.seconds, seed=seed(), note=note)
    assert not wrong, "\n".join(f"{where}: {what}" for where, what in wrong.items())


@pytest.mark.timeout(600)
def test_a_disk_that_fails_at_every_hundredth_operation() -> None:
    """An operation that fails is told with place, cause, room and way out, exit 75, loses nothing, and the next run ends like any other."""
    with ground() as place, campaign() as open_:
        fail(open_, place, EVERY)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_disk_that_fails_at_every_operation() -> None:
    """The same at every single operation of the six nights, with either error."""
    with ground() as place, campaign() as open_:
        fail(open_, place, 1)


def drifted(place: Path, server: FaultServer, nursery: Nursery) -> tuple[World, Undisturbed]:
    """A world with drift, and what a night without faults would leave of it."""
    third_party(server)
    world = World.made(place / "world", server.url)
    world.sql(*DRIFT)
    calm = world.copied(place / "calm")
    finish(nursery, calm)
    return world, Undisturbed.of(calm)


def test_no_file_may_grow() -> None:
    """With a bound on the size of files (RLIMIT_FSIZE) that SQLite, DuckDB and we run into in turn, each run ends clearly; without it the night ends well."""
    began = time.monotonic()
    bounds = [1 << 10, 16 << 10, 64 << 10, 100 << 10, 130 << 10, 150 << 10]
    with ground() as place, FaultServer() as server, Nursery() as nursery:
        world, wanted = drifted(place, server, nursery)
        codes = []
        for bound in bounds:
            ended = nursery.run(world.folder, "run", "orders", limit=bound)
            codes.append(ended.code)
            assert told(ended, world.folder) == [], f"files of at most {bound:,} bytes"
        finish(nursery, world)

        assert codes[0] == 75, codes
        assert broken(world, wanted) == []
    record("bounded files", len(bounds), len(bounds), seconds=time.monotonic() - began, note="RLIMIT_FSIZE from 1 kB to 150 kB")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_disk_that_is_full() -> None:
    """On real small disks that fill up at the state database, the pages or the snapshot the run says so; with room it ends well."""
    began = time.monotonic()
    sizes = [16, 64, 160, 200, 240, 280, 320]
    with ground() as place, FaultServer() as server, Nursery() as nursery:
        world, wanted = drifted(place, server, nursery)
        disk = world.folder / ".recon"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={sizes[0]}k", "tmpfs", disk], capture_output=True, text=True)
        if mounted.returncode:
            pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
        try:
            codes = []
            for size in sizes:
                subprocess.run(["mount", "-o", f"remount,size={size}k", disk], check=True)
                ended = nursery.run(world.folder, "run", "orders", ttl=0.2)
                codes.append(ended.code)
                assert told(ended, world.folder) == [], f"a disk of {size} kB"
            subprocess.run(["mount", "-o", "remount,size=32m", disk], check=True)
            finish(nursery, world)

            assert codes[0] == 75, codes
            assert broken(world, wanted) == []
        finally:
            subprocess.run(["umount", disk], check=True)
    record(
        "full disks",
        len(sizes),
        len(sizes),
        seconds=time.monotonic() - began,
        note=f"tmpfs of {sizes[0]} to {sizes[-1]} kB; exit codes {codes}",
    )


def test_a_device_that_is_always_full() -> None:
    """Events to a file on /dev/full: they cannot be written, the run says so by its name and they wait; on a real file they come, once each."""
    with ground() as place, FaultServer() as server, Nursery() as nursery:
        world, wanted = drifted(place, server, nursery)
        settings = world.folder / "recon.toml"
        honest = settings.read_text()
        settings.write_text(honest.replace('path = "events.jsonl"', 'path = "/dev/full"'))
        ended = nursery.run(world.folder, "run", "orders", deliver=2.0)

        assert ended.code in (6, 75), ended.err + ended.out
        assert "/dev/full" in ended.err + ended.out
        assert "Traceback" not in ended.err + ended.out
        assert world.lines() == []

        settings.write_text(honest)
        world.sql("update recon_outbox set due_at = 0 where state = 'waiting'", database=".recon/state.db")
        assert nursery.run(world.folder, "publish").code == 0
        finish(nursery, world)
        assert broken(world, wanted) == []
