"""Ways in which a fetch might be called whole and is not: changed settings in the middle, and pages made void while they are read along."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recon.fetch.graphql import Connection
from recon.fetch.narrowing import Ranges
from recon.fetch.page import Page
from recon.fetch.paging import LastId
from recon.fetch.partition import Partition
from recon.fetch.resource import Resource
from recon.fetch.spool import Spool
from recon.graphql_provider import GraphQLProvider
from recon.http_provider import HTTPProvider
from recon.testing import section

ORDERS = Resource(path="orders", records="data", paging=LastId(param="after"))


def identity(resource: Resource = ORDERS, **settings: Any) -> str:
    """What the provider says makes two listings one."""
    provider = HTTPProvider(section("shop", base_url="http://127.0.0.1:9/", **settings))
    provider.catalogue = {"orders": resource}
    try:
        return provider.identity("orders")
    finally:
        provider.close()


def test_pages_are_not_gone_on_from_under_other_settings() -> None:
    """What an item is left out for, and the headers that name an account, are part of what is asked for; a header's value is not written down."""
    plain = identity()
    assert identity() == plain
    assert identity(replace(ORDERS, without="draft")) != plain
    first, second = (identity(headers={"X-Account": name}) for name in ("acct_first", "acct_second"))
    assert len({plain, first, second}) == 3
    assert "acct_first" not in first


def test_a_query_in_ranges_is_not_gone_on_with_in_other_ones() -> None:
    """Of a GraphQL list, too: what lies below one field's bound may lie above the other's, and would be in neither part."""

    def told(at: str) -> str:
        provider = GraphQLProvider(section("shop", base_url="http://127.0.0.1:9/"))
        ranges = Ranges(at=at, low=f"{at}:>={{value}}", high=f"{at}:<{{value}}")
        query = "query($after: String, $first: Int) { orders { nodes { id } pageInfo { hasNextPage endCursor } } }"
        provider.catalogue = {"orders": Connection(query=query, nodes="orders.nodes", ranges=ranges)}
        try:
            return provider.identity("orders")
        finally:
            provider.close()

    assert told("created") == told("created") != told("updated")


@pytest.mark.parametrize("how", ["anew", "drop", "serial"])
def test_a_reader_that_begins_again_while_pages_become_void_never_keeps_them(tmp_path: Path, how: str) -> None:
    """Whoever starts over the moment it is told so does not take up the void pages once more: they are void before it is told."""
    spool = Spool.open(tmp_path / "run")
    number = spool.hand_out(Partition(name="a"))
    spool.append(Page(items=[b'{"id":"void"}'], next={"after": 1}), part=number)
    told: list[list[bytes]] = []

    class Told(Spool):
        """Reads at the very moment at which the count of void pages moves."""

        def __setattr__(self, name: str, value: Any) -> None:
            object.__setattr__(self, name, value)
            if name == "voided":
                told.append([text for text, _ in self.counted()])

    spool.__class__ = Told
    {"anew": spool.begin_anew, "drop": spool.drop}.get(how, lambda _, why: spool.go_serial(why))(number, "so it was")
    assert told
    assert told[-1] == []
    spool.close()
