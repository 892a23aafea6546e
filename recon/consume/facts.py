"""What an event says of one item, as the guard's rules want it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Date, DateTime, Integer, Numeric

from recon.clock import parse_iso
from recon.consume.beside import Disputed
from recon.consume.order import moment_of, newer
from recon.consume.ruling import Fact, deletion
from recon.event import Event
from recon.upsert.rows import Rows


def fact_of(rows: Rows, event: Event, *, version: str | None, sequence: str | None = None, lesser: bool = False) -> Fact:
    """A correction, its data of the newest version; `lesser` says that it came in an older one. Raises Unfit.

    `version` and `sequence` are the columns of the item's own.
    """
    change = rows.change(event.data)
    seen = event.data.get("observed")
    seen = seen if isinstance(seen, dict) else {}
    try:
        observed = parse_iso(seen["at"])
    except (KeyError, TypeError, ValueError):
        observed = event.recorded
    told, found, bound = None, None, False
    if version is not None:
        told = change.wanted.get(version, _said(rows, version, seen))
        found = (change.before or {}).get(version, _said(rows, version, event.data.get("precondition")))
        if change.op == "deleted":
            told, bound = deletion(found, told, observed)
        elif told is not None:
            change = replace(change, wanted={**change.wanted, version: told})
    order = None if sequence is None else change.wanted.get(sequence)
    return Fact(change=change, version=told, found=found, sequence=order, bound=bound, observed=observed, id=event.id, lesser=lesser)


def _said(rows: Rows, column: str, side: Any) -> Any:
    """The version that an event says a side was of; None where it says none, or one that the column cannot hold: it is another one's."""
    value = side.get("version") if isinstance(side, dict) else None
    match rows.table.c[column].type:
        case Integer() | Numeric():
            fits = newer(0, value) is not None
        case DateTime() | Date():
            fits = moment_of(value) is not None
        case _:
            fits = True
    return value if fits else None


def prints_of(data: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The fingerprints that an event expects and brings."""
    found = [part.get("fingerprint") if isinstance(part := data.get(name), dict) else None for name in ("precondition", "observed")]
    return found[0], found[1]


def settles(fact: Fact, disputed: Disputed) -> bool:
    """Whether what is so now leaves nothing of a conflict: it is newer, or found later, or found after an ordinary webhook was in dispute."""
    if newer(disputed.version, fact.version) == 1:
        return True
    if fact.observed is None:
        return False
    return fact.observed >= disputed.observed if disputed.observed is not None else fact.observed > disputed.at
