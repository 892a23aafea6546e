"""Runs the campaigns, stores their figures in results.json, and writes the table of docs/reliability.md: `make reliability`.

`python -m tests.faults.report` runs them at the size of the suite, `--soak` at full size (mutants: every pair instead of a hundred), `--only
WORDS` those whose names fit (as pytest -k does; `mutants` is the campaign of tests/mutants); `--table` runs nothing and only writes the table anew. Figures of other campaigns come in with `--take FILE…`, in
the form of tests/faults/results.py. A campaign that failed is kept with what it found: the table says so.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.faults.results import RESULTS, Figure, read

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/reliability.md"
PLACES = ("tests/faults", "tests/fetch_matrix", "tests/unit/test_schedule_zones.py", "tests/simulation/test_simulation.py")
BEGIN, END = "<!-- figures: written by `make reliability` -->", "<!-- /figures -->"


def table(figures: list[Figure]) -> str:
    """The lines as Markdown."""
    rows = ["| campaign | held | of | seconds | seed | |", "|---|---|---|---|---|---|"]
    for one in figures:
        seed = "" if one.seed is None else str(one.seed)
        rows.append(f"| {one.campaign} | {one.figure:,} | {one.of:,} | {one.seconds:g} | {seed} | {one.note} |")
    return "\n".join(rows)


def written(text: str, figures: list[Figure]) -> str:
    """The document with the table between its markers."""
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n\n{table(figures)}\n\n{END}{tail}"


def merged(old: list[Figure], new: list[Figure]) -> list[Figure]:
    """A campaign's newest line, in the order of their names."""
    lines = {one.campaign: one for one in [*old, *new]}
    return [lines[name] for name in sorted(lines)]


def lines(*, soak: bool, only: str | None) -> list[list[str]]:
    """The commands of the campaigns."""
    words = ["pytest", *PLACES, "-q", "-m", "soak" if soak else "not soak", *(["-k", only] if only else [])]
    mutants = ["tests.mutants.campaign", *(["--pairs"] if soak else ["--sample", "100"])]
    chosen = [mutants] if only == "mutants" else [words] if only else [words, mutants]
    return [[sys.executable, "-m", *line] for line in chosen]


def gathered(*, soak: bool, only: str | None) -> tuple[int, list[Figure]]:
    """Runs the campaigns; the worst exit code and what they wrote."""
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "RECON_RESULTS": folder}
        code = max(subprocess.run(line, cwd=ROOT, env=env, check=False).returncode for line in lines(soak=soak, only=only))
        return code, [figure for path in sorted(Path(folder).glob("*.json")) for figure in read(path)]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--soak", action="store_true")
    parser.add_argument("--only", metavar="WORDS")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--take", metavar="FILE", nargs="*", type=Path, default=[])
    asked = parser.parse_args()
    code, found = (0, []) if asked.table or asked.take else gathered(soak=asked.soak, only=asked.only)
    found += [figure for path in asked.take for figure in read(path)]
    figures = merged(read(), found)
    RESULTS.write_text(json.dumps([asdict(one) for one in figures], indent=1) + "\n")
    DOCUMENT.write_text(written(DOCUMENT.read_text(), figures))
    print(table(found))
    return code


if __name__ == "__main__":
    sys.exit(main())
