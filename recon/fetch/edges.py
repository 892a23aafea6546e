"""Edges: how the ends of a range are written for an API, and where in the order of the range a record's value stands.

A partition's bounds are whole numbers, ids or seconds since 1970; an API may take its bounds coarser (a date), or count an end in or out. So
a little more than the range may be asked for, never less, and what lies between the two is left to the neighbouring part.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from recon.fetch.narrowing import Form, Ranges
from recon.fetch.partition import Partition
from recon.job import Scalar

DAY = 86_400


def written(value: int, form: Form) -> Scalar:
    """A bound as the API takes it."""
    match form:
        case "epoch" | "integer":
            return value
        case "epoch_ms":
            return value * 1000
        case "iso":
            return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%dT%H:%M:%SZ}"
        case "date":
            return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d}"


def place(value: object, form: Form) -> float | None:
    """A record's value on the scale of the bounds; None where it cannot be read. A time without an offset is taken for UTC."""
    return PLACES[form](value)


def _number(value: object) -> float | None:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _thousandth(value: object) -> float | None:
    number = _number(value)
    return None if number is None else number / 1000


def _moment(value: object) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


PLACES: dict[Form, Callable[[object], float | None]] = {
    "epoch": _number,
    "integer": _number,
    "epoch_ms": _thousandth,
    "iso": _moment,
    "date": _moment,
}
"""How each form is read."""

SCALES: dict[Form, int] = {"epoch": 1, "integer": 1, "epoch_ms": 1000}
"""How much one on the scale of the bounds is in the field's own numbers, for the forms that are numbers."""


def shown(value: int, form: Form) -> str:
    """A bound as people read it: an id as it is, a time to the second, midnight as its date."""
    if form == "integer":
        return f"{value}"
    text = f"{datetime.fromtimestamp(value, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return text.removesuffix("T00:00:00Z")


def asked(ranges: Ranges, partition: Partition) -> tuple[int | None, int | None]:
    """The range that the parameters really ask for: `low <= value < high` holds the partition's own, and is a little wider where it must be."""
    low, high = partition.low, partition.high
    step = DAY if ranges.form == "date" else 1
    if low is not None:
        low = low // step * step - (step if ranges.low_excludes else 0)
    if high is not None:
        # An upper end that counts is asked for as it stands, since what is below it may have fractions; only of ids the one before is known.
        high = -(-high // step) * step + (step if ranges.high_includes and ranges.form != "integer" else 0)
    return low, high


def bounds(ranges: Ranges, partition: Partition) -> dict[str, Scalar]:
    """The query parameters of the partition's range; none for an end that is open."""
    low, high = asked(ranges, partition)
    step = DAY if ranges.form == "date" else 1
    params: dict[str, Scalar] = {}
    if low is not None:
        params[ranges.low] = written(low, ranges.form)
    if high is not None:
        if ranges.high_includes:
            high -= step
        params[ranges.high] = written(high, ranges.form)
    return params
