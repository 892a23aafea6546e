"""The certificate drawn up: from what lies on disk, and from nothing that anybody says of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from recon.fetch.coverage import Coverage, PartProof
from recon.fetch.journal import PartState
from recon.fetch.partition import Partition
from recon.fetch.spool import Spool

SHOWN = 200
"""Parts that a certificate tells of one by one; all are counted."""

NAMED, FEW = 3, 8


def certificate(
    spool: Spool,
    *,
    provider: str,
    resource: str,
    scope: Mapping[str, str],
    failed: Mapping[int, str],
    started_at: datetime,
    finished_at: datetime,
    spent: tuple[int, int, int, int],
    resumed: bool,
    passing: bool = False,
    hint: str = "",
) -> Coverage:
    """What the spool is proven to contain. `failed` says of parts, by their numbers, why they will not be had; `hint` is the way out of it.

    One that is drawn up in `passing`, after each page, tells the parts one by one only where they are few.
    """
    live = spool.live
    breach = _breach(live) if spool.finished else None
    whole = spool.finished and breach is None
    requests, retries, throttled, milliseconds = spent
    shown = [] if passing and len(live) > FEW else sorted(live, key=lambda part: part.proof is not None)[:SHOWN]
    return Coverage(
        provider=provider,
        resource=resource,
        whole=whole,
        proof=_proof(spool) if whole else breach or _shortfall(spool, failed),
        started_at=started_at,
        finished_at=finished_at,
        pages=spool.pages,
        records=spool.listed,
        unreadable=spool.unread_items,
        requests=requests,
        retries=retries,
        throttled=throttled,
        bytes=spool.bytes_read,
        seconds=milliseconds / 1000,
        total=spool.total if passing else _total(spool),
        resumed=resumed,
        planned=len(live),
        finished=spool.proven,
        parts=tuple(_told(part, failed.get(part.number)) for part in shown),
        scope=scope,
        hint="" if whole else hint,
        notes=(*_left_out(spool), *dict.fromkeys(spool.notes))[:SHOWN],
    )


def _total(spool: Spool) -> int | None:
    """The API's own count. Of a part it may say how many that holds, or how many the whole list does: the reading nearer to what came is taken."""
    last = max((part.partition.turn for part in spool.live), default=1)
    counts = [part.total for part in spool.live if part.partition.turn == last and part.total is not None]
    if spool.total is None or len(counts) == 1:
        return spool.total
    return min(spool.total, max(counts), key=lambda count: abs(count - spool.listed))


def _left_out(spool: Spool) -> tuple[str, ...]:
    """What stood in the list and is none of the resource's, in words; each is counted in one pass."""
    count = spool.left_out
    return (f"{count:,} {'item' if count == 1 else 'items'} of the list left out, none of this resource's",) if count else ()


def _proof(spool: Spool) -> str:
    """Why it is whole, in one sentence."""
    live = spool.live
    told = list(dict.fromkeys(spool.notes))
    more = f"; and {len(told) - NAMED:,} more notes" if len(told) > NAMED else ""
    notes = "".join(f"; {note}" for note in told[:NAMED]) + more
    if len(live) == 1:
        return f"{live[0].proof}{notes}"
    again = any(part.partition.turn > 1 for part in live)
    if all(part.partition.ranged for part in live):
        how = "ranges that meet from open to open" + (" in every pass" if again else "")
    elif again and not any(part.partition.narrowed for part in live):
        how = "passes over the whole"
    else:
        how = "parts as declared" + (" in every pass" if again else "")
    return f"{spool.pages:,} pages in {len(live):,} {how}, each to its end{notes}"


def _shortfall(spool: Spool, failed: Mapping[int, str]) -> str:
    """Why it is not, in one sentence: what is lacking, and what there is."""
    live = spool.live
    pages = f"{spool.pages:,} {'page' if spool.pages == 1 else 'pages'}"
    if not failed:
        return f"{pages} so far"
    first = next(iter(failed.values()))
    if len(live) == 1:
        return f"{first}; {spool.listed:,} records on {pages} before it"
    names = [spool.parts[number].partition.name for number in failed]
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return (
        f"{len(names):,} of {len(live):,} parts could not be had ({', '.join(names[:NAMED])}{more}): {first}; {spool.listed:,} records came"
    )


def _breach(live: Sequence[PartState]) -> str | None:
    """Why parts that all ended are not the whole all the same; None where they are."""
    names = [part.partition.name for part in live]
    if len(set(names)) != len(names):
        return f"the part {next(name for name in names if names.count(name) > 1)} is there twice"
    for turn in sorted({part.partition.turn for part in live if part.partition.ranged}):
        ranges = [part.partition for part in live if part.partition.ranged and part.partition.turn == turn]
        if why := _chain(sorted(ranges, key=lambda one: (one.low is not None, one.low or 0))):
            return why
    return None


def _chain(ranges: Sequence[Partition]) -> str | None:
    """Where ranges, in their order, do not meet from open to open; None where they do."""
    if ranges[0].low is not None:
        return f"nothing below {ranges[0].name} was asked for"
    if ranges[-1].high is not None:
        return f"nothing above {ranges[-1].name} was asked for"
    for lower, upper in pairwise(ranges):
        if lower.high != upper.low:
            what = "overlap" if lower.high is None or upper.low is None or lower.high > upper.low else "leave a gap between them"
            return f"the ranges {lower.name} and {upper.name} {what}"
    return None


def _told(part: PartState, failed: str | None) -> PartProof:
    one = part.partition
    return PartProof(
        name=one.name,
        pages=part.pages,
        records=part.items - part.overlap,
        proof=part.proof or failed or f"{part.pages:,} pages so far",
        ended=part.proof is not None,
        low=None if one.low is None else str(one.low),
        high=None if one.high is None else str(one.high),
        unreadable=part.unread_items,
        restarts=part.era,
    )
