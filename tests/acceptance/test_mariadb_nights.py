"""Whole nights by the command line with MariaDB on either side: as the third party, and as the store that corrections heal; and when it breaks."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine

from recon.consume import Applier
from tests.acceptance.cli_project import Shell, Shop
from tests.servers.mariadb import PASSWORD, MariaServer, maria, mariadb

__all__ = ["maria", "mariadb"]

SETTINGS = """[providers.shop]
file = "shop.json"
token = { env = "SHOP_TOKEN" }
[providers.erp]
type = "sql"
url = { env = "ERP_URL" }
page = 100
[providers.erp.resources.orders]
sql = "select order_no as id, status, total, paid, seen from erp_orders where not test -- no others"
[stores.main]
url = { env = "STORE_URL" }
[publishers.bus]
type = "file"
path = "events.jsonl"
[publishers.direct]
type = "apply"
url = { env = "STORE_URL" }
table = "orders"
scale = { total = 2 }
[jobs.orders]
publisher = "PUBLISHER"
"""
JOB = """from recon import Boolean, Field, Guard, Job, Money, Table, Timestamp

orders = Job(
    domain="orders", provider="PROVIDER", resource="orders", table=Table(name="orders"), event="order", settle=0, guard=Guard(floor=20),
    fields=(
        Field("status"), Field("total", Money(currency="EUR", provider="major", store="major")), Field("paid", Boolean()),
        Field("seen", Timestamp(precision="ms")),
    ),
)
"""
KEYS = ["a", "A", "é", "e", "a ", "😀", *(f"o{number:03}" for number in range(60))]
ROWS = [(key, "paid", f"{number}.50", number % 2, f"2026-11-{number % 20 + 1:02} 03:00:00.250") for number, key in enumerate(KEYS)]
ITEMS = [
    {"id": key, "status": status, "total": total, "paid": bool(paid), "seen": f"{seen.replace(' ', 'T')}Z"}
    for key, status, total, paid, seen in ROWS
]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """The project on disk."""
    return Shop.made(tmp_path)


@pytest.fixture
def shell(shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Its command line."""
    return Shell(shop, monkeypatch, capsys)


def project(shop: Shop, *, publisher: str, provider: str, erp: str = "sqlite:///none.db", store: str) -> None:
    """The project, with one job."""
    shop.write("recon.toml", SETTINGS.replace("PUBLISHER", publisher))
    shop.write("jobs/orders.py", JOB.replace("PROVIDER", provider))
    (shop.folder / "jobs" / "refunds.py").unlink()
    shop.environ.update(ERP_URL=erp, STORE_URL=store)
    shop.third_party(orders=ITEMS)


def table(server: MariaServer, url: str, name: str, key: str) -> None:
    """A table of MariaDB's with all the rows, written in UTC though the server is elsewhere."""
    columns = "status varchar(20), total decimal(12,2), paid bit(1), seen timestamp(3) NULL, note text, test bool NOT NULL DEFAULT false"
    server.run(f"CREATE TABLE {name} ({key} varchar(20) COLLATE utf8mb4_nopad_bin PRIMARY KEY, {columns})", url=url)
    marks = ", ".join("(%s, %s, %s, %s, %s)" for _ in ROWS)
    values = [value for one in ROWS for value in one]
    server.run(f"INSERT INTO {name} ({key}, status, total, paid, seen) VALUES {marks}", values, url=url, zone="+00:00")


def drift(server: MariaServer, url: str) -> None:
    """One lost, two wrong, one too many: each beside a key that a collation would take for the same."""
    server.run(
        "DELETE FROM orders WHERE id = 'A'; UPDATE orders SET total = 9.99, paid = NOT paid WHERE id = 'é';"
        "UPDATE orders SET seen = seen + INTERVAL 1 HOUR WHERE id = 'a '; INSERT INTO orders (id, status, total) VALUES ('Z', 'paid', 1)",
        url=url,
    )


def night(shell: Shell) -> dict[str, Any]:
    """A run's figures; nothing that it says has a password in it."""
    said = shell("run", "orders", "--json")
    assert said.out, said.err
    assert PASSWORD not in said.out + said.err
    assert "Traceback" not in said.err
    figures: dict[str, Any] = json.loads(said.out)
    return figures


