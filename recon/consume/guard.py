"""One fact and one row, in the transaction of whoever asks: locked, looked at, ruled on, written."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select, text
from sqlalchemy.dialects.mysql import insert

from recon.consume.beside import Conflicts, Marks, short
from recon.consume.order import wired
from recon.consume.ruling import Fact, Mark, Row, Ruled, Ruling, over_nothing, over_row, remembered
from recon.consume.tables import Tables
from recon.stores.mysql import is_mysql
from recon.upsert.change import Conflict
from recon.upsert.rows import Rows, differing, moved

INSERT_TRIES = 3
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Guard:
    """The one door to a table's rows. `version` and `fingerprint` are columns, or None."""

    def __init__(self, rows: Rows, tables: Tables, *, version: str | None, fingerprint: str | None) -> None:
        self.rows = rows
        self.version = version
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

    def take(self, connection: Connection, fact: Fact, *, prints: tuple[str | None, str | None], at: datetime) -> Ruled:
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
            return ruling, reason
        msg = "another session inserts the same row"
        raise Conflict(msg)

    def ruled(self, connection: Connection, fact: Fact, row: Mapping[str, Any] | None, mark: Mark | None, *, expects: str | None) -> Ruled:
        """What may be done."""
        if row is None:
            return over_nothing(fact, mark)
        held = None if self.version is None else row[self.version]
        others = tuple(moved(fact.change.before or {}, row))
        if self.fingerprint is not None and expects and row[self.fingerprint] is not None:
            others = () if row[self.fingerprint] == expects else (self.fingerprint,)
        stands = Row(version=held, equal=not differing(fact.change, row), moved=others)
        found = over_row(fact, stands, mark)
        if found[0] is Ruling.CONFLICT and mark is not None and self._untouched(connection, fact, mark):
            return over_row(fact, Row(version=held, equal=stands.equal, moved=others, untouched=True), mark)
        return found

    def look(self, connection: Connection, fact: Fact) -> Ruled:
        """What would be done with a state other than the row's, under the same lock, and nothing of it."""
        row, mark = self._locked(connection, fact)
        if row is None:
            return over_nothing(fact, mark)
        held = None if self.version is None else row[self.version]
        return over_row(fact, Row(version=held, equal=False, moved=()), mark)

    def _locked(self, connection: Connection, fact: Fact) -> tuple[Mapping[str, Any] | None, Mark | None]:
        """The row, or the place where it is not, is this transaction's until it ends."""
        change = fact.change
        names = {*change.wanted, *(change.before or {}), *filter(None, (self.version, self.fingerprint))}
        row = self.rows.current(connection, change.key, names)
        if row is None and connection.dialect.name == "postgresql":
            # There is no row to lock: the key itself is, so that nobody writes behind a tombstone that is being set.
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{self.target}\n{change.key}", 0))))
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
        signed = {} if self.fingerprint is None else {self.fingerprint: brings}
        if row is None:
            return self.rows.insert(connection, change.key, {**change.wanted, **signed})
        self.rows.update(connection, change.key, {**differing(change, row), **signed}, told=change.wanted)
        return True

    def _remember(
        self, connection: Connection, fact: Fact, row: Mapping[str, Any] | None, mark: Mark | None, *, written: bool, at: datetime
    ) -> None:
        held = None if row is None or self.version is None else wired(row[self.version])
        wrote = self._wrote(connection, fact.change.key, sorted(fact.change.wanted)) if fact.correction and not fact.deletes else None
        found = remembered(fact, mark, written=written, row_version=held, wrote=wrote, at=at)
        if found is not None and (mark is None or replace(found, at=mark.at) != mark):
            self.marks.write(connection, fact.change.key, found, fresh=mark is None)

    def _wrote(self, connection: Connection, key: str, columns: list[str]) -> str:
        """These columns as they stand now, by their fingerprint."""
        row = self.rows.current(connection, key, columns) or {}
        stands = repr([(name, wired(bytes(held) if isinstance(held := row.get(name), memoryview) else held)) for name in columns])
        return msgspec.json.encode([hashlib.sha256(stands.encode()).hexdigest(), columns]).decode()

    def _untouched(self, connection: Connection, fact: Fact, mark: Mark) -> bool:
        """Whether the row stands as the last correction left it."""
        if mark.wrote is None or not fact.correction:
            return False
        return self._wrote(connection, fact.change.key, msgspec.json.decode(mark.wrote)[1]) == mark.wrote
