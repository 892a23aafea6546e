"""How SQLite's values travel. A column has no type there, each value has its own: so what is in a column is looked at before it is read.

A column whose values are all of one storage class comes as that class; one that mixes them comes as text, each value written exactly, so
that whatever does not fit its field's kind arrives as itself. https://www.sqlite.org/datatype3.html
"""

from typing import Any

import pyarrow as pa
from sqlalchemy import Float, Text, and_, case, cast, func, literal_column
from sqlalchemy.sql.elements import ColumnElement

from recon.stores.query import Shape

BITS = {"integer": 1, "real": 2, "text": 4, "blob": 8}
ARROW = {"integer": pa.int64(), "real": pa.float64(), "text": pa.string(), "blob": pa.binary()}
SAMPLE_ROWS = 1000


def census(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    """An aggregate: the sum of the bits of every storage class that occurs."""
    whens: list[tuple[ColumnElement[bool], ColumnElement[Any]]] = [
        (func.typeof(expression) == literal_column(f"'{name}'"), literal_column(str(bit))) for name, bit in BITS.items()
    ]
    return func.coalesce(func.sum(case(*whens, else_=literal_column("0")).distinct()), literal_column("0"))


def stray(expression: ColumnElement[Any], bits: int) -> ColumnElement[bool]:
    """Whether a row's value is of a class that is not among `bits`."""
    allowed = [f"'{name}'" for name, bit in BITS.items() if bits & bit]
    if len(allowed) == 1:
        # Two plain comparisons cost SQLite less than half of what a list does, and this is asked of every value.
        return and_(func.typeof(expression) != literal_column(allowed[0]), expression.is_not(None))
    return func.typeof(expression).not_in([literal_column(word) for word in ("'null'", *allowed)])


def class_of(bits: int) -> str | None:
    """The one storage class there is; `text` where there are only nulls; None where they are mixed."""
    if bits == 0:
        return "text"
    names = [name for name, bit in BITS.items() if bit == bits]
    return names[0] if names else None


def written(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    """Any value as text, exactly: a real with as many digits as it takes to get it back, a blob as `X'00FF'`."""
    brief = cast(expression, Text())
    # Seventeen digits would do, but SQLite cuts where it should round: of doubles above 1e100 some do not come back from them.
    usual = func.printf(literal_column("'%!.17g'"), expression)
    longer = func.printf(literal_column("'%!.20g'"), expression)
    real = case((cast(brief, Float()) == expression, brief), (cast(usual, Float()) == expression, usual), else_=longer)
    kind = func.typeof(expression)
    return case(
        (kind == literal_column("'real'"), real),
        (kind == literal_column("'blob'"), func.quote(expression)),
        else_=brief,
    )


def shape_of(bits: int) -> Shape | None:
    """The rendering that a column needs, or None."""
    return written if class_of(bits) is None else None
