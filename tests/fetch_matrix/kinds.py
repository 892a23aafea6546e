"""The paging kinds of the matrix, as recon.toml declares them, and the provider made of each."""

import itertools
import tomllib
from pathlib import Path

from providers.rest import Rest
from recon.secret import Secret
from recon.testing import section

SIZE = 4
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
_NUMBERS = itertools.count()


def made(text: str, url: str, *, timeout: str = "20s", tries: int = 8) -> tuple[Rest, str]:
    """A rest provider of one resource, `orders`, declared by `text`, and its token: one of its own, so that nothing is learned from case to case."""
    token = f"tok-{next(_NUMBERS)}-9f8e7d6c5b4a"
    table = tomllib.loads(f'path = "orders"\nget = "orders/{{key}}"\n{text}')
    return (
        Rest(
            section(
                "shop",
                folder=Path("/nowhere"),
                base_url=url,
                timeout=timeout,
                tries=tries,
                max_body=1024 * 1024,
                auth={"bearer": Secret(token)},
                resources={"orders": table},
            )
        ),
        token,
    )
