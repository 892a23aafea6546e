"""Kinds in SQL: from what a side holds to the canonical value of `recon.kind`'s table, in bulk.

A provider's values arrive as exact text, a store's in whatever type its driver gave them. Each kind has one
expression per type; a type that a kind cannot be read from at all is a mistake of the job and refused. Json, Set
and case folding are done a batch at a time before the engine sees them (`recon.compare.batches`); here they pass through.
"""

from dataclasses import dataclass
from typing import Literal

from recon.compare.macros import WHITE
from recon.currency import digits_of, digits_sql
from recon.errors import BadDefinition
from recon.kind import Boolean, Date, Decimal, Integer, Json, Kind, Money, Set, Text, Timestamp, name_of

Place = Literal["provider", "store"]

INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"})
SAFE_INTEGERS = INTEGERS - {"HUGEINT", "UBIGINT", "UHUGEINT"}
FLOATS = frozenset({"FLOAT", "DOUBLE"})
LOCAL_TIMES = frozenset({"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"})
INSTANTS = frozenset({"TIMESTAMP WITH TIME ZONE"})
NOTHING = '"NULL"'

PRECISION_US = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
EPOCH_SECONDS = (-62_135_596_800, 253_402_300_799)


class Unfit(ValueError):
    """A column's type holds nothing that this kind could be read from."""


@dataclass(frozen=True, slots=True)
class Canonical:
    """An SQL expression for the canonical value; `sure` when every non-null input converts."""

    sql: str
    sure: bool = False


def literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def name(identifier: str) -> str:
    """An identifier, quoted."""
    return '"' + identifier.replace('"', '""') + '"'


def sql_type(kind: Kind) -> str:
    """The engine's type of a kind's canonical value."""
    match kind:
        case Integer() | Money() | Timestamp():
            return "BIGINT"
        case Decimal(scale=scale):
            return f"DECIMAL(38,{scale})"
        case Date():
            return "DATE"
        case Boolean():
            return "BOOLEAN"
        case _:
            return "VARCHAR"


def canonical(kind: Kind, place: Place, x: str, type_: str, *, currency: str | None = None) -> Canonical:
    """The expression that makes `x`, of the engine's type `type_`, canonical.

    `currency` is an expression for the row's currency code where the kind names a field for it. Raises Unfit for a
    type that the kind cannot be read from.
    """
    if type_ == NOTHING:
        return Canonical(f"cast(null as {sql_type(kind)})", sure=True)
    if isinstance(kind, Text):
        return _text(kind, x, type_)
    if isinstance(kind, Money):
        return _money(kind, place, x, type_, currency)
    if isinstance(kind, Timestamp):
        return _timestamp(kind, place, x, type_)
    return _plain(kind, x, type_)


def _plain(kind: Kind, x: str, type_: str) -> Canonical:
    """The kinds that are read alike on both sides."""
    match kind:
        case Integer():
            return _integer(x, type_)
        case Decimal():
            return _decimal(kind, x, type_)
        case Date():
            return _date(x, type_)
        case Boolean():
            return _boolean(x, type_)
    if type_ != "VARCHAR":
        raise Unfit(type_)
    return Canonical(x, sure=True)


def is_text(type_: str) -> bool:
    """Whether the engine's type holds text as such."""
    return type_ in {"VARCHAR", "JSON"} or type_.startswith("ENUM")


def _as_text(x: str, type_: str) -> Canonical:
    if type_ == "VARCHAR":
        return Canonical(x, sure=True)
    if type_ == "BLOB":
        return Canonical(f"try(decode({x}))")
    return Canonical(f"cast({x} as varchar)", sure=True)


def _text(kind: Text, x: str, type_: str) -> Canonical:
    text = _as_text(x, type_)
    return Canonical(f"trim({text.sql}, {literal(WHITE)})", sure=text.sure) if kind.trim else text


def _is_decimal(type_: str) -> bool:
    return type_.startswith("DECIMAL")


def _number(x: str, type_: str) -> str:
    """The plain decimal text of a number of any type but a boolean; a double by its shortest text."""
    if is_text(type_):
        return f"rc_plain(trim(cast({x} as varchar)))"
    if type_ in INTEGERS or _is_decimal(type_):
        return f"cast({x} as varchar)"
    if type_ in FLOATS:
        return f"rc_plain(cast({x} as varchar))"
    raise Unfit(type_)


def _integer(x: str, type_: str) -> Canonical:
    if type_ in INTEGERS:
        return Canonical(x if type_ == "BIGINT" else f"try_cast({x} as bigint)", sure=type_ in SAFE_INTEGERS)
    whole = f"rc_whole({_number(x, type_)})"
    return Canonical(f"coalesce(rc_usual({x}), {whole})" if type_ == "VARCHAR" else whole)


