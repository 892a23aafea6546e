"""Providers of the shop in tests/servers/graphql_shop.py: `type = "graphql"`, as recon.toml would declare it, and Shopify."""

from typing import Any

import pytest

from providers.graphql import GraphQL
from providers.shopify import Shopify
from tests.providers.sections import section
from tests.servers.graphql_shop import Shop

FIELDS = "id name createdAt lineItems(first: 2) { nodes { id sku quantity } pageInfo { hasNextPage endCursor } }"
ORDERS: dict[str, Any] = {
    "query": f"query($first: Int!, $after: String, $query: String) {{ orders(first: $first, after: $after, query: $query, sortKey: ID) "
    f"{{ nodes {{ {FIELDS} }} pageInfo {{ hasNextPage endCursor }} }} }}",
    "nodes": "orders.nodes",
    "page": 10,
    "get": {"query": f"query($id: ID!) {{ order(id: $id) {{ {FIELDS} }} }}", "record": "order"},
    "batch": {"query": f"query($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on Order {{ {FIELDS} }} }} }}", "records": "nodes", "size": 20},
    "nested": {
        "lineItems": {
            "query": "query($id: ID!, $first: Int!, $after: String) { order(id: $id) { lineItems(first: $first, after: $after) "
            "{ nodes { id sku quantity } pageInfo { hasNextPage endCursor } } } }",
            "nodes": "order.lineItems.nodes",
            "page": 3,
        }
    },
    "ranges": {"at": "createdAt", "low": "created_at:>='{value}'", "high": "created_at:<'{value}'", "start": "2026-01-01"},
}


def edged() -> dict[str, Any]:
    """The same list, asked for by edges."""
    query = ORDERS["query"].replace(f"nodes {{ {FIELDS} }}", f"edges {{ node {{ {FIELDS} }} }}")
    return {**ORDERS, "query": query, "nodes": "orders.edges.node"}


def graphql(shop: Shop, monkeypatch: pytest.MonkeyPatch, orders: dict[str, Any] | None = None, **settings: Any) -> GraphQL:
    """The provider; `orders` is laid over the resource's table, without the keys whose value is None."""
    monkeypatch.setenv("SHOP_TOKEN", shop.token)
    table = {key: value for key, value in {**ORDERS, **(orders or {})}.items() if value is not None}
    auth = {"header": {"name": "X-Shopify-Access-Token", "value": {"env": "SHOP_TOKEN"}}}
    return GraphQL(
        section(
            "providers.shop",
            {"base_url": shop.endpoint, "auth": auth, "resources": {"orders": table}, "tries": 3, "max_wait": 20, **settings},
        )
    )


def shopify(shop: Shop, monkeypatch: pytest.MonkeyPatch, /, **settings: Any) -> Shopify:
    """The provider of this shop, which looks at an export every few milliseconds."""
    monkeypatch.setenv("SHOPIFY_TOKEN", shop.token)
    quick = {"bulk_poll": 0.01, "bulk_busy": 0.05, "tries": 3, "max_wait": 20}
    table = {"shop": "acme", "base_url": shop.endpoint, "downloads": [shop.files or "http://127.0.0.1:1"], **quick, **settings}
    return Shopify(section("providers.shopify", table))
