"""Which of two versions of an item is newer: times and numbers are compared, anything else is not."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from recon.clock import iso


def wired(value: Any) -> Any:
    """A value of Python's as an event writes it: times as ISO 8601 in UTC, decimals and UUIDs as text, the rest as it is."""
    match value:
        case datetime():
            return iso(value if value.tzinfo is not None else value.replace(tzinfo=UTC))
        case date():
            return value.isoformat()
        case Decimal() | UUID():
            return str(value)
        case Mapping():
            return {name: wired(one) for name, one in value.items()}
        case list() | tuple() | set() | frozenset():
            return [wired(one) for one in value]
        case _:
            return value


def newer(held: Any, told: Any) -> int | None:
    """1 where `told` is newer than `held`, 0 where neither is, -1 where it is older; None where that cannot be known.

    A time without a fraction may have been cut to the second, one with three digits to the millisecond: it is no older than
    what it may have been cut from.
    """
    number, other = _number(held), _number(told)
    if number is not None and other is not None:
        return (other > number) - (other < number)
    moment, there = moment_of(held), moment_of(told)
    if moment is None or there is None:
        return None
    if there in {moment.replace(microsecond=0), moment.replace(microsecond=moment.microsecond // 1000 * 1000)}:
        return 0
    return (there > moment) - (there < moment)


def moment_of(value: Any) -> datetime | None:
    """A time, in UTC; None for what is none. One without an offset is UTC already."""
    if isinstance(value, str) and len(value) >= 10 and _number(value) is None:
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        # 0001-01-01T00:00:00+01:00 is of no year in UTC.
        return None


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None
