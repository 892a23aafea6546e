"""What an event says of one item, as the guard's rules want it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from recon.clock import parse_iso
from recon.consume.beside import Disputed
from recon.consume.order import newer
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
    told, bound = None, False
    if version is not None:
        told = change.wanted.get(version, seen.get("version"))
        if change.op == "deleted":
            told, bound = deletion(change, told, observed, column=version)
        elif told is not None:
            change = replace(change, wanted={**change.wanted, version: told})
    order = None if sequence is None else change.wanted.get(sequence)
    return Fact(change=change, version=told, sequence=order, bound=bound, observed=observed, id=event.id, lesser=lesser)


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
