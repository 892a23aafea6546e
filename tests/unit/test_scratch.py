"""Folders of processes that were killed go at the next start; those of living ones, and what is not of that form, stay."""

import os
import subprocess
import sys
from pathlib import Path

from recon.testing.scratch import scratch


def test_what_the_dead_left_is_cleared_away(tmp_path: Path) -> None:
    """Only the folder of the same name whose process is gone is removed."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names = {f"w-{gone.pid}-abc": False, f"w-{os.getpid()}-abc": True, f"v-{gone.pid}-abc": True, "w-abc": True}
    for name in names:
        (tmp_path / name / "deep").mkdir(parents=True)

    fresh = scratch("w", shared=tmp_path)

    assert fresh.name.startswith(f"w-{os.getpid()}-")
    assert {name: (tmp_path / name).exists() for name in names} == names
