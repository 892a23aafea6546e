"""Half a character, as JSON may escape one and a careless cut leaves it, in what leads on to the next page."""

from pathlib import Path

import pytest

from recon.errors import InvalidPage
from tests.integration.fetched import fetched, rest
from tests.servers.scripted import Answer, scripted

LIST = """
path = "orders"
records = "data"
paging = {{ {rule} }}
"""
HALF = {"escaped": b"o1\\ud800", "in bytes": b"o1\xed\xa0\x80"}


@pytest.mark.parametrize("half", HALF.values(), ids=HALF)
@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ('rule = "last_id", param = "after", more = "more"', "has no readable key"),
        ('rule = "cursor", param = "after", at = "next"', "half a character"),
        ('rule = "next_url", at = "next"', "half a character"),
    ],
)
def test_what_cannot_be_sent_is_told_of_its_page(tmp_path: Path, rule: str, says: str, half: bytes) -> None:
    """The page is refused in words, and nothing of Python's own ends the night."""
    body = b'{"data":[{"id":"%s"}],"more":true,"next":"%s"}' % (half, half)
    with scripted(lambda _: Answer(body)) as server:
        provider = rest(f"{server.url}/", LIST.format(rule=rule), tries=1)
        with pytest.raises(InvalidPage, match=says):
            fetched(provider, tmp_path)
        provider.close()
