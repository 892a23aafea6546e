"""The paging kinds of the matrix, as recon.toml declares them, and the provider made of each."""

import tomllib
from pathlib import Path
from typing import Any

from providers.rest import Rest
from recon.secret import Secret
from recon.testing import section
from recon.testing.faultlab.trial import Subject

COUNT = 17
TOKEN = "tok-9f8e7d6c5b4a"
#: Every way of paging, each with the marker that it ends by.
KINDS = {
    "cursor": 'records = "data"\npaging = { rule = "cursor", param = "after", at = "meta.next" }',
    "cursor and flag": 'records = "data"\npaging = { rule = "cursor", param = "after", at = "meta.next", more = "meta.more" }',
    "last_id": 'records = "data"\npaging = { rule = "last_id", param = "starting_after" }',
    "next_url": 'records = "items"\npaging = { rule = "next_url", at = "next" }',
    "next_header": 'records = "items"\npaging = { rule = "next_header", header = "X-Next-Page" }',
    "link": 'records = ""\npaging = { rule = "link" }',
    "page, pages": 'records = "a.b"\npaging = { rule = "page", size_param = "per_page", size = 4, total_pages = "meta.pages" }',
    "page, total": 'records = "data"\npaging = { rule = "page", param = "p", start = 0, total = "header:X-Total-Count" }',
    "page, more": 'records = "data"\npaging = { rule = "page", size_param = "size", size = 4, more = "more" }',
    "page, empty": 'records = "data"\npaging = { rule = "page", end = "empty" }',
    "offset, total": 'records = "data"\npaging = { rule = "offset", limit_param = "limit", size = 4, total = "total" }',
    "offset, more": 'records = "data"\npaging = { rule = "offset", param = "skip", limit_param = "take", size = 4, more = "more" }',
    "offset, empty": 'records = "data"\npaging = { rule = "offset", end = "empty" }',
    "single": 'records = "data"\ntotal = "count"\npaging = { rule = "none" }',
}


def rest(text: str, url: str, **settings: Any) -> Rest:
    """A rest provider of one resource, `orders`, declared by `text`."""
    table = tomllib.loads(f'path = "orders"\nget = "orders/{{key}}"\n{text}')
    auth = {"bearer": Secret(TOKEN)}
    given = {"timeout": "20s", "max_body": 1024 * 1024, "auth": auth, **settings}
    return Rest(section("shop", folder=Path("/nowhere"), base_url=f"{url}/api/", resources={"orders": table}, **given))


def records() -> list[dict[str, object]]:
    """The orders that the third party has."""
    return [
        {"id": f"o{n:02}", "created": 1_700_000_000 + n * 3600, "region": ("eu", "us", "ap")[n % 3], "amount": n}
        for n in range(1, COUNT + 1)
    ]


def subject(text: str, *, slow: bool = False) -> Subject:
    """Who is tried for a kind; `slow` for a fault that is waited out."""
    settings = {"timeout": "0.3s", "tries": 2} if slow else {}
    provider = rest(text, "http://127.0.0.1:9")
    provider.close()
    return Subject(
        make=lambda url: rest(text, url, **settings),
        resource="orders",
        declared=provider.catalogue["orders"],
        base="/api/",
        records=records(),
    )