def _decimal(kind: Decimal, x: str, type_: str) -> Canonical:
    wanted = f"DECIMAL(38,{kind.scale})"
    if type_ in INTEGERS or _is_decimal(type_):
        return Canonical(f"try_cast({x} as {wanted})")
    return Canonical(f"try_cast(rc_bare({_number(x, type_)}) as {wanted})")


def _money(kind: Money, place: Place, x: str, type_: str, currency: str | None) -> Canonical:
    units = kind.provider if place == "provider" else kind.store
    if units == "minor":
        return _integer(x, type_)
    digits = str(digits_of(kind.currency)) if currency is None else digits_sql(currency)
    return Canonical(f"rc_minor({_number(x, type_)}, {digits})")


def _in_zone(local: str, zone: str | None) -> str:
    """Microseconds since the epoch of a local time; null without a zone. The repeated hour is read as its second pass."""
    if zone is None:
        return f"case when {local} is null then cast(null as bigint) end"
    return f"epoch_us({local})" if zone.upper() in {"UTC", "ETC/UTC"} else f"epoch_us(timezone({literal(zone)}, {local}))"


def _timestamp(kind: Timestamp, place: Place, x: str, type_: str) -> Canonical:
    form, zone = (kind.provider, kind.provider_zone) if place == "provider" else (kind.store, kind.store_zone)
    if type_ in INSTANTS:
        us = f"epoch_us({x})"
    elif type_ in LOCAL_TIMES or type_ == "DATE":
        us = _in_zone(f"cast({x} as timestamp)", zone)
    elif form in {"epoch_s", "epoch_ms"}:
        us = _epoch(form, x, type_)
    elif is_text(type_):
        text = f"trim(cast({x} as varchar))"
        us = f"coalesce(rc_instant({text}), {_in_zone(f'rc_local({text})', zone)})"
    else:
        raise Unfit(type_)
    cut = PRECISION_US[kind.precision]
    within = f"rc_within({us})"
    return Canonical(within if cut == 1 else f"rc_cut({within}, {cut})")


def _epoch(form: str, x: str, type_: str) -> str:
    unit = 1_000_000 if form == "epoch_s" else 1_000
    if type_ in INTEGERS:
        low, high = (bound * 1_000_000 // unit for bound in EPOCH_SECONDS)
        return f"case when {x} between {low} and {high + 1_000_000 // unit - 1} then cast({x} as bigint) * {unit} end"
    exact = f"rc_epoch({_number(x, type_)}, {6 if form == 'epoch_s' else 3})"
    return f"coalesce(try(rc_usual({x}) * {unit}), {exact})" if type_ == "VARCHAR" else exact


def _date(x: str, type_: str) -> Canonical:
    if is_text(type_):
        day = f"rc_date(cast({x} as varchar))"
    elif type_ == "DATE":
        day = x
    elif type_ in LOCAL_TIMES:
        day = f"case when {x} = date_trunc('day', {x}) then cast({x} as date) end"
    else:
        raise Unfit(type_)
    return Canonical(f"case when {day} between date '0001-01-01' and date '9999-12-31' then {day} end")


def _boolean(x: str, type_: str) -> Canonical:
    if type_ == "BOOLEAN":
        return Canonical(x, sure=True)
    if is_text(type_):
        return Canonical(f"rc_boolean(trim(cast({x} as varchar)))")
    if type_ in INTEGERS or type_ in FLOATS or _is_decimal(type_):
        return Canonical(f"case when {x} = 1 then true when {x} = 0 then false end")
    raise Unfit(type_)


def one_to_one(kind: Kind, type_: str) -> bool:
    """Whether two different keys of a store can never become one canonical key; then the store's own word on duplicates holds."""
    match kind:
        case Text(case="exact", trim=False):
            return type_ in {"VARCHAR", "UUID", "JSON"} or type_ in INTEGERS or type_.startswith("ENUM")
        case Integer():
            return type_ in INTEGERS
        case Date():
            return type_ == "DATE"
        case _:
            return False


def refuse_unfit_key(domain: str, kind: Kind) -> None:
    """A key must be one plain value; BadDefinition for the kinds that are none."""
    if isinstance(kind, Json | Set | Money | Boolean):
        raise BadDefinition(f"{domain}: a key cannot be of kind {name_of(kind)}", hint="keys are text, integer, decimal, date or timestamp")


WANTED: dict[type[Kind], str] = {
    Text: "is no readable text",
    Integer: "is no whole number of 64 bits",
    Decimal: "is no decimal number of at most 38 digits",
    Money: "is no amount that the currency can hold",
    Timestamp: "is no time between the years 1 and 9999 (one without an offset needs a zone: provider_zone or store_zone of its Timestamp)",
    Date: "is no date YYYY-MM-DD",
    Boolean: "is neither true nor false",
    Json: "is no valid JSON",
    Set: "is no list of scalars",
}


def why_unreadable(kind: Kind) -> str:
    """What a value of this kind must be, for the list of unreadable items."""
    return WANTED[type(kind)]
