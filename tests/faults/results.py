"""What the campaigns found, as figures: written by the tests themselves, gathered by `tests/faults/report.py`, shown in docs/reliability.md.

The form is one list of objects:

    {"campaign": "kill -9 at every step", "figure": 316, "of": 316, "seconds": 41.2, "seed": 20261125, "note": "every step of the drift night"}

`figure` is how many held the laws, `of` how many were tried, so every line reads "N of N"; `seed` is null where nothing is drawn. There is
no time, host or path in it. A campaign that is not of this folder adds its line by `record`, or by a file of the same form in the
folder that RECON_RESULTS names (`report.py` takes every *.json there). Without RECON_RESULTS nothing is written.
"""

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True)
class Figure:
    """One line."""

    campaign: str
    figure: int
    of: int
    seconds: float
    seed: int | None = None
    note: str = ""


def record(campaign: str, figure: int, of: int, *, seconds: float, seed: int | None = None, note: str = "") -> None:
    """Prints the line, and writes it down where somebody gathers them."""
    line = Figure(campaign, figure, of, round(seconds, 1), seed, note)
    print(f"{campaign}: {figure:,} of {of:,} in {seconds:.1f} s, seed {seed} {note}")
    if folder := os.environ.get("RECON_RESULTS"):
        name = re.sub(r"[^a-z0-9]+", "-", campaign.lower()).strip("-")
        (Path(folder) / f"{name}.json").write_text(json.dumps([asdict(line)]) + "\n")


def read(path: Path = RESULTS) -> list[Figure]:
    """The lines of a file; none where it is not there."""
    return [Figure(**one) for one in json.loads(path.read_text())] if path.exists() else []
