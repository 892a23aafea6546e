"""`kill -9` of real processes, at any moment, a few times in a row, and a fresh process that goes on: 60 kills here, 500 in the long run."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.commands import ROOT
from tests.faults.campaign import Campaign, campaign, ground, seed
from tests.faults.laws import broken
from tests.faults.nights import Night, approve, finish, nights, run
from tests.faults.nursery import Nursery
from tests.faults.results import record
from tests.faults.world import World


def start(world: World, words: tuple[str, ...]) -> "subprocess.Popen[bytes]":
    """A real process of the command line."""
    env = {"PATH": "/usr/bin:/bin", "HOME": str(world.folder), "PYTHONPATH": str(ROOT), "RECON_PLUGINS": "none"}
    line = [sys.executable, "-P", "-m", "recon", *words]
    return subprocess.Popen(line, cwd=world.folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def next_command(night: Night, world: World) -> tuple[str, ...]:
    """What a person types now: the night's command, or the approval where a plan is held."""
    standing = world.run()
    if night.command is approve:
        return approve(world) if standing and standing[1] == "held" else run(world)
    return night.command(world)


def strike(nursery: Nursery, night: Night, place: Path, chance: random.Random, seconds: float) -> tuple[int, list[str]]:
    """A world killed up to four times in a row at drawn moments; how many kills met a living process, and what law does not hold at the end."""
    world = night.before.copied(place)
    fence = world.fence()
    kills = 0
    for _ in range(chance.randint(1, 4)):
        world.a_minute_passes()
        process = start(world, next_command(night, world))
        time.sleep(seconds * chance.uniform(0.2, 1.0))
        process.send_signal(signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            kills += 1
        elif process.returncode in (0, 4):
            break
    finish(nursery, world)
    wrong = broken(world, night.wanted, fence_before=fence)
    if not wrong:
        shutil.rmtree(place)
    return kills, wrong


def massacre(open_: Campaign, place: Path, wanted: int) -> None:
    """Worlds, until so many living processes were killed."""
    with Nursery() as nursery, nights(place, nursery) as known:
        world = known["a clean night"].before.copied(place / "clocked")
        began = time.monotonic()
        start(world, ("run", "orders")).wait()
        seconds = time.monotonic() - began
        names = list(known)
        kills: Counter[str] = Counter()
        wrong: dict[str, list[str]] = {}
        number = 0
        while kills.total() < wanted:
            assert number < wanted * 4, f"only {kills.total()} of {number} shots met a living process"
            batch = range(number, number + min(2 * len(names), max(1, (wanted - kills.total()) // 3)))
            number = batch.stop

            def trial(worker: Nursery, which: int) -> list[str]:
                name = names[which % len(names)]
                hit, found = strike(worker, known[name], place / str(which), random.Random(f"{seed()}:{which}"), seconds)
                kills[name] += hit
                return found

            wrong |= open_.each(batch, trial)
    note = "; ".join(f"{name} {count}" for name, count in kills.items())
    record("kill -9 of a real process", kills.total() - len(wrong), kills.total(), seconds=open_.seconds, seed=seed(), note=note)
    assert not wrong, "\n".join(f"{where}: {what}" for where, what in wrong.items())


@pytest.mark.timeout(600)
def test_sixty_kills() -> None:
    """Sixty living processes, killed in runs, approvals, publishing and the making of the state database, lose and double nothing."""
    with ground() as place, campaign() as open_:
        massacre(open_, place, 60)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_five_hundred_kills() -> None:
    """The same, five hundred times."""
    with ground() as place, campaign() as open_:
        massacre(open_, place, 500)
