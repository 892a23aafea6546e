"""Whole nights by the command line between a Shopify shop, as its documents have it, and a SQLite table: the files of the how-to."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.commands import figures, recon
from tests.acceptance.documents import files_in, write_files
from tests.servers.graphql_shop import Shop, graphql_shop, order

PAGE = "howto/shopify-to-sqlite.md"
INSERT = "insert into orders values (?, ?, ?, ?, ?, ?, ?, ?)"


def row(stored: dict[str, Any]) -> tuple[Any, ...]:
    """An order as the application keeps it."""
    money = stored["totalPriceSet"]["shopMoney"]
    sku = stored["lineItems"][0]["sku"] if stored["lineItems"] else None
    cents = round(float(money["amount"]) * 100)
    number, status = stored["legacyResourceId"], stored["displayFinancialStatus"]
    return (number, stored["name"], status, cents, money["currencyCode"], sku, stored.get("cancelledAt"), stored["createdAt"])


class World:
    """The shop, the table, and the project between them."""

    def __init__(self, folder: Path, shop: Shop) -> None:
        self.folder = folder
        self.shop = shop
        write_files(PAGE, folder)
        with closing(sqlite3.connect(folder / "app.db")) as db:
            db.executescript(files_in(PAGE)["orders.sql"])
            db.executemany(INSERT, [row(one) for one in shop.orders])
            db.commit()

    def run(self, *words: str) -> dict[str, Any]:
        """One night."""
        env = {
            "SHOPIFY_TOKEN": self.shop.token,
            "RECON__PROVIDERS__SHOPIFY__BASE_URL": self.shop.endpoint,
            "RECON__PROVIDERS__SHOPIFY__DOWNLOADS": json.dumps([self.shop.files]),
            "RECON__PROVIDERS__SHOPIFY__BULK_POLL": "20ms",
        }
        return figures(recon("run", "orders", "--json", *words, cwd=self.folder, env=env))

    def execute(self, statement: str) -> None:
        """Changes the application's table."""
        with closing(sqlite3.connect(self.folder / "app.db")) as db:
            db.execute(statement)
            db.commit()

    @property
    def events(self) -> list[tuple[str, str]]:
        """What was published: type and key."""
        path = self.folder / "events.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return sorted((event["type"], event["data"]["key"]) for event in map(json.loads, lines))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A shop and an application that agree about 300 orders."""
    with graphql_shop(orders=[order(n, items=12 if n % 100 == 0 else 2) for n in range(1, 301)]) as shop:
        yield World(tmp_path, shop)


def test_a_night_finds_what_differs_and_no_more(world: World) -> None:
    """An order lost, one changed and one deleted at the shop are told, each read again by id; the night before was clean."""
    first = world.run()
    assert first["verdict"] == "clean"
    world.execute("delete from orders where id = '7'")
    world.execute("update orders set total_cents = 1 where id = '200'")
    world.shop.orders = [one for one in world.shop.orders if one["legacyResourceId"] != "42"]
    world.run()
    assert world.events == [("order.created", "7"), ("order.deleted", "42"), ("order.updated", "200")]


def test_without_read_all_orders_nothing_is_told_missing(world: World) -> None:
    """An app that sees the last 60 days only is told so; what it does not see is not deleted, and what differs is still found."""
    world.shop.scopes = ["read_orders"]
    world.shop.orders = [one for one in world.shop.orders if int(one["legacyResourceId"]) > 150]
    world.execute("update orders set financial_status = 'PENDING' where id = '200'")
    told = world.run()
    assert "read_all_orders" in json.dumps(told)
    assert told["verdict"] != "clean"
    assert all(kind != "order.deleted" for kind, _ in world.events)
