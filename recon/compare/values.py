"""Canonical JSON and sets, value by value: what SQL cannot do exactly.

Numbers keep every digit: they become 64-bit integers where they are whole and short, else normalised decimals, so that
`1.0`, `1` and `1e0` are one number and `12345678901234567.89` is not `12345678901234568.0`.
"""

import decimal
import json
import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

import msgspec

LONG = re.compile(r"[0-9]{19}")
EXACT = decimal.Context(
    prec=10_000, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN, traps=[decimal.Inexact, decimal.InvalidOperation, decimal.Overflow]
)
DIGITS = 18


class Unreadable(ValueError):
    """A value that is not what its kind needs."""


def number(text: str) -> int | decimal.Decimal:
    """A JSON number, exactly and in one form."""
    try:
        value = EXACT.create_decimal(text)
        if not value.is_finite():
            raise Unreadable(text)
        if not value:
            return 0
        if value.adjusted() < DIGITS and value == value.to_integral_value(context=EXACT):
            return int(value)
        return value.normalize(EXACT)
    except decimal.DecimalException as error:
        raise Unreadable(text) from error


DECODER: Final = msgspec.json.Decoder(float_hook=number)
ENCODER: Final = msgspec.json.Encoder(order="sorted", decimal_format="number")
NULLS: Final = frozenset({"", "[]", "{}", '""'})


def _refuse(word: str) -> Any:
    raise Unreadable(word)


def parsed(text: str) -> Any:
    """The value of a JSON text, numbers exact; of a key that comes twice in an object the last counts."""
    try:
        if LONG.search(text):
            # Whole numbers of 19 digits and more pass no hook of the fast decoder.
            return json.loads(text, parse_int=number, parse_float=number, parse_constant=_refuse)
        return DECODER.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
        raise Unreadable(str(error)) from error


def written(value: Any) -> str:
    """The canonical text of a value: keys sorted, no blanks."""
    try:
        return ENCODER.encode(value).decode()
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError, TypeError) as error:
        raise Unreadable(str(error)) from error


def exact(value: Any) -> Any:
    """A Python value as JSON would hold it: floats and decimals as exact numbers, dates as text."""
    if isinstance(value, bool | str | None):
        return value
    if isinstance(value, int | float | decimal.Decimal):
        return number(str(value))
    if isinstance(value, Mapping):
        return {str(k): exact(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [exact(v) for v in value]
    if isinstance(value, date | datetime):
        return value.isoformat()
    raise Unreadable(type(value).__name__)


def canonical_json(value: Any, *, empty_is_null: bool) -> str | None:
    """The canonical text of a JSON text or of a driver's own value; None for null. Raises Unreadable."""
    if isinstance(value, str) and empty_is_null and not value.strip():
        return None
    text = written(parsed(value) if isinstance(value, str) else exact(value))
    if text == "null" or (empty_is_null and text in NULLS):
        return None
    return text


def _member(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | decimal.Decimal):
        return str(value)
    raise Unreadable("a set holds scalars only")


def canonical_set(value: Any, *, separator: str | None, quoted: bool, mapping: Mapping[str, str], empty_is_null: bool) -> str | None:
    """The canonical text of a set: a JSON list of its sorted, distinct members as texts; None for null. Raises Unreadable.

    `quoted` says that a text stands in JSON's quotes, as a provider's does. Members cut at a separator lose the white
    space around them, and empty ones are none.
    """
    members = _quoted(value, separator) if quoted else _unquoted(value, separator)
    if members is None:
        return None
    words = sorted({mapping.get(m, m) for m in map(_member, members)})
    return None if empty_is_null and not words else written(words)


def _quoted(token: str, separator: str | None) -> list[Any] | None:
    value = parsed(token)
    if isinstance(value, str) and (separator is not None or not value):
        return _cut(value, separator)
    return _listed(value)


def _unquoted(value: Any, separator: str | None) -> list[Any] | None:
    if not isinstance(value, str):
        return _listed(exact(value))
    try:
        inner = parsed(value)
    except Unreadable:
        inner = value
    if inner is None or isinstance(inner, list):
        return inner
    if separator is not None or not value.strip():
        return _cut(value, separator)
    raise Unreadable(value)


def _cut(text: str, separator: str | None) -> list[Any]:
    parts = [text] if separator is None else text.split(separator)
    return [part for part in map(str.strip, parts) if part]


def _listed(value: Any) -> list[Any] | None:
    if value is None or isinstance(value, list):
        return value
    raise Unreadable("no list")
