"""docs/fetching.md is true: its paging lines load, its defaults are the code's, its messages are the ones that come."""

import re
import tomllib
from pathlib import Path

import pytest

from providers.rest import Rest
from recon.duration import seconds_of
from recon.http_provider import HTTPProvider
from recon.section import Section

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "fetching.md").read_text()
LINES = re.findall(r"`(paging = \{.*?\})`", TEXT)
SAID = [
    "is not there",
    "holds the same",
    "is not followed",
    "neither a Content-Length",
    "bytes became more than",
    "bytes are announced",
    "was cut after",
    "not sent, the third party asks for a pause of",
    "no retries are left:",
    "so there is no token",
    "exchanged the refresh token",
    "the page is too large for it",
    "the range asked for is too wide for it",
]


def test_there_is_a_line_for_every_rule() -> None:
    """The table shows as many rules as there are."""
    assert len(LINES) == 8


@pytest.mark.parametrize("line", LINES)
def test_each_paging_line_of_the_docs_loads(line: str) -> None:
    """What the docs tell people to write is taken as it stands."""
    records = '""' if "header:" in line or "link" in line.split("=")[1:2] else '"data"'
    table = tomllib.loads(f'base_url = "https://api.example/"\n[resources.orders]\npath = "orders"\nrecords = {records}\n{line}\n')
    provider = Rest(Section(name="shop", file=Path("recon.toml"), path="providers.shop", table=table, folder=Path()))
    assert list(provider.resources()) == ["orders"]
    provider.close()


def test_the_defaults_in_the_docs_are_the_codes() -> None:
    """timeout, tries, max_wait, max_body, retry_share and concurrency."""
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", TEXT, re.MULTILINE))
    assert seconds_of(rows["timeout"]) == HTTPProvider.timeout
    assert int(rows["tries"]) == HTTPProvider.tries
    assert seconds_of(rows["max_wait"]) == HTTPProvider.max_wait
    assert int(rows["max_body"]) == HTTPProvider.max_body
    assert float(rows["retry_share"]) == HTTPProvider.retry_share
    assert int(rows["concurrency"]) == HTTPProvider.concurrency


@pytest.mark.parametrize("words", SAID)
def test_the_messages_in_the_docs_are_the_ones_that_come(words: str) -> None:
    """Someone who searches the docs for what the terminal says finds it."""
    assert words in TEXT
    assert any(words in file.read_text() for file in (ROOT / "recon" / "fetch").glob("*.py"))
