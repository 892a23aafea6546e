"""A whole night between things that nobody here wrote: PocketBase as the third party, PostgreSQL as the store, a real HTTP receiver."""

import json
import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.acceptance.commands import figures, recon
from tests.acceptance.documents import files_in, write_files
from tests.servers.pocketbase import PocketBase
from tests.servers.receiver import SECRET, Receiver

RECORDS = 5_000
MOVING = 20
WORDS = {"succeeded": "paid", "waiting": "open", "failed": "failed"}
INSERT = "insert into orders values (%(id)s,%(state)s,%(total)s,%(currency)s,%(weight)s,%(placed_at)s,%(paid)s,%(tags)s,%(meta)s,%(note)s)"
UPSERT = (
    INSERT
    + " on conflict (id) do update set state=excluded.state, total_cents=excluded.total_cents, currency=excluded.currency, weight=excluded.weight,"
    " placed_at=excluded.placed_at, paid=excluded.paid, tags=excluded.tags, meta=excluded.meta, note=excluded.note"
)
BREAKS = {
    "state": "update orders set state = 'open' where id = %s and state <> 'open' returning id",
    "total": "update orders set total_cents = total_cents + 1 where id = %s returning id",
    "currency": "update orders set currency = 'gbp' where id = %s returning id",
    "weight": "update orders set weight = weight + 0.01 where id = %s returning id",
    "placed_at": "update orders set placed_at = placed_at - interval '1 second' where id = %s returning id",
    "paid": "update orders set paid = not paid where id = %s returning id",
    "tags": "update orders set tags = array_append(tags, 'stray') where id = %s returning id",
    "meta": "update orders set meta = meta || '{\"floor\": 9}' where id = %s returning id",
    "note": "update orders set note = 'something else' where id = %s returning id",
}


def record(number: int) -> dict[str, Any]:
    """An order as the shop writes it."""
    currency = ("EUR", "USD", "JPY")[number % 3]
    return {
        "status": ("succeeded", "waiting", "failed")[number % 5 % 3],
        "amount": 1000 + number if currency == "JPY" else round(10 + number * 0.37, 2),
        "currency": currency,
        "weight": round(number % 97 * 0.11, 2),
        "placed": (datetime(2026, 11, 1, tzinfo=UTC) + timedelta(minutes=number)).isoformat(),
        "paid": number % 5 % 3 == 0,
        "tags": [f"t{number % 7}", "all"][:: 1 if number % 2 else -1],
        "meta": {"floor": number % 4, "lines": [{"sku": f"s{number}", "n": 1.0}]},
        "note": "" if number % 3 else f"  note {number} ",
    }


def row(stored: dict[str, Any]) -> dict[str, Any]:
    """The same order as the application keeps it, whose handler reads it with code of its own."""
    digits = 0 if stored["currency"] == "JPY" else 2
    return {
        "id": stored["id"],
        "state": WORDS[stored["status"]],
        "total": round(stored["amount"] * 10**digits),
        "currency": stored["currency"].lower(),
        "weight": stored["weight"],
        "placed_at": stored["placed"],
        "paid": stored["paid"],
        "tags": sorted(stored["tags"]),
        "meta": Jsonb(stored["meta"]),
        "note": stored["note"].strip() or None,
    }


