"""One fact and one row, in the transaction of whoever asks: locked, looked at, ruled on, written."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, func, select, text
from sqlalchemy.dialects.mysql import insert

from recon.consume.beside import Conflicts, Marks, short
from recon.consume.order import newer, wired
from recon.consume.ruling import Fact, Mark, Row, Ruled, Ruling, over_nothing, over_row, remembered
from recon.consume.tables import Tables
from recon.stores.mysql import is_mysql
from recon.upsert.change import Conflict
from recon.upsert.rows import Rows, differing, moved

INSERT_TRIES = 3
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Found = tuple[Mapping[str, Any] | None, Mark | None]


class Taken(NamedTuple):
    """What was ruled on a fact, in words where it was not written, and what stood there before: the row, and what was remembered of it."""

    ruling: Ruling
    reason: str
    row: Mapping[str, Any] | None = None
    mark: Mark | None = None


class Guard:
    """The one door to a table's rows. `version`, `sequence` and `fingerprint` are columns, or None."""

    def __init__(self, rows: Rows, tables: Tables, *, version: str | None, fingerprint: str | None, sequence: str | None = None) -> None:
        self.rows = rows
        self.version = version
        self.sequence = sequence
        self.fingerprint = fingerprint
        self.target = rows.table.fullname
        self.marks = Marks(tables, self.target)
        self.conflicts = Conflicts(tables, self.target)
        self._tables = tables
        self._nothing = tables.inbox.update().where(text("1 = 0")).values(id=tables.inbox.c.id)

    def begin(self, connection: Connection) -> None:
        """At the beginning of a transaction: on SQLite a write, though of nothing, takes its one lock before anything is read."""
        if connection.dialect.name == "sqlite":
            connection.execute(self._nothing)

    def take(self, connection: Connection, fact: Fact, *, prints: tuple[str | None, str | None], at: datetime) -> Taken:
        """Rules on a fact and writes what follows; `prints` are the fingerprints that it expects and brings.

        Of two sessions with one item, the second waits for the first. Raises Conflict where the key is no key.
        """
        for _ in range(INSERT_TRIES):
            row, mark = self._locked(connection, fact)
            ruling, reason = self.ruled(connection, fact, row, mark, expects=prints[0])
            if ruling is Ruling.WRITE and not self._write(connection, fact, row, brings=prints[1]):
                continue  # A writer that knows no guard was quicker.
            if ruling in {Ruling.WRITE, Ruling.ALREADY}:
                self._remember(connection, fact, row, mark, written=ruling is Ruling.WRITE, at=at)
            return Taken(ruling, reason, row, mark)
        msg = "another session inserts the same row"
        raise Conflict(msg)

    def ruled(self, connection: Connection, fact: Fact, row: Mapping[str, Any] | None, mark: Mark | None, *, expects: str | None) -> Ruled:
        """What may be done."""
        if row is None:
            return over_nothing(fact, mark)
        others = tuple(moved(fact.change.before or {}, row))
        if self.version is not None and self.version not in others and newer(fact.found, row[self.version]) == 1:
            others = (*others, self.version)
        if self.fingerprint is not None and expects and row[self.fingerprint] is not None:
            others = () if row[self.fingerprint] == expects else (self.fingerprint,)
        stands = self._standing(row, equal=not differing(fact.change, row), moved=others)
        found = over_row(fact, stands, mark)
        if found[0] is Ruling.CONFLICT and fact.correction and mark is not None and self.untouched(connection, fact.change.key, mark):
            return over_row(fact, replace(stands, untouched=True), mark)
        return found

    def look(self, connection: Connection, fact: Fact) -> Ruled:
        """What would be done with a state other than the row's, under the same lock, and nothing of it."""
        row, mark = self._locked(connection, fact)
        if row is None:
            return over_nothing(fact, mark)
        return over_row(fact, self._standing(row, equal=False, moved=()), mark)

    def so_already(self, connection: Connection, fact: Fact) -> bool:
        """Whether the row is as this fact wants it."""
        row, _ = self._locked(connection, fact)
        return row is None if fact.deletes else row is not None and not differing(fact.change, row)

    def columns(self, fact: Fact) -> set[str]:
        """Those that a ruling on it looks at."""
        return {*fact.change.wanted, *(fact.change.before or {}), *filter(None, (self.version, self.sequence, self.fingerprint))}

    def signed(self, brings: str | None) -> dict[str, Any]:
        """The fingerprint's column, where there is one."""
        return {} if self.fingerprint is None else {self.fingerprint: brings}

    def _standing(self, row: Mapping[str, Any], *, equal: bool, moved: tuple[str, ...]) -> Row:
        held, sequence = (None if name is None else row[name] for name in (self.version, self.sequence))
        return Row(version=held, sequence=sequence, equal=equal, moved=moved)

    def _locked(self, connection: Connection, fact: Fact) -> Found:
        """The row, or the place where it is not, is this transaction's until it ends."""
        change = fact.change
        names = self.columns(fact)
        row = self.rows.current(connection, change.key, names)
        if row is None and connection.dialect.name == "postgresql":
            # There is no row to lock: the key itself is, so that nobody writes behind a tombstone that is being set.
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(self.name_of(change.key), 0))))
            row = self.rows.current(connection, change.key, names)
        if row is None and is_mysql(connection.dialect.name):
            self._lock_key(connection, change.key)
            row = self.rows.current(connection, change.key, names)
        return row, self.marks.read(connection, change.key)

    def _lock_key(self, connection: Connection, key: str) -> None:
        """On MySQL, whose locks by name do not end with a transaction: a mark is made and taken back, and whoever makes the same one waits."""
        marks = self._tables.marks
        which = {"target": f"lock {self.target}", "key": short(key)}
        connection.execute(
            insert(marks).values(**which, bound=False, deleted=False, at=EPOCH).on_duplicate_key_update(bound=False),
        )
        connection.execute(marks.delete().where(marks.c.target == which["target"], marks.c.key == which["key"]))

    def _write(self, connection: Connection, fact: Fact, row: Mapping[str, Any] | None, *, brings: str | None) -> bool:
        """False where another session's row is there by now."""
        change = fact.change
        if fact.deletes:
            self.rows.delete(connection, change.key)
            return True
        signed = self.signed(brings)
        if row is None:
            return self.rows.insert(connection, change.key, {**change.wanted, **signed})
        self.rows.update(connection, change.key, {**differing(change, row), **signed}, told=change.wanted)
        return True

    def name_of(self, key: str) -> str:
        """What is locked for an item that has no row."""
        return f"{self.target}\n{key}"

    def _remember(
        self, connection: Connection, fact: Fact, row: Mapping[str, Any] | None, mark: Mark | None, *, written: bool, at: datetime
    ) -> None:
        wrote = self._wrote(connection, fact.change.key, sorted(fact.change.wanted)) if fact.correction and not fact.deletes else None
        found = self.to_remember(fact, row, mark, written=written, wrote=wrote, at=at)
        if found is not None:
            self.marks.write(connection, fact.change.key, found, fresh=mark is None)

    def to_remember(
        self, fact: Fact, row: Mapping[str, Any] | None, mark: Mark | None, *, written: bool, wrote: str | None, at: datetime
    ) -> Mark | None:
        """The mark as it is to be written; None where it stays as it is."""
        held = None if row is None or self.version is None else wired(row[self.version])
        found = remembered(fact, mark, written=written, row_version=held, wrote=wrote, at=at)
        return found if found is not None and (mark is None or replace(found, at=mark.at) != mark) else None

    def _wrote(self, connection: Connection, key: str, columns: list[str]) -> str:
        return print_of(self.rows.current(connection, key, columns) or {}, columns)

    def untouched(self, connection: Connection, key: str, mark: Mark) -> bool:
        """Whether the row stands as the last correction left it."""
        return mark.wrote is not None and self._wrote(connection, key, msgspec.json.decode(mark.wrote)[1]) == mark.wrote


def print_of(row: Mapping[str, Any], columns: list[str]) -> str:
    """These columns as they stand, by their fingerprint."""
    stands = repr([(name, wired(bytes(held) if isinstance(held := row.get(name), memoryview) else held)) for name in columns])
    return msgspec.json.encode([hashlib.sha256(stands.encode()).hexdigest(), columns]).decode()
