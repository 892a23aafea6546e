"""CSV: a row per field that differs, and one row for each missing or extra item; UTF-8, every cell quoted, formulas inert."""

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

from recon.clock import iso
from recon.inert import csv_cell, json_bytes
from recon.report.figures import Item, RunFigures
from recon.report.money import amount

HEADS = (
    "run",
    "domain",
    "kind",
    "standing",
    "key",
    "field",
    "source",
    "target",
    "first_seen",
    "nights",
    "created_at",
    "amount",
    "currency",
    "event",
    "link",
    "acknowledged",
)
BATCH = 500


def pieces(figures: RunFigures, items: Callable[[], Iterator[Item]]) -> Iterator[bytes]:
    """The head row, then the items' rows; lines end with CR LF as RFC 4180 has it."""
    buffer = io.StringIO(newline="")
    # Quoted throughout: a bare `a;=1` would be cut at the semicolon where a spreadsheet's locale separates by it.
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(HEADS)
    for number, item in enumerate(items()):
        writer.writerows(rows(figures, item))
        if number % BATCH == BATCH - 1:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


def rows(figures: RunFigures, item: Item) -> Iterator[tuple[str, ...]]:
    """The item's rows, every cell inert."""
    head = (figures.run, figures.domain, item.kind.value, item.standing.value, item.key)
    tail = (
        iso(item.first_seen),
        str(item.nights),
        iso(item.created_at) if item.created_at else "",
        "" if item.money is None else amount(item.money, item.currency or "").replace(",", ""),
        item.currency or "",
        item.event or "",
        item.link or "",
        item.acknowledged or "",
    )
    changed = item.changed or ("",)
    for field in changed:
        cells = (*head, field, _side(item.source, field), _side(item.target, field), *tail)
        yield tuple(cell if number in PLAIN else csv_cell(cell) for number, cell in enumerate(cells))


# The amount is made here from whole numbers: -12.50 is a number to a spreadsheet, and no formula.
PLAIN = {HEADS.index("amount"), HEADS.index("nights")}


def _side(record: Any, field: str) -> str:
    """One field's value, or the whole record for a row without a field; empty where the side lacks it."""
    if record is None or (field and field not in record):
        return ""
    value = record[field] if field else dict(record)
    return value if isinstance(value, str) else json_bytes(value).decode()
