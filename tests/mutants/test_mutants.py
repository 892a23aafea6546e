"""Every safety mechanism taken out of the real code, alone and in pairs: the suite notices. `campaign.py` says how."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.mutants.campaign import pairs
from tests.mutants.killers import SEARCHES, TESTS, seeds
from tests.mutants.mechanisms import MECHANISMS

ROOT = Path(__file__).parents[2]
SAMPLE = 12


def campaign(file: Path, *words: str, seconds: float) -> list[dict[str, Any]]:
    """The verdicts of a campaign, which runs in a process of its own: its children are forked from one without threads."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "RECON"))}
    line = [sys.executable, "-m", "tests.mutants.campaign", "--json", str(file), *words]
    done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, timeout=seconds)
    print(done.stdout)
    assert file.exists(), done.stderr
    verdicts: list[dict[str, Any]] = json.loads(file.read_text())["verdicts"]
    return verdicts


def gone(verdicts: list[dict[str, Any]], outcome: str) -> set[tuple[str, ...]]:
    """What was taken out in the trials that ended so."""
    return {tuple(one["trial"]["gone"]) for one in verdicts if one["outcome"] == outcome}


def test_every_mechanism_has_a_named_test_and_every_name_a_mechanism() -> None:
    """No mechanism without what is to notice its loss, and nothing recorded of one that is not there."""
    assert set(TESTS) == set(MECHANISMS)
    assert set(SEARCHES) | set(seeds()) <= set(MECHANISMS)
    assert len(MECHANISMS) >= 25


@pytest.mark.timeout(600)
def test_each_mechanism_gone_alone_is_noticed_and_so_are_some_pairs(tmp_path: Path) -> None:
    """Each alone, and a sample of pairs drawn by a seed; no trial is broken, and the recorded seeds are silent where nothing is gone."""
    draw = os.environ.get("RECON_SEED", "20261125")
    print(f"RECON_SEED={draw}")
    verdicts = campaign(tmp_path / "verdicts.json", "--controls", "--sample", str(SAMPLE), "--draw", draw, seconds=580)

    expected = {(name,) for name in MECHANISMS} | set(pairs(SAMPLE, int(draw)))
    assert [one for one in verdicts if one["outcome"] == "broken"] == []
    assert expected - gone(verdicts, "killed") == set()
    assert () not in gone(verdicts, "killed"), "the oracle speaks up although nothing is gone"


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_every_pair_of_mechanisms_gone_is_noticed(tmp_path: Path) -> None:
    """All pairs; and each recorded seed still shows what it was recorded for."""
    verdicts = campaign(tmp_path / "verdicts.json", "--controls", "--pairs", seconds=3500)

    assert [one for one in verdicts if one["outcome"] == "broken"] == []
    assert set(pairs(None, 0)) - gone(verdicts, "killed") == set()
    assert [one["killer"] for one in verdicts if len(one["trial"]["gone"]) == 1 and one["outcome"] != "killed"] == []
