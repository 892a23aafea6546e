"""Kinds of field: what makes a provider's value and a store's value comparable.

A kind says how each side writes a value, and so what the one canonical value is that both are
brought to, in bulk, by `recon.compare.canonical`. *Provider* and *store* here are the two places;
which of them is the source is the job's direction and does not matter to a kind.

| kind        | canonical value                                    | wire form (events, reports)    |
|-------------|----------------------------------------------------|--------------------------------|
| Text        | text, case-folded and trimmed where declared       | string                         |
| Integer     | 64-bit integer                                     | number                         |
| Decimal     | DECIMAL(38, scale)                                 | string, `"12.50"`              |
| Money       | integer of minor units, beside its currency        | number of minor units          |
| Timestamp   | microseconds since the epoch, cut to the precision | string, ISO 8601 with `Z`      |
| Date        | date                                               | string, `"2026-11-23"`         |
| Boolean     | boolean                                            | true, false                    |
| Json        | text with sorted keys and normal numbers           | the value                      |
| Set         | text of the sorted distinct members                | list of strings, sorted        |
"""

from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

Precision = Literal["us", "ms", "s", "m", "h", "d"]
TimeForm = Literal["native", "iso", "epoch_s", "epoch_ms"]
Units = Literal["minor", "major"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Text. `case="fold"` makes `USD` equal `usd`; `trim` drops white space at both ends."""

    case: Literal["exact", "fold"] = "exact"
    trim: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer:
    """A whole number of at most 64 bits; anything else is unreadable. Wider: `Decimal(scale=0)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decimal:
    """A decimal number, compared at `scale` digits after the point, ties rounded away from zero."""

    scale: int

    def __post_init__(self) -> None:
        if not 0 <= self.scale <= 18:
            msg = f"Decimal(scale={self.scale}): a scale is between 0 and 18"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An amount in one currency.

    `currency` is an ISO 4217 code for all rows (`"EUR"`), or the name of the field of the same job
    that holds each row's code (`"currency"`, lower case). `provider` and `store` say whether each side
    writes minor units (1999) or major ones (19.99); how many digits a minor unit has follows from
    the currency: none for JPY, two for EUR, three for KWD.
    """

    currency: str
    provider: Units = "minor"
    store: Units = "minor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timestamp:
    """An instant, compared after cutting (not rounding) both sides to `precision`.

    `native` is a timestamp type of the database, or ISO 8601 text where the database has none; `iso`
    is text with any offset; `epoch_s` and `epoch_ms` are numbers. A value without an offset is read in
    `zone`, per side; without a declared zone such a value is unreadable.
    """

    provider: TimeForm = "iso"
    store: TimeForm = "native"
    provider_zone: str | None = None
    store_zone: str | None = None
    precision: Precision = "s"

    def __post_init__(self) -> None:
        for name in (self.provider_zone, self.store_zone):
            if name is not None:
                ZoneInfo(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Date:
    """A calendar date, `YYYY-MM-DD` or a date type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Boolean:
    """True or false: JSON booleans, SQL booleans, 1 and 0, and the texts true/false, t/f, 1/0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Json:
    """A JSON value: order of keys does not count, order of array members does, 1.0 equals 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """A set of scalars: a JSON array, an SQL array, or a text cut at `separator`; order and repeats do not count."""

    separator: str | None = None


Kind = Text | Integer | Decimal | Money | Timestamp | Date | Boolean | Json | Set

SIMPLE: dict[str, Kind] = {
    "text": Text(),
    "integer": Integer(),
    "timestamp": Timestamp(),
    "date": Date(),
    "boolean": Boolean(),
    "json": Json(),
    "set": Set(),
}


def name_of(kind: Kind) -> str:
    """The kind's name as reports and messages write it: `money`, `timestamp`, …"""
    return type(kind).__name__.lower()
