"""How PostgreSQL's types travel: natively where the bulk driver reads them exactly, else as text that the server writes.

The driver hands numeric over as text of its own, json with an extension type, enums and ranges as raw bytes, nested arrays flat, and
wraps what lies outside its calendar; so all of these are written by the server. https://www.postgresql.org/docs/current/catalog-pg-type.html
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Numeric, Text, cast, func
from sqlalchemy.sql.elements import ColumnElement

from recon.stores.query import Shape

BOOL, BYTEA, NAME, INT8, INT2, INT4, TEXT, FLOAT8, VARCHAR = 16, 17, 19, 20, 21, 23, 25, 701, 1043
DATE, TIMESTAMP, TIMESTAMPTZ, MONEY, BPCHAR, UUID = 1082, 1114, 1184, 790, 1042, 2950

ARROW: dict[int, pa.DataType] = {
    BOOL: pa.bool_(),
    BYTEA: pa.binary(),
    NAME: pa.string(),
    INT8: pa.int64(),
    INT2: pa.int16(),
    INT4: pa.int32(),
    TEXT: pa.string(),
    FLOAT8: pa.float64(),
    VARCHAR: pa.string(),
    DATE: pa.date32(),
    TIMESTAMP: pa.timestamp("us"),
    TIMESTAMPTZ: pa.timestamp("us", tz="UTC"),
}
"""The types that come natively; everything else comes as text."""

EPOCH_US = 946_684_800_000_000
EPOCH_DAYS = 10_957
"""From 1970 to 2000, where PostgreSQL counts from."""
LEAST_US = -211_000_000_000_000_000
LEAST_DAYS = -2_500_000
"""Before 4713 BC, where PostgreSQL's calendar begins: a smaller number is one that wrapped round."""
MOST_US, MOST_DAYS = 2**63 - 1, 2**31 - 1


@dataclass(frozen=True, slots=True)
class PgType:
    """A column's type: its oid, and the catalogue's category (A array, C composite, E enum, …)."""

    oid: int
    category: str

    @property
    def native(self) -> bool:
        """Whether it comes as it is."""
        return self.oid in ARROW

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type that arrives."""
        return ARROW.get(self.oid, pa.string())

    @property
    def shape(self) -> Shape | None:
        """The cast to read it through, or None."""
        if self.native:
            return None
        if self.oid == MONEY:
            return _money  # Its own text follows the server's locale: $12.50.
        if self.category in "ACP":
            return _json  # JSON keeps nested arrays nested; sets read JSON arrays.
        return _text  # char(n) loses its padding here, as it does in every comparison in SQL.


def _text(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(expression, Text())


def _money(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(cast(expression, Numeric()), Text())


def _json(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(func.to_json(expression), Text())


def key_type(oid: int) -> str | None:
    """The type that asked keys are cast to, so that the key's own index serves; None where only the texts can be compared."""
    return {INT2: "bigint", INT4: "bigint", INT8: "bigint", TEXT: "text", VARCHAR: "text", BPCHAR: "bpchar", UUID: "uuid"}.get(oid)


def finite(column: pa.Array) -> pa.Array:
    """A time column with what the driver wrapped round put right: `infinity`, `-infinity` and years beyond 294,246.

    The driver adds the thirty years between the epochs without a check. They become Arrow's largest and smallest
    values, which DuckDB reads as `infinity` and `-infinity`: unreadable to a timestamp field, and never a date.
    """
    if pa.types.is_timestamp(column.type):
        whole, least, most, wrapped_low = pa.int64(), LEAST_US, MOST_US, -(2**63) + EPOCH_US
    elif pa.types.is_date32(column.type):
        whole, least, most, wrapped_low = pa.int32(), LEAST_DAYS, MOST_DAYS, -(2**31) + EPOCH_DAYS
    else:
        return column
    numbers = column.cast(whole)
    lowest = pc.min(numbers).as_py()
    if lowest is None or lowest >= least:
        return column
    high = pc.if_else(pc.less(numbers, pa.scalar(least, whole)), pa.scalar(most, whole), numbers)
    both = pc.if_else(pc.equal(numbers, pa.scalar(wrapped_low, whole)), pa.scalar(-most, whole), high)
    return both.cast(column.type)
