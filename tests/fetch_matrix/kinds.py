"""The paging kinds of the matrix, as recon.toml declares them, and the provider made of each."""

import tomllib
from pathlib import Path
from typing import Any

from providers.graphql import GraphQL
from providers.rest import Rest
from recon.secret import Secret
from recon.testing import section
from recon.testing.faultlab.trial import Subject

COUNT, SIZE = 17, 4
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
#: Lists that are fetched in parts: each fault strikes a page of one of them, the others go on beside it.
PARTS = {
    "cursor, ranges": KINDS["cursor"]
    + '\nranges = { at = "created", low = "from", high = "to", form = "epoch", start = 2023-11-01, pages = 1 }',
    "last_id, ranges": KINDS["last_id"] + '\nranges = { at = "amount", low = "from", high = "to", form = "integer" }',
    "link, shards": KINDS["link"] + '\nshards = { param = "region", values = ["eu", "us", "ap"], at = "region" }',
}
#: Relay connections, by nodes and by edges: their own queries say where the items are.
CONNECTIONS = {"graphql, nodes": "nodes", "graphql, edges": "edges { node"}


def graphql(form: str, url: str, **settings: Any) -> GraphQL:
    """A graphql provider of one resource, `orders`, whose items stand at `nodes` or at `edges { node`."""
    items = f"{form} {{ id created amount }} {'}' if 'edges' in form else ''}"
    query = (
        f"query($first: Int!, $after: String) {{ orders(first: $first, after: $after) {{ {items} pageInfo {{ hasNextPage endCursor }} }} }}"
    )
    orders = {
        "query": query,
        "nodes": "orders.edges.node" if "edges" in form else "orders.nodes",
        "page": SIZE,
        "get": {"query": "query($id: ID!) { order(id: $id) { id created amount } }", "record": "order"},
    }
    given = {"timeout": "20s", "max_body": 1024 * 1024, "auth": {"bearer": Secret(TOKEN)}, **settings}
    return GraphQL(section("shop", folder=Path("/nowhere"), base_url=f"{url}/graphql", resources={"orders": orders}, **given))


def made(kind: str, url: str, **settings: Any) -> Rest | GraphQL:
    """The provider of a kind."""
    return graphql(CONNECTIONS[kind], url, **settings) if kind in CONNECTIONS else rest({**KINDS, **PARTS}[kind], url, **settings)


def rest(text: str, url: str, **settings: Any) -> Rest:
    """A rest provider of one resource, `orders`, declared by `text`."""
    table = tomllib.loads(f'path = "orders"\nget = "orders/{{key}}"\n{text}')
    auth = {"bearer": Secret(TOKEN)}
    given = {"timeout": "20s", "max_body": 1024 * 1024, "auth": auth, **settings}
    return Rest(section("shop", folder=Path("/nowhere"), base_url=f"{url}/api/", resources={"orders": table}, **given))


def records() -> list[dict[str, object]]:
    """The orders that the third party has."""
    return [
        {
            "id": f"o{n:02}",
            "created": 1_700_000_000 + n * 3_900_000,
            "region": ("eu", "us", "ap")[n % 3],
            "amount": n,
            "changed": "2025-12-01T00:00:00Z",
        }
        for n in range(1, COUNT + 1)
    ]


def subject(kind: str, *, slow: bool = False) -> Subject:
    """Who is tried for a kind; `slow` for a fault that is waited out."""
    settings = {"timeout": "0.5s", "tries": 3} if slow else {}
    provider = made(kind, "http://127.0.0.1:9")
    provider.close()
    return Subject(
        make=lambda url: made(kind, url, **settings),
        resource="orders",
        declared=provider.catalogue["orders"],
        base="/graphql" if kind in CONNECTIONS else "/api/",
        records=records(),
        size=SIZE,
    )
