"""The words and figures that every rendering shares: roles by place, counts, shares, times, values, and the verdict's sentences."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from recon.clock import iso
from recon.discrepancy import DiscrepancyKind
from recon.fetch.coverage import Coverage
from recon.report.figures import AGREE, LEFT_OUT, Item, RunFigures, Standing, Verdict

MARKS = {DiscrepancyKind.MISSING: "+", DiscrepancyKind.EXTRA: "-", DiscrepancyKind.CHANGED: "~"}
ABSENT = "(not there)"


@dataclass(frozen=True, slots=True)
class Roles:
    """A direction in words: which place is source and target, and what each kind of discrepancy means there.

    Inbound, the store is to be corrected, and it is *here*; outbound, the provider is, and it is *there*.
    """

    source: str
    target: str
    missing: str
    extra: str
    changed: str = "differs"

    def of(self, kind: DiscrepancyKind) -> str:
        """The words of one kind: `missing here`."""
        return {DiscrepancyKind.MISSING: self.missing, DiscrepancyKind.EXTRA: self.extra, DiscrepancyKind.CHANGED: self.changed}[kind]


INBOUND = Roles(source="provider", target="store", missing="missing here", extra="gone there")
OUTBOUND = Roles(source="store", target="provider", missing="missing there", extra="gone here")

UNENDED = frozenset({"planned", "fetching", "sealed", "diffed", "confirming", "approved", "emitted"})
"""States of a run that has come to no verdict; its line shows the state in its place."""


def roles(direction: str) -> Roles:
    """The roles of a job's direction."""
    return OUTBOUND if direction == "outbound" else INBOUND


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """`1 event`, `1,204 events`."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def percent(share: float) -> str:
    """`24.10%`."""
    return f"{share:.2%}"


def moment(when: datetime, timezone: str = "UTC") -> str:
    """`2026-01-03 03:00:05Z (04:00 Europe/Paris)`; the bracket only where the zone is not UTC, with the date where that differs."""
    bracket = "" if timezone == "UTC" else local(when, timezone)
    return f"{_second(when)} ({bracket})" if bracket else _second(when)


def local(when: datetime, timezone: str) -> str:
    """`04:00 Europe/Paris`, with the date where it is not UTC's; empty for a zone that this machine does not know."""
    try:
        there = when.astimezone(ZoneInfo(timezone))
    except (ZoneInfoNotFoundError, ValueError):
        return ""
    form = "%H:%M" if there.date() == when.astimezone(UTC).date() else "%Y-%m-%d %H:%M"
    return f"{there.strftime(form)} {timezone}"


def _second(when: datetime) -> str:
    return iso(when.replace(microsecond=0)).replace("T", " ")


def shown(value: Any) -> str:
    """A wire value as a reader sees it: text as it is, everything else as JSON. Not yet inert."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def cut(text: str, limit: int) -> str:
    """The text, or its beginning and its length; for values, never for ids."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def at(record: Mapping[str, Any] | None, field: str) -> str:
    """The record's value of that field as a reader sees it, or `(not there)`."""
    if record is None or field not in record:
        return ABSENT
    return shown(record[field])


def nights(count: int) -> str:
    """`new` on its first night, else `6 nights`."""
    return "new" if count <= 1 else f"{count:,} nights"


def state(item: Item) -> str:
    """An item's standing and age in a few words: `new`, `6 nights`, `resolved`, `acknowledged (refund agreed)`."""
    if item.standing is Standing.ACKNOWLEDGED and item.acknowledged:
        return f"acknowledged ({item.acknowledged})"
    if item.standing in {Standing.ACKNOWLEDGED, Standing.RESOLVED}:
        return item.standing.value
    # Seen by an earlier run of the same night, it is one night old and yet not new.
    age = "1 night" if item.standing is Standing.CONTINUING and item.nights <= 1 else nights(item.nights)
    return f"{age}, {waits(item.nights, item.waits)}" if item.nights < item.waits else age


def waits(count: int, wanted: int) -> str:
    """`waits for a second night (1 of 2)`: of a deletion that was confirmed on `count` nights of `wanted`."""
    ordinal = {1: "a second night", 2: "a third night"}.get(count, "another night")
    return f"waits for {ordinal} ({count} of {wanted})"


