"""A whole night by the command line between another database (PostgreSQL) as the third party and a SQLite table."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg

from tests.acceptance.commands import figures, recon

TOML = """
[providers.erp]
type = "sql"
url = { env = "ERP_URL" }
page = 100

[providers.erp.resources.orders]
sql = "select order_no, status, amount, booked_at from orders where not test"
key = "order_no"

[stores.main]
url = "sqlite:///app.db"

[publishers.bus]
type = "file"
path = "events.jsonl"

[jobs.orders]
publisher = "bus"
"""
JOB = '''
"""Orders: what the ERP holds, against our copies."""

from recon import Decimal, Field, Guard, Job, Table, Timestamp

orders = Job(
    domain="orders", provider="erp", resource="orders", table=Table(name="orders", key="order_no"), event="order", settle="1s",
    guard=Guard(floor=20), fields=(Field("status"), Field("amount", Decimal(scale=2)), Field("booked_at", Timestamp())),
)
'''


def test_a_night_against_another_database(database: str, tmp_path: Path) -> None:
    """A row lost, one changed and one that the ERP never had are told, each read again by key; test rows are none of its orders; no password is shown."""
    rows = [(f"O-{n:04d}", "paid", f"{n}.10", f"2026-11-01 03:{n % 60:02d}:00+00") for n in range(250)]
    with psycopg.connect(database, autocommit=True) as erp:
        erp.execute(
            "create table orders (order_no text primary key, status text, amount numeric(12,2), booked_at timestamptz, test boolean)"
        )
        with erp.cursor() as cursor:
            cursor.executemany("insert into orders values (%s, %s, %s, %s, false)", rows)
        erp.execute("insert into orders values ('T-1', 'paid', 1, now(), true)")
    (tmp_path / "recon.toml").write_text(TOML)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "orders.py").write_text(JOB)
    with closing(sqlite3.connect(tmp_path / "app.db")) as db:
        db.execute("create table orders (order_no text primary key, status text, amount text, booked_at text)")
        db.executemany("insert into orders values (?, ?, ?, ?)", rows)
        db.execute("delete from orders where order_no = 'O-0007'")
        db.execute("update orders set amount = '9.99' where order_no = 'O-0042'")
        db.execute("insert into orders values ('O-9999', 'paid', '1.00', '2026-11-01 03:00:00+00')")
        db.commit()

    done = recon("run", "orders", "--json", cwd=tmp_path, env={"ERP_URL": database})

    told = figures(done)
    assert told["verdict"] == "discrepancies", json.dumps(told["problem"])
    assert (told["coverage"]["whole"], told["coverage"]["records"]) == (True, 250)
    assert "came to its end after 250 rows, in one repeatable read transaction, read only" in told["coverage"]["proof"]
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert sorted((event["type"], event["data"]["key"]) for event in events) == [
        ("order.created", "O-0007"),
        ("order.deleted", "O-9999"),
        ("order.updated", "O-0042"),
    ]
    password = psycopg.conninfo.conninfo_to_dict(database)["password"]
    assert str(password) not in done.stdout + done.stderr
