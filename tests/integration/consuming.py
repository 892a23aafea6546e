"""An application's table and the facts that come to it, for the tests of `recon.consume`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import StaticPool

from recon.clock import iso
from recon.consume.applied import Applied
from recon.consume.applier import Applier
from recon.event import Event

START = datetime(2026, 11, 23, tzinfo=UTC)
MARIADB_ZONE = timezone(timedelta(hours=5, minutes=30))
DDL = {
    "sqlite": "CREATE TABLE orders (id TEXT PRIMARY KEY, status TEXT NOT NULL, total INTEGER, updated_at TEXT, revision INTEGER, print TEXT)",
    "postgresql": "CREATE TABLE orders (id text PRIMARY KEY, status text NOT NULL, total bigint, updated_at timestamptz, revision bigint, print text)",
    "mysql": "CREATE TABLE orders (id varchar(450) PRIMARY KEY, status varchar(40) NOT NULL, total bigint, updated_at timestamp(6) NULL,"
    " revision bigint, print text)",
}
State = Mapping[str, Any]


def memory() -> Engine:
    """SQLite in memory, with the application's table in it."""
    return with_orders(create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}))


def engine_of(url: str) -> Engine:
    """An engine as an application makes it, with the application's table in it."""
    return with_orders(
        create_engine(url.replace("postgresql://", "postgresql+psycopg://"), connect_args={"timeout": 20} if "sqlite" in url else {})
    )


def with_orders(engine: Engine) -> Engine:
    """The application's table is made."""
    with engine.begin() as connection:
        connection.execute(text(DDL[engine.dialect.name]))
    return engine


def applier_of(engine: Engine, **more: Any) -> Applier:
    """An applier with its tables made."""
    applier = Applier(engine, **{"table": "orders", "version": "updated_at", **more})
    applier.create_tables()
    return applier


def second(number: float) -> str:
    """A moment of the world's time, as an event writes it."""
    return iso(START + timedelta(seconds=number))


def row(engine: Engine, key: str, columns: str = "status, total") -> tuple[Any, ...] | None:
    """The application's row as it stands."""
    with engine.connect() as connection:
        found = connection.execute(text(f"SELECT {columns} FROM orders WHERE id = :key"), {"key": key}).first()
    return None if found is None else tuple(found)


def rows(engine: Engine) -> list[tuple[Any, ...]]:
    """All of them."""
    with engine.connect() as connection:
        return [tuple(one) for one in connection.execute(text("SELECT id, status, total FROM orders ORDER BY id"))]


def insert(engine: Engine, key: str, state: State) -> None:
    """A row that nobody guarded."""
    with engine.begin() as connection:
        names = ["id", *state]
        statement = f"INSERT INTO orders ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"
        connection.execute(text(statement), {"id": key, **state, **as_held(engine, state)})


def as_held(engine: Engine, state: State) -> dict[str, Any]:
    """A state's version as this database takes one: MariaDB knows no offset, and sees a TIMESTAMP in the session's zone."""
    moment = state.get("updated_at")
    if engine.dialect.name != "mysql" or not isinstance(moment, str):
        return {"updated_at": moment} if moment is not None else {}
    return {"updated_at": datetime.fromisoformat(moment).astimezone(MARIADB_ZONE).replace(tzinfo=None)}


def correction(
    op: str,
    key: str,
    state: State | None,
    before: State | None,
    *,
    at: float,
    id: str | None = None,  # noqa: A002 - the member's own name
    version: int = 1,
    prints: tuple[str, str] = ("", ""),
) -> Event:
    """A corrective event, found at `at` seconds."""
    moment = START + timedelta(seconds=at)
    data = {
        "op": op,
        "key": key,
        "state": state,
        "before": before,
        "changed": [],
        "precondition": {"fingerprint": prints[0]},
        "observed": {"fingerprint": prints[1], "at": iso(moment)},
    }
    return Event(
        id=id or f"{op}-{key}-{at}",
        type=f"order.{op}",
        source="/recon/shop/orders",
        subject=f"order/{key}",
        time=moment,
        recorded=moment,
        dataversion=version,
        partitionkey=key,
        run="01M835H6W3SC1M85WSM3FJ364Y",
        generation=1,
        data=data,
    )


@dataclass(frozen=True)
class Webhook:
    """An ordinary webhook of the third party's about one item: its state, or None where it is gone, as of a version."""

    state: State | None
    version: Any

    def sent(self, applier: Applier, key: str) -> Applied:
        """Through the guarded door."""
        return applier.delete(key, self.version) if self.state is None else applier.upsert(key, self.state, self.version)


@dataclass(frozen=True)
class Found:
    """A correction of one item: what the source was seen to hold at `at`, and what the target held then."""

    state: State | None
    before: State | None
    at: float

    def sent(self, applier: Applier, key: str) -> Applied:
        """As an event."""
        op = "deleted" if self.state is None else "created" if self.before is None else "updated"
        return applier.apply_event(correction(op, key, self.state, self.before, at=self.at))


Fact = Webhook | Found
