"""Looks up the known vulnerabilities of every locked package. One that is found fails; a service that cannot be reached is told, and does not.

Run as `python scripts/audit.py LOCK…`. pip-audit itself calls packages that it could not look up a success; here they are counted.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SECONDS = 180


def audit(lock: Path) -> tuple[int, str]:
    """The exit code for one lock, and the line to say."""
    words = ["--require-hashes", "--disable-pip", "--progress-spinner", "off", "--timeout", "10", "-f", "json", "-r", str(lock)]
    try:
        done = subprocess.run([sys.executable, "-m", "pip_audit", *words], capture_output=True, text=True, timeout=SECONDS, check=False)
        found = json.loads(done.stdout)["dependencies"]
    except (OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
        return 0, f"NOT AUDITED: {lock.name}: the vulnerability service could not be asked ({type(error).__name__})"
    return judged(lock, found)


def judged(lock: Path, found: list[dict[str, Any]]) -> tuple[int, str]:
    """What pip-audit's list of packages comes to."""
    bad = [f"{one['name']} {one['version']}: {', '.join(vuln['id'] for vuln in one['vulns'])}" for one in found if one.get("vulns")]
    unknown = [one["name"] for one in found if "skip_reason" in one]
    if bad:
        return 1, f"VULNERABLE: {lock.name}: {'; '.join(bad)}"
    if unknown or not found:
        return 0, f"NOT AUDITED: {lock.name}: {len(unknown)} of {len(found)} packages could not be looked up; nothing is known of them"
    return 0, f"audited: {lock.name}: {len(found)} packages, no known vulnerability"


def main(locks: list[str]) -> int:
    """Every lock; the highest exit code."""
    outcomes = [audit(Path(lock)) for lock in locks]
    for _, line in outcomes:
        print(line)
    return max((code for code, _ in outcomes), default=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
