"""`make bench`: every measurement, side by side, written to bench/RESULTS.md.

`--quick` leaves out the ten million rows; `--only PART` (comparison, night, start, limits, fetch, outbox, consume, brokers) measures one part and leaves the
others' figures as they were.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from results import render

HERE = Path(__file__).resolve().parent
RECORD = HERE / "results.json"
PARTS = ("comparison", "night", "start", "limits", "fetch", "outbox", "consume", "brokers")


def comparison(*, quick: bool) -> dict:
    """The whole diff at one and at ten million rows, in processes of their own."""
    sizes = {1_000_000: 3} if quick else {1_000_000: 3, 10_000_000: 2}
    found: dict = {"comparison": []}
    for size, repeat in sizes.items():
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            words = ["--rows", str(size), "--repeat", str(repeat), "--json", out.name]
            subprocess.run([sys.executable, str(HERE / "compare.py"), *words], check=True, stdout=subprocess.DEVNULL)
            one = json.loads(Path(out.name).read_text())
        found = {"machine": one["machine"], "comparison": [*found["comparison"], *one["comparison"]]}
    return found


def night() -> dict:
    """A whole night beside a bare loop."""
    return json.loads(subprocess.run([sys.executable, str(HERE / "night.py")], check=True, stdout=subprocess.PIPE, text=True).stdout)


def start() -> dict:
    """`recon --help` beside an empty Python."""
    return json.loads(subprocess.run([sys.executable, str(HERE / "start.py")], check=True, stdout=subprocess.PIPE, text=True).stdout)


def limits() -> dict:
    """Fetches at the third party's own speed."""
    return json.loads(subprocess.run([sys.executable, str(HERE / "limits.py")], check=True, stdout=subprocess.PIPE, text=True).stdout)


def fetch() -> dict:
    """A fetch by itself: a million records in ranges side by side."""
    return json.loads(subprocess.run([sys.executable, str(HERE / "fetch.py")], check=True, stdout=subprocess.PIPE, text=True).stdout)


def outbox() -> dict:
    """Events into the outbox and out of it."""
    return json.loads(subprocess.run([sys.executable, str(HERE / "outbox.py")], check=True, stdout=subprocess.PIPE, text=True).stdout)


def consume() -> dict:
    """Corrections into an application's table."""
    return json.loads(subprocess.run([sys.executable, str(HERE / "consume.py")], check=True, stdout=subprocess.PIPE, text=True).stdout)


def brokers() -> dict:
    """Each broker's publisher beside its bare client."""
    return json.loads(subprocess.run([sys.executable, str(HERE / "brokers.py")], check=True, stdout=subprocess.PIPE, text=True).stdout)


MEASURES = {"night": night, "start": start, "limits": limits, "fetch": fetch, "outbox": outbox, "consume": consume, "brokers": brokers}


def main() -> None:
    """Measures what was asked for, keeps the record, writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=PARTS, action="append")
    options = parser.parse_args()
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for part in options.only or PARTS:
        print(f"measuring {part} …", file=sys.stderr, flush=True)
        record[part] = comparison(quick=options.quick) if part == "comparison" else MEASURES[part]()
        # Each part has its own day: what was not measured again is as old as it is.
        record.setdefault("dates", {})[part] = f"{datetime.now(UTC):%Y-%m-%d}"
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    if all(part in record for part in PARTS):
        (HERE / "RESULTS.md").write_text(render(record))
        print(f"written: {HERE.name}/RESULTS.md", file=sys.stderr)


if __name__ == "__main__":
    main()
