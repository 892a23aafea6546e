"""Facts of many items at once, each by the rules that `Guard.take` has for one: looked at together, written together."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy import Text as TextType
from sqlalchemy.dialects.postgresql import ARRAY

from recon.consume.guard import Guard, print_of
from recon.consume.ruling import Fact, Mark, Ruled, Ruling
from recon.upsert.many import Many
from recon.upsert.rows import differing

Rows = dict[str, Mapping[str, Any]]
_NAMES = func.unnest(bindparam("names", type_=ARRAY(TextType()))).column_valued("name")
_LOCKS = select(func.pg_advisory_xact_lock(func.hashtextextended(_NAMES, 0)))


@dataclass(frozen=True, slots=True)
class Asked:
    """A fact, and the fingerprints that it expects and brings."""

    fact: Fact
    prints: tuple[str | None, str | None]

    @property
    def key(self) -> str:
        """Of its item."""
        return self.fact.change.key


@dataclass(frozen=True, slots=True)
class Decided:
    """A fact that has been ruled on, and what stood there."""

    asked: Asked
    ruled: Ruled
    row: Mapping[str, Any] | None
    mark: Mark | None

    @property
    def written(self) -> bool:
        """Whether the row is to be written."""
        return self.ruled[0] is Ruling.WRITE


class Setwise:
    """The guard's door for several items in few statements."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._many = Many(guard.rows)

    def lock(self, connection: Connection, keys: Collection[str], columns: Collection[str] = ()) -> Rows:
        """The rows, or the places where they are not, are this transaction's until it ends; in one order, whoever asks. Raises Unclear."""
        self._many.check(connection, keys)
        found = self._many.current(connection, keys, columns, locked=True)
        absent = sorted(set(keys) - set(found))
        if absent and connection.dialect.name == "postgresql":
            connection.execute(_LOCKS, {"names": [self._guard.name_of(key) for key in absent]})
            found |= self._many.current(connection, absent, columns, locked=True)
        return found

    def take(self, connection: Connection, asked: Sequence[Asked], *, at: datetime) -> list[Ruled | None]:
        """What is ruled on each, and what follows is written; None for one that is to be taken by itself. Raises Unclear for all of them.

        The items are all different. Whatever else is raised, nothing of this may stay: call it within a savepoint.
        """
        guard, keys = self._guard, [one.key for one in asked]
        rows = self.lock(connection, keys, set().union(*(guard.columns(one.fact) for one in asked)))
        marks, disputed = guard.marks.several(connection, keys), guard.conflicts.among(connection, keys)
        found: list[Decided | None] = []
        for one in asked:
            row, mark = rows.get(one.key), marks.get(one.key)
            ruled = None if one.key in disputed else guard.ruled(connection, one.fact, row, mark, expects=one.prints[0])
            # A conflict is recorded, and what is in conflict already may be settled: with the care that one by one takes.
            found.append(None if ruled is None or ruled[0] is Ruling.CONFLICT else Decided(one, ruled, row, mark))
        plain = [one for one in found if one is not None]
        self._write(connection, [one for one in plain if one.written])
        self._remember(connection, [one for one in plain if one.ruled[0] in {Ruling.WRITE, Ruling.ALREADY}], at)
        return [None if one is None else one.ruled for one in found]

    def _write(self, connection: Connection, ruled: Sequence[Decided]) -> None:
        guard, key = self._guard, self._guard.rows.key
        fresh, stale, gone = [], [], []
        for one in ruled:
            change, signed = one.asked.fact.change, guard.signed(one.asked.prints[1])
            if one.row is None:
                fresh.append((change.key, {**change.wanted, **signed}))
            elif one.asked.fact.deletes:
                gone.append(one.row[key])
            else:
                stale.append((one.row[key], {**differing(change, one.row), **signed}))
        if fresh:
            self._many.insert(connection, fresh)
        if stale:
            self._many.update(connection, stale)
        if gone:
            self._many.delete(connection, gone)

    def _remember(self, connection: Connection, ruled: Sequence[Decided], at: datetime) -> None:
        facts = [one.asked.fact for one in ruled if one.asked.fact.correction and not one.asked.fact.deletes]
        stands: Rows = {}
        if facts:
            columns = set().union(*(fact.change.wanted for fact in facts))
            stands = self._many.current(connection, [fact.change.key for fact in facts], columns, locked=False)
        fresh: list[tuple[str, Mark]] = []
        known: list[tuple[str, Mark]] = []
        for one in ruled:
            fact = one.asked.fact
            row = stands.get(fact.change.key, {})
            wrote = print_of(row, sorted(fact.change.wanted)) if fact.correction and not fact.deletes else None
            mark = self._guard.to_remember(fact, one.row, one.mark, written=one.written, wrote=wrote, at=at)
            if mark is not None:
                (fresh if one.mark is None else known).append((fact.change.key, mark))
        self._guard.marks.write_all(connection, fresh, fresh=True)
        self._guard.marks.write_all(connection, known, fresh=False)