def told(shell: Shell, figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Its discrepancies."""
    lines = [json.loads(line) for line in shell("report", figures["run"], "-f", "jsonl").out.splitlines()]
    return sorted((one["kind"], one["key"]) for one in lines if "key" in one)


def killed_while_read(server: MariaServer) -> None:
    """Kills it once a read is under way, which waits for each row."""
    until = time.monotonic() + 60
    while not server.run("SELECT 1 FROM information_schema.processlist WHERE state = 'User sleep'"):
        if time.monotonic() > until:
            return  # The night is whole then, and its test fails.
        time.sleep(0.02)
    server.kill()


WRONG = [("changed", "a "), ("changed", "é"), ("extra", "Z"), ("missing", "A")]


def test_mariadb_as_the_third_party(mariadb: MariaServer, maria: str, database: str, shop: Shop, shell: Shell) -> None:
    """Against a PostgreSQL store: whole, in one read-only snapshot; what is told is what is wrong; the doctor finds both sides well."""
    table(mariadb, maria, "erp_orders", "order_no")
    mariadb.run("INSERT INTO erp_orders (order_no, test) VALUES ('test', true)", url=maria)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table orders (id text primary key, status text, total numeric(12,2), paid boolean, seen timestamptz)")
        with connection.cursor() as cursor:
            cursor.executemany("insert into orders values (%s, %s, %s, %s::int::boolean, %s::timestamp at time zone 'UTC')", ROWS)
        connection.execute("delete from orders where id = 'A'")
        connection.execute("update orders set total = 9.99 where id = 'é'")
        connection.execute("update orders set seen = seen + interval '1 hour' where id = 'a '")
        connection.execute("insert into orders values ('Z', 'paid', 1)")
    project(shop, publisher="bus", provider="erp", erp=maria, store=database)

    figures = night(shell)

    assert (figures["coverage"]["whole"], figures["coverage"]["records"]) == (True, 66)
    assert "66 rows, in one repeatable read transaction, read only" in figures["coverage"]["proof"]
    assert told(shell, figures) == WRONG
    assert shell("doctor", "orders").code == 0


@pytest.mark.parametrize("way", ["apply", "applier"])
def test_mariadb_as_the_store_is_healed(mariadb: MariaServer, maria: str, shop: Shop, shell: Shell, way: str) -> None:
    """By `apply`, or by an application that takes the events: every discrepancy is mended in its own row, and the next night is clean."""
    table(mariadb, maria, "orders", "id")
    drift(mariadb, maria)
    project(shop, publisher="direct" if way == "apply" else "bus", provider="shop", store=maria)

    assert told(shell, night(shell)) == WRONG
    if way == "applier":
        engine = create_engine(maria)
        applier = Applier(engine, table="orders", scale={"total": 2})
        applier.create_tables()
        for line in (shop.folder / "events.jsonl").read_bytes().splitlines():
            assert applier.apply(line).kind == "applied"
        engine.dispose()

    figures = night(shell)
    assert (figures["verdict"], figures["discrepancies"]) == ("clean", 0)
    assert mariadb.run("SELECT count(*), sum(total), sum(paid) FROM orders", url=maria) == [(66, sum(range(66)) + 33, 33)]
    said = shell("doctor", "orders")
    assert "mariadb 1" in said.out
    assert "could write" in said.out, "the superuser is no user to read with"


@pytest.mark.parametrize("side", ["third party", "store"])
def test_killed_in_the_middle_nothing_is_inferred(mariadb: MariaServer, maria: str, shop: Shop, shell: Shell, side: str) -> None:
    """The server is killed while it is read, on either side: the night is incomplete, says so in words, and tells no discrepancy; the next is whole."""
    table(mariadb, maria, "orders", "id")
    mariadb.run("CREATE VIEW erp_orders AS SELECT id AS order_no, status, total, paid, seen, test FROM orders", url=maria)
    if side == "third party":
        project(shop, publisher="bus", provider="erp", erp=maria, store=f"sqlite:///{shop.folder}/app.db")
        slow = SETTINGS.replace("-- no others", "and sleep(0.1) = 0").replace("PUBLISHER", "bus")
        shop.write("recon.toml", slow)
        shop.sql("alter table orders add column paid integer")
        shop.sql("alter table orders add column seen text")
    else:
        project(shop, publisher="bus", provider="shop", store=maria)
        shop.write("jobs/orders.py", JOB.replace("PROVIDER", "shop").replace('name="orders")', 'name="orders", where="sleep(0.1) = 0")'))
    killer = threading.Thread(target=killed_while_read, args=(mariadb,))
    killer.start()
    try:
        said = shell("run", "orders", "--json")
    finally:
        killer.join()
        mariadb.start()

    assert said.code == 75
    figures = json.loads(said.out)
    assert figures["verdict"] not in {"clean", "discrepancies"}
    assert not figures.get("discrepancies")
    assert "Lost connection" in json.dumps(figures)
    assert "Traceback" not in said.err
    assert PASSWORD not in said.out + said.err
    assert not (shop.folder / "events.jsonl").exists()


def test_the_state_is_not_kept_there(shop: Shop, shell: Shell, tmp_path: Path) -> None:
    """A state database in MariaDB is refused with what serves instead."""
    project(shop, publisher="bus", provider="shop", store="sqlite:///app.db")
    shop.write("recon.toml", SETTINGS.replace("PUBLISHER", "bus") + '[state]\nurl = "mysql+pymysql://u:secret-words@h/d"\n')
    said = shell("run", "orders")
    assert said.code == 2
    assert "the state is kept in SQLite or PostgreSQL, not in mysql" in said.err
    assert "secret-words" not in said.err
