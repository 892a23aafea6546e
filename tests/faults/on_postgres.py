"""Worlds whose state database, or whose store, is on a real PostgreSQL."""

from collections.abc import Iterable
from pathlib import Path

import psycopg

from tests.faults.world import DRIFT, World
from tests.servers.postgres import PostgresServer


def by_way_of(url: str, port: int, *options: str) -> str:
    """The same database through another port of this host, and with these options."""
    head, _, tail = url.partition("@")
    name = tail.partition("/")[2]
    return f"{head}@127.0.0.1:{port}/{name}" + ("?" + "&".join(options) if options else "")


def state_on(server: PostgresServer, folder: Path, shop: str, *, port: int = 0, options: Iterable[str] = (), timeout: str = "5s") -> World:
    """A world with drift whose state is on the server, reached through `port`."""
    url = server.new_database()
    world = World.made(folder, shop, state=by_way_of(url, port or server.port, *options), timeout=timeout)
    world.postgres = url
    world.sql(*DRIFT)
    return world


def store_on(server: PostgresServer, folder: Path, shop: str, *, port: int = 0, options: Iterable[str] = ()) -> World:
    """A world with drift whose store is on the server; the file `shop.db` holds the same, for the laws."""
    url = server.new_database()
    world = World.made(folder, shop, store=by_way_of(url, port or server.port, *options))
    world.sql(*DRIFT)
    fill(url, world)
    return world


def fill(url: str, world: World) -> None:
    """The world's rows as a table of this database."""
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("create table orders (id text primary key, status text, amount integer)")
        for key, (status, amount) in world.rows().items():
            database.execute("insert into orders values (%s, %s, %s)", [key, status, amount])
