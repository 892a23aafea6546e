"""What is kept beside the application's rows: marks, conflicts, dead letters, and the inbox for side effects."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, and_, bindparam, exc, select

from recon.clock import iso, parse_iso
from recon.consume.ruling import Fact, Mark
from recon.consume.tables import KEY_CHARACTERS, Tables
from recon.event import Event
from recon.upsert.savepoint import savepoint

_KEY: Any = bindparam("item")
_KEYS: Any = bindparam("items", expanding=True)
REMEMBERED = frozenset(one.name for one in fields(Mark))


def short(text: str) -> str:
    """A key as an index takes it: a longer one by its hash."""
    return text if len(text) <= KEY_CHARACTERS else "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Disputed:
    """A conflict as it is recorded; `body` is the correction, None for an ordinary webhook."""

    target: str
    id: str
    key: str
    version: str | None
    observed: datetime | None
    reason: str
    body: bytes | None
    times: int
    at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that could not be taken, as it came."""

    consumer: str
    digest: str
    id: str | None
    body: bytes
    headers: Mapping[str, str]
    reason: str
    at: datetime


class Marks:
    """What is remembered of items of one target. Statements are made once: what is bound differs, and they run for every event."""

    def __init__(self, tables: Tables, target: str) -> None:
        t, self._target = tables.marks, target
        self._read = select(*(column for column in t.c if column.name in REMEMBERED)).where(t.c.target == target, t.c.key == _KEY)
        self._read_locked = self._read.with_for_update()
        self._several = (
            select(t.c.key, *(column for column in t.c if column.name in REMEMBERED))
            .where(t.c.target == target, t.c.key.in_(_KEYS))
            .order_by(t.c.key)
            .with_for_update()
        )
        self._insert = t.insert()
        self._update = t.update().where(t.c.target == target, t.c.key == _KEY)

    def read(self, connection: Connection, key: str) -> Mark | None:
        """What is remembered of this item; locked where the database can."""
        query = self._read if connection.dialect.name == "sqlite" else self._read_locked
        row = connection.execute(query, {"item": short(key)}).mappings().one_or_none()
        return None if row is None else _mark(row)

    def several(self, connection: Connection, keys: Collection[str]) -> dict[str, Mark]:
        """What is remembered of these items, locked likewise."""
        named = {short(key): key for key in keys}
        found = connection.execute(self._several, {"items": list(named)}).mappings()
        return {named[row["key"]]: _mark({name: row[name] for name in REMEMBERED}) for row in found}

    def write(self, connection: Connection, key: str, mark: Mark, *, fresh: bool) -> None:
        """Remembers; `fresh` where nothing was."""
        self.write_all(connection, [(key, mark)], fresh=fresh)

    def write_all(self, connection: Connection, marks: Sequence[tuple[str, Mark]], *, fresh: bool) -> None:
        """Remembers of several, all of them `fresh` or none."""
        if marks and fresh:
            connection.execute(self._insert, [{"target": self._target, "key": short(key), **self._values(mark)} for key, mark in marks])
        elif marks:
            connection.execute(self._update, [{"item": short(key), **self._values(mark)} for key, mark in marks])

    def _values(self, mark: Mark) -> dict[str, Any]:
        return {
            "version": None if mark.version is None else str(mark.version),
            "bound": mark.bound,
            "observed": None if mark.observed is None else iso(mark.observed),
            "deleted": mark.deleted,
            "told": None if mark.told is None else iso(mark.told),
            "told_version": None if mark.told_version is None else str(mark.told_version),
            "gone": None if mark.gone is None else str(mark.gone),
            "wrote": mark.wrote,
            "event": mark.event,
            "at": mark.at,
        }


