"""The documents hold together: links lead somewhere, every page is reached, and the README is one screen before its picture."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def targets(page: Path) -> list[Path]:
    """The files that a page links to."""
    return [(page.parent / link).resolve() for link in LINK.findall(page.read_text()) if "://" not in link]


def test_every_link_leads_to_a_file() -> None:
    """No relative link of README or docs is broken."""
    broken = [f"{page.relative_to(ROOT)}: {target}" for page in PAGES for target in targets(page) if not target.exists()]

    assert broken == []


def test_every_page_is_reached_from_the_readme() -> None:
    """A reader who follows links from the README comes to every page of the docs; a link to a folder reaches what lies in it."""
    seen: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        for target in targets(page):
            todo += sorted(target.glob("*.md")) if target.is_dir() else [target]

    assert sorted(str(page.relative_to(ROOT)) for page in PAGES if page.resolve() not in seen) == []


def test_the_readme_is_one_screen_before_its_picture() -> None:
    """What it is, the two commands and the first steps come before the first picture, within 40 lines of 180 characters."""
    lines = (ROOT / "README.md").read_text().splitlines()
    before = lines[: next(n for n, line in enumerate(lines) if line.startswith("!["))]

    assert len(before) <= 40
    assert max(len(line) for line in before) <= 180
    assert {"make demo", "make test"} <= {command for line in before for command in ("make demo", "make test") if command in line}


def test_the_documents_name_no_place_of_one_machine() -> None:
    """No page holds an absolute path of somebody's machine."""
    found = [
        f"{page.relative_to(ROOT)}: {line}"
        for page in PAGES
        for line in page.read_text().splitlines()
        if re.search(r"(^|[\s(`\"])/(home|root|Users)/", line)
    ]

    assert found == []
