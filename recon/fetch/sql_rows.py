"""Rows of a database driver as raw records, without a digit lost: what JSON cannot carry costs its own row, never the list."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from recon.fetch.page import Unread


class Unfit(msgspec.Struct, frozen=True):
    """A value that the database has and Python has not, such as a time of `infinity`."""

    written: str


def records(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[list[bytes], tuple[Unread, ...]]:
    """Rows as JSON objects, and those that cannot be, each with the column and the reason."""
    items: list[bytes] = []
    unread: list[Unread] = []
    for row in rows:
        whys = [_unfit(value) for value in row]
        if not any(whys):
            items.append(msgspec.json.encode(dict(zip(names, row, strict=True)), enc_hook=str))
            continue
        readable = {name: value for name, value, why in zip(names, row, whys, strict=True) if not why}
        said = ", ".join(f"column {name} holds {why}" for name, why in zip(names, whys, strict=True) if why)
        unread.append(Unread(raw=msgspec.json.encode(readable, enc_hook=str), why=said))
    return items, tuple(unread)


def twice(names: Sequence[str]) -> str | None:
    """A column's name that stands there twice: of two values by one name a record would keep one."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def json_as_written(text: bytes | str) -> msgspec.Raw:
    """JSON on one line, every number as the database writes it: through Python 12345678901234567.89 becomes another sum."""
    return msgspec.Raw(msgspec.json.format(text.encode() if isinstance(text, str) else bytes(text), indent=-1))


def exact_postgres(connection: Any, _record: Any = None) -> None:
    """Has a connection of psycopg give JSON as it is written, and times that Python has not as `Unfit` instead of an error for all rows.

    https://www.psycopg.org/psycopg3/docs/advanced/adapt.html (read 2026-11)
    """
    from psycopg import DataError
    from psycopg.types.datetime import DateLoader, TimestampLoader, TimestamptzLoader
    from psycopg.types.json import set_json_loads

    def lenient(base: type[Any]) -> type[Any]:
        class Lenient(base):  # type: ignore[misc] # three loaders of one shape, made in one place
            def load(self, data: Any) -> Any:
                try:
                    return super().load(data)
                except DataError:
                    return Unfit(bytes(data).decode("ascii", "replace"))

        return Lenient

    set_json_loads(json_as_written, connection)
    for name, base in (("date", DateLoader), ("timestamp", TimestampLoader), ("timestamptz", TimestamptzLoader)):
        connection.adapters.register_loader(name, lenient(base))


def exact_sqlite(connection: Any, _record: Any = None) -> None:
    """Has a connection of sqlite3 hand over texts that are no UTF-8, to be told row by row."""
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")


def _unfit(value: Any) -> str | None:  # noqa: PLR0911 - a return per type, read as a table
    """Why JSON cannot carry a value, in words; None where it can."""
    match value:
        case None | bool() | int():
            return None
        case str():
            return None if value.isascii() or _encodes(value) else "text that is no UTF-8"
        case float():
            return None if math.isfinite(value) else f"{value}, which JSON has not"
        case Decimal():
            return None if value.is_finite() else f"{value}, which is no number"
        case bytes() | bytearray() | memoryview():
            return "bytes; leave it out, or read it as text in sql"
        case Unfit():
            return f"{value.written[:40]}, which is no time that can be compared"
        case Mapping():
            return next((why for inner in value.values() if (why := _unfit(inner))), None)
        case list() | tuple():
            return next((why for inner in value if (why := _unfit(inner))), None)
        case _:
            return None


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