def kind_count(figures: RunFigures, kind: DiscrepancyKind) -> int:
    """How many confirmed discrepancies of that kind."""
    return {DiscrepancyKind.MISSING: figures.missing, DiscrepancyKind.EXTRA: figures.extra, DiscrepancyKind.CHANGED: figures.changed}[kind]


def new_count(figures: RunFigures, kind: DiscrepancyKind) -> int | None:
    """How many of that kind are new tonight; None where nobody counted."""
    return None if figures.new_by_kind is None else figures.new_by_kind.get(kind.value, 0)


PARTIAL = "PartialListing"
"""The kind of problem of a night whose fetch was partial."""


def was_compared(figures: RunFigures) -> bool:
    """True where the comparison came to its end, also over a part only: without this, no count of discrepancies means anything, least of all none."""
    return figures.verdict not in {Verdict.INCOMPLETE, Verdict.FAILED} or partial(figures)


def partial(figures: RunFigures) -> bool:
    """True of a night whose fetch was partial, and that judged and corrected what it had."""
    return (
        figures.verdict is Verdict.INCOMPLETE
        and figures.plan is not None
        and figures.problem is not None
        and figures.problem.kind == PARTIAL
    )


def unseen(figures: RunFigures, kind: DiscrepancyKind) -> bool:
    """True of the kind that a partial fetch says nothing of: what the provider lacks. None of it is not none."""
    lacked = DiscrepancyKind.MISSING if figures.direction == "outbound" else DiscrepancyKind.EXTRA
    return partial(figures) and kind is lacked and not kind_count(figures, kind)


def nothing_readable(figures: RunFigures) -> bool:
    """True where there were items and not one of them could be judged: an agreement of nothing with nothing is none."""
    judged = figures.compared + figures.discrepancies + figures.acknowledged + figures.resolved + sum((figures.dismissed or {}).values())
    return not judged and figures.unreadable_items > 0


def fell_short(figures: RunFigures) -> bool:
    """True of a run that is done while its night is not: what it had was judged and told, and another try has to fetch anew."""
    return figures.state == "done" and figures.verdict is Verdict.INCOMPLETE


def single(figures: RunFigures) -> bool:
    """True of a run that looked at single items by id and fetched no listing: it says nothing of the rest."""
    return was_compared(figures) and figures.coverage is None


def doubts(figures: RunFigures) -> list[str]:
    """What keeps a run without discrepancies from being clean, in words; empty where nothing does."""
    moved = sum(count for why, count in (figures.dismissed or {}).items() if why not in {AGREE, LEFT_OUT})
    counted = [
        (figures.unreadable_items, "unreadable"),
        (figures.duplicate_keys, "more than once on one side"),
        (figures.unconfirmed, "unconfirmed"),
        (moved, "changed while we looked"),
        ((figures.dismissed or {}).get(LEFT_OUT, 0), "left out of a listing that called itself whole"),
        (figures.in_flight, "in flight"),
    ]
    said = [f"{count:,} {words}" for count, words in counted if count]
    coverage = figures.coverage
    if coverage is not None and (coverage.total or 0) > coverage.records + coverage.unreadable:
        said.append(f"the provider counts {coverage.total:,} and listed {coverage.records:,}")
    if figures.second is not None and not figures.second.whole:
        said.append("the second listing came in part")
    if figures.plan is not None and figures.plan.approved_by is not None and not figures.discrepancies:
        said.append("approved after it was held: nothing was left to correct, and nothing was compared since")
    return said


def of_parts(coverage: Coverage) -> str:
    """`, 8 of 9 parts`, where a listing was fetched in more than one."""
    return f", {coverage.finished:,} of {coverage.planned:,} parts" if coverage.planned > 1 else ""


def agreed(figures: RunFigures, timezone: str = "UTC", *, unknown: str = "known when the run has ended") -> str:
    """Since when both sides are known to agree; `unknown` of a run that has not ended and has not looked that up yet."""
    if figures.consistent_as_of is not None:
        return moment(figures.consistent_as_of, timezone)
    return unknown if figures.state in UNENDED else "never yet"
