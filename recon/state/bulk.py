"""Many rows into one table, without what SQLAlchemy does for each row: at a hundred thousand rows that is most of the time.

The statement is still SQLAlchemy's, compiled once for the database at hand; the values come ready for the driver: times as
`micros`, JSON as text (`json_text`), enumerations as their values.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Connection, Insert, any_, func, literal, select
from sqlalchemy import column as column_of
from sqlalchemy.dialects import postgresql

ENCODER = msgspec.json.Encoder()

AS_BYTES: Mapping[str, Any] = {"recon_bytes": True}
"""Execution options of a query for many bodies: PostgreSQL sends them as they are, and not as text in hexadecimal, twice as long."""


def among(conn: Connection, column: ColumnElement[Any], values: Sequence[int]) -> ColumnElement[bool]:
    """That the column is one of many different numbers, in ascending order: a span where none is left out, else one parameter however many they are.

    So the statement is compiled once, and no limit on parameters is met.
    """
    if values[-1] - values[0] + 1 == len(values):
        return column.between(values[0], values[-1])
    if conn.dialect.name == "sqlite":
        return column.in_(select(column_of("value")).select_from(func.json_each(ENCODER.encode(values).decode())))
    return column == any_(literal(list(values), postgresql.ARRAY(BigInteger())))


def by_index(conn: Connection) -> None:
    """For the rest of the transaction, rows are looked up by their index: without statistics PostgreSQL would read a table of millions for some hundreds."""
    if conn.dialect.name == "postgresql":
        conn.exec_driver_sql("SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")


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
