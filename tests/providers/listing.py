"""Fetching a resource whole, for tests of providers."""

import json
from typing import Any

from recon.fetch.page import End
from recon.job import Scalar
from recon.provider import Listing, Provider


def whole(provider: Provider, resource: str, **params: Scalar) -> tuple[list[dict[str, Any]], End]:
    """Every record of the listing, decoded, in order, and the proof of its end."""
    records: list[dict[str, Any]] = []
    end: End | None = None
    for page in provider.fetch(Listing(resource=resource, params=params)):
        assert end is None, "a page after the end"
        assert (page.next is None) != (page.end is None)
        records.extend(json.loads(item) for item in page.items[page.overlap :])
        end = page.end
    assert end is not None
    return records, end
