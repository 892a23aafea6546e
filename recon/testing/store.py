"""Stores for tests: one in memory, one in a real SQLite file."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from recon.errors import StoreMismatch
from recon.job import Table
from recon.stores.base import Scan, Selection, Store, StoreHealth
from recon.stores.factory import open_store
from recon.testing.section import section

Row = Mapping[str, Any]


class MemoryStore:
    """Rows by column name, for jobs that read a table. `rows` may be changed between reads.

    Values may be of any type that a driver gives: text, int, float, bool, Decimal, date, datetime, list, None. A job with SQL of its own, or with
    an `expression=` or `where=`, needs a database to understand it: `sqlite_store`, and StoreMismatch says so.
    """

    def __init__(self, rows: Sequence[Row] = (), *, name: str = "main", now: datetime | None = None) -> None:
        self.name = name
        self.rows = list(rows)
        self._now = now

    @contextmanager
    def scan(self, selection: Selection) -> Iterator[Scan]:
        """Everything, as it stands when the scan begins."""
        table = self._table(selection, self.rows)
        counts = Counter(str(row[_key(selection)]) for row in self.rows)

        def duplicates(limit: int) -> list[tuple[str, int]]:
            return [(key, count) for key, count in sorted(counts.items()) if count > 1][:limit]

        yield Scan(
            reader=pa.RecordBatchReader.from_batches(table.schema, table.to_batches()),
            key_unique=all(count == 1 for count in counts.values()),
            duplicates=duplicates,
            isolation="a list in memory",
            taken_at=self._now or datetime.now(UTC),
        )

    def get_many(self, selection: Selection, keys: Sequence[str]) -> pa.Table:
        """The rows of these keys."""
        wanted = set(keys)
        return self._table(selection, [row for row in self.rows if str(row[_key(selection)]) in wanted])

    def statements(self, selection: Selection) -> Sequence[str]:
        """No SQL runs here."""
        return [f"-- {self.name}: {len(self.rows)} rows in memory, {_key(selection)} as the key"]

    def health(self, selection: Selection | None) -> StoreHealth:
        """Always well."""
        if selection is not None:
            self._table(selection, self.rows)
        return StoreHealth(server="memory", user=None, writable=None, now=self._now or datetime.now(UTC), readable_columns=True)

    def close(self) -> None:
        """Nothing is open."""

    def _table(self, selection: Selection, rows: Sequence[Row]) -> pa.Table:
        columns = {"key": _key(selection)}
        for field, (column, expression) in selection.columns.items():
            if column is None:
                msg = f"{self.name}: field {field} is the SQL expression {expression!r}, which a MemoryStore cannot compute"
                raise StoreMismatch(msg, hint="use recon.testing.sqlite_store")
            columns[field] = column
        for field, column in columns.items():
            if any(column not in row for row in rows):
                msg = f"{self.name}: a row has no column {column!r} (field {field})"
                raise StoreMismatch(msg, hint="every row of a MemoryStore has every column of the job; None stands for null")
        return pa.table({field: _array([row[column] for row in rows]) for field, column in columns.items()})


def sqlite_store(path: Path, rows: Sequence[Row], *, table: str = "orders", key: str = "id", name: str = "main") -> Store:
    """A real store over a SQLite file at `path`, made new with `rows` in `table`; close it when done.

    The table gets the columns of the first row; bool becomes 0 and 1, times ISO 8601 text, Decimal and lists text.
    """
    if not rows:
        msg = "sqlite_store needs at least one row, to know the columns"
        raise ValueError(msg)
    columns = list(rows[0])
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path)
    try:
        declared = ", ".join(f"{_quoted(c)} {_affinity(rows[0][c])}{' primary key' if c == key else ''}" for c in columns)
        database.execute(f"create table {_quoted(table)} ({declared})")
        marks = ", ".join("?" * len(columns))
        database.executemany(f"insert into {_quoted(table)} values ({marks})", [[_sql(row[c]) for c in columns] for row in rows])
        database.commit()
    finally:
        database.close()
    return open_store(section(name, url=f"sqlite:///{path}"))


def _key(selection: Selection) -> str:
    if not isinstance(selection.relation, Table) or selection.relation.where is not None:
        msg = "a job with SQL of its own cannot read a MemoryStore"
        raise StoreMismatch(msg, hint="use recon.testing.sqlite_store")
    return selection.relation.key


def _array(values: list[Any]) -> pa.Array:
    """The column as a driver would type it; a mixture of types, and what Arrow does not know, goes as text."""
    try:
        array = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        array = pa.array([value if value is None else _text(value) for value in values], type=pa.string())
    return array.cast(pa.string()) if pa.types.is_null(array.type) else array


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, list | dict) else str(value)


def _sql(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal | list | dict):
        return _text(value)
    return value


def _affinity(value: Any) -> str:
    return "integer" if isinstance(value, bool | int) else "real" if isinstance(value, float) else "text"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
