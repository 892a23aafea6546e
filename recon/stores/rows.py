"""Rows of a database driver into Arrow columns whose type is settled before the first row, so that no value can break the read."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from sqlalchemy import types
from sqlalchemy.dialects.mysql import BIT

from recon.stores.mysql import bits

LOOSE = {"sqlite", "mysql", "mariadb"}
"""Dialects whose declared times promise nothing: SQLite types each value, MySQL has 0000-00-00. They come as text there."""


@dataclass(frozen=True, slots=True)
class Column:
    """An output column: its Arrow type, and how a driver's value is brought to it."""

    arrow: pa.DataType
    convert: Callable[[Any], Any]

    def array(self, values: Sequence[Any]) -> pa.Array:
        """One batch of it."""
        return pa.array([None if value is None else self.convert(value) for value in values], self.arrow)


def text_of(value: Any) -> str:  # noqa: PLR0911 -- A return per type, read as a table.
    """Any value as text, exactly: decimals with all their digits, times in ISO 8601, lists and objects as JSON, bytes in hexadecimal."""
    match value:
        case str():
            return value.encode(errors="backslashreplace").decode() if not value.isascii() else value
        case bool():
            return "true" if value else "false"
        case Decimal():
            return format(value, "f") if value.is_finite() else str(value)
        case float():
            return repr(value)
        case datetime() | date():
            return value.isoformat()
        case bytes() | bytearray() | memoryview():
            return "\\x" + bytes(value).hex()
        case dict() | list() | tuple():
            return json.dumps(value, default=text_of, ensure_ascii=False)
        case set() | frozenset():
            return json.dumps(sorted(value, key=str), default=text_of, ensure_ascii=False)
        case _:
            return str(value)


def _instant(value: datetime) -> datetime:
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def _naive(value: datetime) -> datetime:
    return value.replace(tzinfo=None)


TEXT = Column(pa.string(), text_of)


def column_for(declared: Any, dialect: str) -> Column:  # noqa: PLR0911 -- A return per type, read as a table.
    """The column for a declared SQL type; whatever is not declared, or not kept to by the dialect, comes as text."""
    if declared is None or dialect == "sqlite":
        return TEXT
    if isinstance(declared, BIT):
        return Column(pa.bool_(), _bit) if declared.length in {None, 1} else Column(pa.string(), _bits)
    match declared:
        case types.Boolean():
            return Column(pa.bool_(), bool)
        case types.Integer() if not getattr(declared, "unsigned", False):
            return Column(pa.int64(), int)
        case types.Float():
            return Column(pa.float64(), float)
        case types.LargeBinary():
            return Column(pa.binary(), bytes)
        case types.DateTime() if dialect not in LOOSE:
            if getattr(declared, "timezone", False):
                return Column(pa.timestamp("us", tz="UTC"), _instant)
            return Column(pa.timestamp("us"), _naive)
        case types.Date() if dialect not in LOOSE:
            return Column(pa.date32(), _day)
        case _:
            return TEXT


def _bit(value: Any) -> bool:
    return bool(bits(value))


def _bits(value: Any) -> str:
    return str(bits(value))


def _day(value: date) -> date:
    return value.date() if isinstance(value, datetime) else value
