"""Many rows into one table, without what SQLAlchemy does for each row: at a hundred thousand rows that is most of the time.

The statement is still SQLAlchemy's, compiled once for the database at hand; the values come ready for the driver: times as
`micros`, JSON as text (`json_text`), enumerations as their values.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import Connection, Insert

ENCODER = msgspec.json.Encoder()


def json_text(value: Any) -> str | None:
    """A JSON value as the column type `Document` stores it."""
    return None if value is None else ENCODER.encode(value).decode()


class Bulk:
    """An INSERT of these columns for many rows; `write` takes rows as mappings from column name to the driver's value."""

    def __init__(self, conn: Connection, statement: Insert, columns: Sequence[str]) -> None:
        compiled = statement.compile(dialect=conn.dialect, column_keys=list(columns))
        self.conn = conn
        self.sql = str(compiled)
        self.pick = itemgetter(*compiled.positiontup) if compiled.positional and compiled.positiontup else None

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Executes the statement for every row."""
        if rows:
            self.conn.exec_driver_sql(self.sql, list(map(self.pick, rows)) if self.pick is not None else [dict(row) for row in rows])
