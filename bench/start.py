"""What `recon --help` costs above an empty Python: CPU of whole processes, paired."""

import json
import sys
from pathlib import Path
from statistics import median

from measure import in_turn

ROOT = Path(__file__).parent.parent


def main(runs: int = 15) -> dict[str, float]:
    """Median CPU in milliseconds of both, and of the difference pair by pair."""
    costs = in_turn(
        {"pass": [sys.executable, "-c", "pass"], "help": [sys.executable, "-P", "-m", "recon", "--help"]},
        runs=runs,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )
    return {
        "pass_ms": 1000 * median(c.cpu for c in costs["pass"]),
        "help_ms": 1000 * median(c.cpu for c in costs["help"]),
        "more_ms": 1000 * median(a.cpu - b.cpu for a, b in zip(costs["help"], costs["pass"], strict=True)),
    }


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
