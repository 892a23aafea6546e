"""The part of the conformance kit that looks at partitions: what a planner cuts a list into, and whether a part holds what it says."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from recon.errors import FilterIgnored, ReconError
from recon.fetch.cut import key_of
from recon.fetch.listing import Listing
from recon.fetch.page import Page
from recon.fetch.partition import Part, Partition, Planner
from recon.testing.clock import FixedClock
from recon.testing.faultlab.trial import Servers, Subject

#: No list of a few items is cut into more.
MOST_PARTS = 200

Told = Callable[[str, str], Any]
"""Makes a finding of what is wrong and what to do."""


def check_parts(subject: Subject, both: Servers, told: Told) -> Iterator[Any]:
    """The parts together are the list, each item in one of them; where their filter is ignored, that is found out."""
    api = both.home.site = subject.api()
    provider: Any = subject.make(both.home.url)
    try:
        planner = _planner(provider, subject)
        if planner is None:
            return
        parts, keys = _fetched(provider, planner, subject)
        if len(parts) >= MOST_PARTS:
            yield told(
                f"the plan has no end: {len(parts)} parts of {len(api.records)} items", "`following` answers None once all is planned"
            )
            return
        sent = {api.key(record) for record in api.records}
        lost = sorted(sent - set(keys))
        doubled = sorted(key for key, count in keys.items() if count > 1)
        if lost:
            yield told(
                f"no part holds {', '.join(lost)}",
                "ranges run from open to open, each beginning where another ends; shards are all there are",
            )
        if doubled:
            yield told(f"more than one part holds {', '.join(doubled)}", "a range includes its low end and not its high one")
        if planner.ranged and (gap := _gap([part.partition for part in parts if part.partition.turn == 1])):
            yield told(gap, "ranges run from open to open, each beginning where another ends")
        yield from _unfiltered(provider, subject, both, parts, told)
    finally:
        provider.close()


def _planner(provider: Any, subject: Subject) -> Planner | None:
    plan = getattr(provider, "planner", None)
    found: Planner | None = plan(Listing(resource=subject.resource, clock=FixedClock())) if plan is not None else None
    return found


def _fetched(provider: Any, planner: Planner, subject: Subject) -> tuple[list[Part], Counter[str]]:
    """The parts, one after another, and how often each key came in the first pass."""
    parts: list[Part] = []
    keys: Counter[str] = Counter()
    while len(parts) < MOST_PARTS and (partition := planner.following(parts)) is not None:
        pages = _pages(provider, subject, partition)
        items = [item for page in pages for item in page.items]
        if partition.turn == 1:
            keys.update(key for item in items if (key := key_of(item, subject.declared.key)) is not None)
        end = pages[-1].end if pages else None
        parts.append(Part(partition=partition, pages=len(pages), items=len(items), proof=end.proof if end else None))
    return parts, keys


def _pages(provider: Any, subject: Subject, partition: Partition) -> list[Page]:
    return list(provider.fetch(Listing(resource=subject.resource, partition=partition, clock=FixedClock())))


def _gap(partitions: Sequence[Partition]) -> str:
    """Where ranges do not meet; "" where they do."""
    inner = sorted(partitions, key=lambda one: (one.low is not None, one.low or 0))
    ends = [(one.low, one.high) for one in inner]
    if ends[0][0] is not None or ends[-1][1] is not None:
        return f"the ranges are not open at both ends: the first begins at {ends[0][0]}, the last ends at {ends[-1][1]}"
    for before, after in pairwise(ends):
        if before[1] != after[0]:
            return f"a range ends at {before[1]}, and the next one begins at {after[0]}"
    return ""


def _unfiltered(provider: Any, subject: Subject, both: Servers, parts: Sequence[Part], told: Told) -> Iterator[Any]:
    """The same parts from a server that takes no notice of what is asked for: each that gets another's rows must say so."""
    api = both.home.site = subject.api()
    api.filters = False
    whole = len(api.records)
    for part in parts:
        narrowed = part.partition.ranged or part.partition.shard is not None
        if not narrowed or part.items == whole:
            continue
        try:
            came = sum(len(page.items) for page in _pages(provider, subject, part.partition))
        except FilterIgnored:
            continue
        except ReconError as error:
            yield told(
                f"{part.partition.name}: with its filter ignored it ends with {type(error).__name__}: {error}", "raise FilterIgnored"
            )
            continue
        what = f"{part.partition.name}: {came} items come of a server that ignores its filter, and nothing is said"
        yield told(what, "hold each row against the partition, and raise FilterIgnored for one outside")