class Conflicts:
    """What could not be settled, of one target, for a person and for the next night."""

    def __init__(self, tables: Tables, target: str) -> None:
        t = self._table = tables.conflicts
        self._target = target
        self._open = select(t).where(t.c.target == target, t.c.settled_at.is_(None)).order_by(t.c.at, t.c.id)
        self._open_of = self._open.where(t.c.key == _KEY)
        self._disputed = select(t.c.key).where(t.c.target == target, t.c.settled_at.is_(None), t.c.key.in_(_KEYS)).distinct()

    def record(self, connection: Connection, fact: Fact, body: bytes | None, reason: str, at: datetime) -> None:
        """One more, or the same once more."""
        t = self._table
        told = msgspec.json.encode([fact.change.op, fact.change.key, fact.change.wanted, fact.version], order="sorted")
        name = fact.id or "webhook:" + hashlib.sha256(told).hexdigest()
        same = and_(t.c.target == self._target, t.c.id == short(name))
        times = connection.execute(select(t.c.times).where(same)).scalar_one_or_none()
        if times is not None:
            connection.execute(t.update().where(same).values(times=times + 1, reason=_writable(reason), settled_at=None))
            return
        connection.execute(
            t.insert().values(
                target=self._target,
                id=short(name),
                key=short(fact.change.key),
                version=None if fact.version is None else _writable(str(fact.version)),
                observed=None if fact.observed is None else iso(fact.observed),
                reason=_writable(reason),
                body=body,
                times=1,
                at=at,
            )
        )

    def open(self, connection: Connection, key: str | None = None) -> list[Disputed]:
        """Those that nothing has settled yet, of one item or of all, oldest first."""
        found = connection.execute(self._open) if key is None else connection.execute(self._open_of, {"item": short(key)})
        return [Disputed(**{**row, "observed": _parsed(row["observed"]), "at": _aware(row["at"])}) for row in found.mappings()]

    def among(self, connection: Connection, keys: Collection[str]) -> set[str]:
        """Those of these items of which one is open."""
        named = {short(key): key for key in keys}
        return {named[key] for key in connection.execute(self._disputed, {"items": list(named)}).scalars()}

    def settle(self, connection: Connection, names: list[str], at: datetime) -> None:
        """They are answered by what came since."""
        t = self._table
        connection.execute(t.update().where(t.c.target == self._target, t.c.id.in_(names)).values(settled_at=at))


class Inbox:
    """Whose side effect ran, of one consumer: ids of events, and names of facts that ordinary webhooks told."""

    def __init__(self, tables: Tables, consumer: str) -> None:
        t, self._consumer = tables.inbox, consumer
        self._has = select(t.c.id).where(t.c.consumer == consumer, t.c.id.in_(_KEYS))
        self._put = t.insert()

    def has(self, connection: Connection, *names: str) -> bool:
        """Whether that of one of these ran."""
        return connection.execute(self._has, {"items": [short(name) for name in names]}).first() is not None

    def put(self, connection: Connection, name: str, at: datetime) -> None:
        """It ran, in this transaction."""
        connection.execute(self._put, {"consumer": self._consumer, "id": short(name), "at": at})


class DeadLetters:
    """Messages that could not be taken, of one consumer, as they came."""

    def __init__(self, tables: Tables, consumer: str) -> None:
        self._table, self._consumer = tables.dead_letters, consumer

    def put(
        self, connection: Connection, body: bytes, headers: Mapping[str, str], *, event: Event | None, reason: str, at: datetime
    ) -> None:
        """Kept; the same message once, with its last reason."""
        t = self._table
        digest = hashlib.sha256(_identity(headers) + b"\n" + body).hexdigest()
        named = {"id": None if event is None else _writable(event.id), "reason": _writable(reason)}
        same = and_(t.c.consumer == self._consumer, t.c.digest == digest)
        if connection.execute(t.update().where(same).values(named)).rowcount:
            return
        text = msgspec.json.encode({_writable(name): _writable(value) for name, value in headers.items()}, order="sorted").decode()
        row = {"consumer": self._consumer, "digest": digest, "body": body, "headers": text, "at": at, **named}
        try:
            with savepoint(connection):
                connection.execute(t.insert().values(row))
        except exc.IntegrityError:
            connection.execute(t.update().where(same).values(named))

    def all(self, connection: Connection) -> list[DeadLetter]:
        """Oldest first."""
        t = self._table
        query = select(t).where(t.c.consumer == self._consumer).order_by(t.c.at, t.c.digest)
        return [
            DeadLetter(**{**row, "headers": msgspec.json.decode(row["headers"]), "at": _aware(row["at"])})
            for row in connection.execute(query).mappings()
        ]

    def drop(self, connection: Connection, digest: str) -> None:
        """It was taken after all, or nobody wants it."""
        t = self._table
        connection.execute(t.delete().where(t.c.consumer == self._consumer, t.c.digest == digest))


def prune(connection: Connection, table: Table, moment: Any, before: datetime, *more: Any) -> int:
    """Deletes the rows of a table whose `moment` is past; answers how many."""
    return connection.execute(table.delete().where(moment < before, *more)).rowcount


def _identity(headers: Mapping[str, str]) -> bytes:
    """What tells messages of the same body apart: their other headers may differ from one repeat to the next."""
    return msgspec.json.encode([_writable(named) if (named := headers.get(name)) else named for name in ("content-type", "ce-id", "ce_id")])


def _writable(text: str) -> str:
    """What every database takes as text: a dead letter, or a conflict, must not die of its own name."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _mark(row: Mapping[Any, Any]) -> Mark:
    times = {"observed": _parsed(row["observed"]), "told": _parsed(row["told"]), "at": _aware(row["at"])}
    return Mark(**{**row, **times})


def _parsed(text: str | None) -> datetime | None:
    return None if text is None else parse_iso(text)


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
