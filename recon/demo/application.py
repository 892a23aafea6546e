"""The application of the demo: a SQLite store, fed by its own webhook handler, written the way many are.

The handler has no versions and no order: an update of an order it has never seen is ignored, a late update overwrites a newer one, a late creation
brings a deleted order back. That is where drift comes from. It knows nothing of reconciliation either: corrections come as the same
`order.created`, `order.updated` and `order.deleted`, to the same URL, signed with a secret of their own.
"""

import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from recon.demo.server import LoopbackServer, Request, Response
from recon.publishers.signing import BadSignature, key_of, verify

SCHEMA = """
create table orders (
    id text primary key,
    status text not null,
    amount integer not null,      -- minor units
    currency text not null,
    customer text not null,
    created_at text not null,
    updated_at text not null
);
create table inbox (webhook_id text primary key) without rowid;
"""
COLUMNS = ("id", "status", "amount", "currency", "customer", "created_at", "updated_at")
Row = dict[str, Any]


class Application:
    """Listens at `url`. `down = True` answers 503 to everything, as behind a broken gateway. `told` counts what the handler did."""

    def __init__(self, path: Path, *, shop_secret: str, recon_secret: str) -> None:
        self.path = path
        self.down = False
        self.told: Counter[str] = Counter()
        self._keys = {"shop": key_of(shop_secret), "recon": key_of(recon_secret)}
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("pragma journal_mode = wal")
        self._database.execute("pragma synchronous = normal")
        self._database.executescript(SCHEMA)
        self._server = LoopbackServer(self._answer)

    @property
    def url(self) -> str:
        """Where webhooks go."""
        return f"{self._server.url}/webhooks"

    def load(self, orders: list[Row]) -> None:
        """The import on the day the application went live."""
        with self._lock:
            self._database.execute("begin")
            self._database.executemany(
                f"insert into orders values ({', '.join('?' * len(COLUMNS))})", [_values(_of_shop(o)) for o in orders]
            )
            self._database.execute("commit")

    def rows(self) -> dict[str, Row]:
        """What the store holds, by id, read afresh from the file."""
        reader = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)
        try:
            return {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in reader.execute(f"select {', '.join(COLUMNS)} from orders")}
        finally:
            reader.close()

    def close(self) -> None:
        """Stop listening and close the store."""
        self._server.close()
        self._database.close()

    def _answer(self, request: Request) -> Response:
        if self.down:
            return Response(status=503, body={"error": "bad gateway"})
        if request.method != "POST" or request.path != "/webhooks":
            return Response(status=404, body={"error": "not here"})
        try:
            sender, name = self._sender(request)
        except BadSignature as error:
            return Response(status=401, body={"error": str(error)})
        try:
            document = msgspec.json.decode(request.body)
            kind = document["type"]
            order = _of_shop(document["data"]) if sender == "shop" else _of_correction(document["data"])
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            return Response(status=422, body={"error": f"not an order: {error}"})
        with self._lock:
            return self._once(name, sender, kind, order)

    def _sender(self, request: Request) -> tuple[str, str]:
        """Who signed this, and the webhook's id."""
        for sender, key in self._keys.items():
            try:
                return sender, verify([key], headers=request.headers, body=request.body, now=time.time())
            except BadSignature as error:
                failure = error
        raise failure

    def _once(self, name: str, sender: str, kind: str, order: Row) -> Response:
        """Handle a webhook, each id once: the inbox and the change are one transaction."""
        self._database.execute("begin immediate")
        try:
            fresh = self._database.execute("insert into inbox values (?) on conflict do nothing", [name]).rowcount
            if fresh:
                self._handle(kind, order)
            self._database.execute("commit")
        except BaseException:
            self._database.execute("rollback")
            raise
        self.told[f"{sender} {'handled' if fresh else 'repeated'}"] += 1
        return Response(status=200 if fresh else 409, body={"ok": bool(fresh)})

    def _handle(self, kind: str, order: Row) -> None:
        """The application's own handler: the one door for orders, whoever knocks."""
        if kind == "order.created":
            self._database.execute(
                f"insert into orders values ({', '.join('?' * len(COLUMNS))}) on conflict do nothing",
                _values(order),
            )
        elif kind == "order.updated":
            changes = {name: value for name, value in order.items() if name != "id" and value is not None}
            self._database.execute(
                f"update orders set {', '.join(f'{name} = ?' for name in changes)} where id = ?",
                [*changes.values(), order["id"]],
            )
        elif kind == "order.deleted":
            self._database.execute("delete from orders where id = ?", [order["id"]])


def _values(order: Row) -> list[Any]:
    return [order[name] for name in COLUMNS]


def _of_shop(record: Row) -> Row:
    """The row behind a record as the shop writes it."""
    row = {name: record[name] for name in COLUMNS if name != "customer"}
    return row | {"customer": record["customer"]["id"]}


def _of_correction(data: Row) -> Row:
    """The row behind a corrective event: its state has the job's field names."""
    state = data.get("state") or {}
    names = {"amount": "total", "created_at": "created", "updated_at": "updated"}
    return {name: state.get(names.get(name, name)) for name in COLUMNS if name != "id"} | {"id": data["key"]}
