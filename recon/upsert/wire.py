"""Wire values beside a database's values: are they the same, and how is one written into a column."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any
from uuid import UUID

PRECISIONS: tuple[Mapping[str, int], ...] = (
    {},
    {"microsecond": 0},
    {"second": 0, "microsecond": 0},
    {"minute": 0, "second": 0, "microsecond": 0},
    {"hour": 0, "minute": 0, "second": 0, "microsecond": 0},
)


def same(held: Any, wire: Any) -> bool:  # noqa: PLR0911 -- A return per type, read as a table.
    """Whether the value in a column is what a wire value tells of it.

    A wire value is canonical: its time is cut to the field's precision, its decimal rounded to the scale, its text perhaps trimmed or
    folded. So the column's own value may be finer, and is the same if it comes to the wire value when treated so.
    """
    if held is None or wire is None:
        return held is None and wire is None
    if isinstance(held, memoryview):
        held = bytes(held)
    match held:
        case bool():
            return _truth(wire) is held
        case int() | float() | Decimal():
            return _number_same(Decimal(str(held)), wire)
        case datetime():
            return _time_same(held, wire)
        case date():
            return bool(held.isoformat() == wire)
        case str():
            return _text_same(held, wire)
        case list() | dict():
            return _json_same(held, wire)
        case UUID():
            return str(held) == str(wire).lower()
        case _:
            return str(held) == str(wire)


def settled(held: Any, wanted: Any, before: Any) -> bool:
    """Whether a column already holds what is wanted, where the event expected it to hold `before` (`wanted` itself where it expected nothing).

    10:11 may be midnight told to the day, and `EUR` may be `eur` told folded; but not if the event tells it from what it found, and that is
    what the column holds.
    """
    if _exactly(held, wanted):
        return True
    return same(held, wanted) and (before == wanted or not same(held, before))


def plain(wire: Any) -> Any:
    """A wire value for SQLite and MySQL: numbers and texts as they are, true as 1, lists and objects as JSON text."""
    if isinstance(wire, bool):
        return int(wire)
    return json.dumps(wire, ensure_ascii=False) if isinstance(wire, list | dict) else wire


def clocked(wire: Any) -> Any:
    """A wire time for a DATETIME or TIMESTAMP of MySQL's, which knows no offset: in UTC; what is none goes as it is, to be refused."""
    moment = _moment(wire)
    return wire if moment is None else moment.replace(tzinfo=None).isoformat(" ")


def literal(wire: Any) -> str | None:
    """A wire value as the text that PostgreSQL reads as the column's own type."""
    if wire is None or isinstance(wire, str):
        return wire
    return json.dumps(wire, ensure_ascii=False)


def scaled(wire: Any, digits: int) -> Any:
    """Minor units as the major units that a column holds: 1999 is "19.99" with two digits. Raises ValueError for what is no number."""
    if wire is None:
        return None
    try:
        return format(Decimal(str(wire)).scaleb(-digits), "f")
    except InvalidOperation:
        msg = f"{wire!r} is no amount"
        raise ValueError(msg) from None


def _exactly(held: Any, wire: Any) -> bool:
    if isinstance(held, datetime):
        return _moment(wire) == (held.replace(tzinfo=UTC) if held.tzinfo is None else held)
    return bool(held == wire) and type(held) is type(wire)


def _truth(wire: Any) -> bool | None:
    if isinstance(wire, str):
        return {"true": True, "false": False}.get(wire.lower())
    return {1: True, 0: False}.get(wire) if isinstance(wire, int) else None


def _number_same(held: Decimal, wire: Any) -> bool:
    if isinstance(wire, bool):
        return held == int(wire)
    try:
        told = Decimal(str(wire))
        if not (told.is_finite() and held.is_finite()):
            return str(told) == str(held)
        digits = min(int(told.as_tuple().exponent), 0)
        return held == told or held.quantize(Decimal(1).scaleb(digits), rounding=ROUND_HALF_UP) == told
    except InvalidOperation:
        return False


def _moment(text: Any) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        # 0001-01-01T00:00:00+01:00 is of no year in UTC.
        return None


def _time_same(held: datetime, wire: Any) -> bool:
    told = _moment(wire)
    own = held.replace(tzinfo=UTC) if held.tzinfo is None else held.astimezone(UTC)
    if told is None:
        return False
    thousandths = own.replace(microsecond=own.microsecond // 1000 * 1000)
    return told == thousandths or any(told == own.replace(**cut) for cut in PRECISIONS)  # type: ignore[arg-type]  # The parts of a time are whole numbers.


def _text_same(held: str, wire: Any) -> bool:
    if isinstance(wire, list | dict):
        try:
            return _json_same(json.loads(held), wire)
        except ValueError:
            return False
    if not isinstance(wire, str):
        return held == literal(wire)
    if wire in {held, held.strip(), held.lower(), held.strip().lower(), held.casefold(), held.strip().casefold()}:
        return True
    moment = _moment(held) if len(held) > 10 else None
    return moment is not None and _time_same(moment, wire)


def _json_same(held: Any, wire: Any) -> bool:
    if isinstance(wire, str):
        try:
            wire = json.loads(wire)
        except ValueError:
            return False
    if held == wire:
        return True
    if not (isinstance(held, list) and isinstance(wire, list)):
        return False
    scalars = (str, int, float, Decimal)
    # A set's members come sorted and as texts, whatever the column holds.
    return all(isinstance(each, scalars) for each in (*held, *wire)) and {str(each) for each in held} == {str(each) for each in wire}