class World:
    """The shop, the table, the receiver, and the project between them."""

    def __init__(self, folder: Path, shop: PocketBase, database: str, receiver: Receiver) -> None:
        self.folder = folder
        self.shop = shop
        self.receiver = receiver
        self.db = psycopg.connect(database, autocommit=True)
        self.env = {
            "SHOP_TOKEN": shop.token,
            "DATABASE_URL": database,
            "HOOK_URL": receiver.url,
            "HOOK_SECRET": SECRET,
            "RECON__PROVIDERS__SHOP__BASE_URL": f"{shop.url}/api/",
        }
        write_files("howto/rest-to-postgres.md", folder)
        self.db.execute(files_in("howto/rest-to-postgres.md")["orders.sql"])
        kinds = {
            "status": "text",
            "amount": "number",
            "currency": "text",
            "weight": "number",
            "placed": "date",
            "paid": "bool",
            "tags": "json",
            "meta": "json",
        }
        shop.create_collection("orders", {**kinds, "note": "text"})
        self.stored = shop.insert("orders", (record(number) for number in range(RECORDS)))
        with self.db.cursor() as cursor:
            cursor.executemany(INSERT, [row(one) for one in self.stored])

    def run(self, *words: str) -> dict[str, Any]:
        return figures(recon("run", "orders", "--json", *words, cwd=self.folder, env=self.env))

    def move(self, chosen: list[dict[str, Any]]) -> list[datetime]:
        """Changes records at the shop while a fetch runs; the application's webhook works, so its copy follows at once."""
        moments = []
        until = time.monotonic() + 60
        while not list(self.folder.glob(".recon/runs/*/pages.jsonl")):
            assert time.monotonic() < until, "the fetch never began"
            time.sleep(0.005)
        for one in chosen:
            now = self.shop.patch("orders", one["id"], {"amount": one["amount"] + 5, "note": "moved"})
            moments.append(datetime.now(UTC))
            self.db.execute(UPSERT, row(now))
            time.sleep(0.04)
        return moments

    def apply(self) -> None:
        """The application's own handler, over what its endpoint received."""
        for event in self.receiver.events:
            if event["type"] == "order.deleted":
                self.db.execute("delete from orders where id = %s", [event["data"]["key"]])
            else:
                state = event["data"]["state"]
                self.db.execute(UPSERT, {**state, "id": event["data"]["key"], "meta": Jsonb(state["meta"])})


@pytest.fixture
def world(tmp_path: Path, pocketbase: PocketBase, database: str, receiver: Receiver) -> Iterator[World]:
    """A shop and an application that agree about 5,000 orders."""
    one = World(tmp_path, pocketbase, database, receiver)
    yield one
    one.db.close()
    pocketbase.drop_collection("orders")


@pytest.mark.timeout(240)
def test_exactly_the_true_discrepancies_come_out_and_healing_makes_the_next_run_clean(world: World) -> None:
    """Drift of every kind is found, each item once, while 20 others change under the fetch; the events heal it, and the next run is clean."""
    chance = random.Random(20261123)
    keys = [one["id"] for one in world.stored]
    chance.shuffle(keys)
    missing, extra, moving = keys[:30], [f"ghost{n:010d}" for n in range(12)], keys[30 : 30 + MOVING]
    world.db.execute("delete from orders where id = any(%s)", [missing])
    for number, key in enumerate(extra):
        world.db.execute(INSERT, row({**record(number), "id": key}))
    changed: dict[str, str] = {}
    rest = iter(keys[30 + MOVING :])
    for field, statement in BREAKS.items():
        while sum(1 for f in changed.values() if f == field) < 5:
            key = next(rest)
            if world.db.execute(statement, [key]).fetchone():
                changed[key] = field

    by_id = {one["id"]: one for one in world.stored}
    moments: list[datetime] = []
    mover = threading.Thread(target=lambda: moments.extend(world.move([by_id[key] for key in moving])))
    mover.start()
    found = world.run()
    mover.join()

    assert found["verdict"] == "discrepancies", json.dumps(found["problem"])
    inside = [m for m in moments if m.isoformat() < found["coverage"]["finished_at"].replace("Z", "+00:00")]
    assert len(inside) >= MOVING // 2, "too few records moved while the fetch ran for this to prove anything"
    events = world.receiver.events
    assert sorted(event["data"]["key"] for event in events) == sorted([*missing, *extra, *changed])
    assert {event["data"]["key"] for event in events if event["type"] == "order.created"} == set(missing)
    assert {event["data"]["key"] for event in events if event["type"] == "order.deleted"} == set(extra)
    assert {event["data"]["key"]: event["data"]["changed"] for event in events if event["type"] == "order.updated"} == {
        k: [f] for k, f in changed.items()
    }
    assert len({event["id"] for event in events}) == len(events)
    assert found["delivery"]["confirmed"] == len(events)

    world.apply()
    healed = world.run()

    assert healed["verdict"] == "clean", json.dumps(
        {k: healed[k] for k in ("problem", "missing", "extra", "changed", "dismissed", "by_field")}
    )
    assert healed["compared"] == RECORDS
    assert healed["resolved"] == len(events)
    assert healed["consistent_as_of"] is not None


@pytest.mark.timeout(120)
def test_doctor_finds_nothing_wrong(world: World) -> None:
    """`recon doctor` of the how-to's project really fetches a page, reads an item by id, and looks at the table and the receiver."""
    done = recon("doctor", "orders", cwd=world.folder, env=world.env)

    assert done.returncode == 0, done.stdout + done.stderr
