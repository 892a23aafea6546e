"""Files out of the docs: a fenced block with a title is the file that the reader would write."""

import re
from pathlib import Path

DOCS = Path(__file__).parent.parent.parent / "docs"
BLOCK = re.compile(r"^```\w+ title=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files_in(page: str) -> dict[str, str]:
    """Title to text of every titled block of a page."""
    return dict(BLOCK.findall((DOCS / page).read_text()))


def write_files(page: str, folder: Path) -> None:
    """Writes the page's files into a folder."""
    for title, text in files_in(page).items():
        path = folder / title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
