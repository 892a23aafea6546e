"""The page on security names tests, and they exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_every_test_that_the_page_names_exists() -> None:
    """Each `test_…` of docs/security.md is a function of the suite, and every line of its tables names one."""
    page = (ROOT / "docs/security.md").read_text()
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        if "node_modules" not in path.parts
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", page))
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith(("| what is", "|---"))]

    assert len(named) > 30
    assert sorted(named - there) == []
    assert [row for row in rows if "`test_" not in row] == []
