"""A seed is a whole world: the same story every time, replayed by the command that is printed, and shrunk to what matters."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recon.confirm.by_id import ById
from recon.testing.simulation import World, run_world, shrink
from tests.simulation.all_worlds import WORLDS

ROOT = Path(__file__).parent.parent.parent
SEED = 14
"""Two hosts, processes that die and that stand still."""


def started(seed: int, hashing: str) -> "subprocess.Popen[str]":
    words = [sys.executable, "-m", "tests.simulation", "--world", "two hosts", "--seed", str(seed), "--nights", "2", "--trace"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hashing}
    return subprocess.Popen(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_the_same_seed_tells_the_same_story() -> None:
    """Two processes that hash differently tell the same story of one seed, byte for byte."""
    both = [started(SEED, "1"), started(SEED, "2")]
    one, other = (process.communicate(timeout=150)[0] for process in both)

    assert "publishes" in one
    assert "0 violations" in one
    assert one == other


def test_an_occurrence_that_is_left_out_changes_no_draw() -> None:
    """With one lost webhook left out, that one arrives, and every other occurrence before it is as it was."""
    world = WORLDS[0].but(crashes=0.0, freezes=0.0, domains=(1, 1), lost=0.5)
    whole = run_world(world, 3, nights=2)
    lost = next(name for name in whole.occurrences if name.startswith("webhook lost"))
    without = run_world(world, 3, nights=2, masked=[lost])

    before = whole.occurrences[: whole.occurrences.index(lost)]
    assert lost not in without.occurrences
    assert without.occurrences[: len(before)] == before


@pytest.fixture
def credulous(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that believes every 404, without looking whether a known item is found."""
    monkeypatch.setattr(ById, "_control_found", lambda *_: None)


def test_a_removed_safeguard_is_found_and_its_story_shrunk(credulous: None) -> None:
    """A program that believes every 404 is condemned for deleting, and the story shrinks to one night with that one quirk."""
    world = World(
        name="reads 404",
        troubles={"reads 404": 0.5, "clamped": 0.3},
        nights=2,
        domains=(1, 1),
        changes=(1, 3),
        trouble=0.5,
        records=(5, 8),
        crashes=0.0,
        freezes=0.0,
        by_hand=0.0,
    )
    seed, broken = next((seed, one) for seed in range(1, 40) if (one := run_world(world, seed)).violations)

    small = shrink(world, broken, seconds=8)

    print(f"seed {seed}: {len(broken.occurrences)} occurrences became {len(small.result.occurrences)}")
    assert small.result.violations[0].law == broken.violations[0].law
    assert len(small.result.occurrences) < len(broken.occurrences)
    assert "reads 404" in {name.partition("@")[0] for name in small.result.occurrences}
    command = small.command("python -m tests.simulation")
    assert f"--seed {seed} --nights {small.nights}" in command


def test_a_crash_is_not_survived_by_any_finally() -> None:
    """What is killed takes no further step: it releases no lease, publishes nothing, writes nothing."""
    result = run_world(World(name="killed", crashes=1.0, freezes=0.0, domains=(1, 1)), 5, nights=2)

    killed = {line.split()[2]: number for number, line in enumerate(result.trace) if " is killed at " in line}
    assert killed
    for process, number in killed.items():
        assert not [line for line in result.trace[number + 1 :] if line.split()[2] == process]
