"""The terminal's rendering: the block after a run, `recon show` and `recon runs`.

Lines are made first, as segments of inert text with a style; then they go out through rich on a terminal and as they are
everywhere else. No id is ever cut and no line is wrapped.
"""

import heapq
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TextIO

from recon.discrepancy import DiscrepancyKind
from recon.duration import words_of
from recon.inert import terminal
from recon.report.figures import Item, RunFigures, Standing, Verdict
from recon.report.money import money
from recon.report.since import Since, amended
from recon.report.verdict import spared, statement
from recon.report.words import (
    MARKS,
    agreed,
    at,
    cut,
    kind_count,
    moment,
    new_count,
    of_parts,
    plural,
    roles,
    shown,
    single,
    state,
    unseen,
    was_compared,
)

if TYPE_CHECKING:
    from rich.text import Text

MISSING, EXTRA, CHANGED = DiscrepancyKind
VALUE_LIMIT = 160
#: Notes of a whole fetch that the block shows; the report has all.
NOTES = 3
SINCE = "consistent as of"
COLOURS = {
    "CLEAN": "bold green",
    "AGREES": "bold green",
    "HEALED": "bold green",
    "PERSISTING": "bold yellow",
    "EMITTED": "bold cyan",
    "HELD": "bold yellow",
    "DRY RUN": "bold cyan",
    "INCOMPLETE": "bold red",
    "FAILED": "bold red",
    "NOT DELIVERED": "bold red",
}
KIND_STYLES = {DiscrepancyKind.MISSING: "green", DiscrepancyKind.EXTRA: "red", DiscrepancyKind.CHANGED: "yellow"}


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of inert text in one rich style ("" is plain)."""

    text: str
    style: str = ""


Line = tuple[Segment, ...]


def segment(text: str, style: str = "") -> Segment:
    """A segment of any text, made inert: the one way that text gets into a line."""
    return Segment(terminal(text), style)


DECIDABLE = {"held", "rejected", "expired"}
"""States of a plan of which a list of items alone would not say why none of them was sent."""

NAMED = 3
"""How many duplicate and unreadable items are named in the block; JSON and the HTML report list the first 1,000."""


def line(*parts: str | tuple[str, str]) -> Line:
    """A line of plain texts and (text, style) pairs."""
    return tuple(segment(part) if isinstance(part, str) else segment(*part) for part in parts)


def plain(lines: Iterable[Line]) -> str:
    """The lines without styles, each ended."""
    return "".join(f"{''.join(part.text for part in each)}\n" for each in lines)


def rich_text(each: Line) -> "Text":
    """One line for rich; markup in it means nothing."""
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ignore", end="")
    for part in each:
        text.append(part.text, part.style or None)
    return text


def emit(lines: Iterable[Line], stream: TextIO | None = None) -> None:
    """Writes the lines: styled on a terminal (unless NO_COLOR is set), plain elsewhere; never wrapped, never cut."""
    stream = sys.stdout if stream is None else stream
    if stream.isatty() and not os.environ.get("NO_COLOR"):
        from rich.console import Console

        console = Console(file=stream, markup=False, highlight=False, emoji=False, soft_wrap=True)
        for each in lines:
            console.print(rich_text(each), soft_wrap=True, crop=False, overflow="ignore")
        return
    encoding = stream.encoding or "utf-8"
    for each in lines:
        # A terminal that cannot show a character gets its escape instead of a traceback.
        stream.write(plain([each]).encode(encoding, "backslashreplace").decode(encoding))


def summary(figures: RunFigures, items: Iterable[Item] = (), *, limit: int = 3, report: str | None = None) -> list[Line]:
    """The block after a run: header, counts, the few items that matter most, verdict and what to do next.

    `items` is read once, to the end, and only `limit` of them are held; `report` is the path of the HTML report.
    """
    lines = [_header(figures), *_coverage(figures)]
    if was_compared(figures):
        lines += [*_counts(figures), *_oddities(figures), *(line(f"  floor     {told}") for told in spared(figures))]
        if limit and (top := _top(items, limit)):
            lines.append(())
            for item in top:
                lines += _indented(item_lines(figures, item))
            rest = figures.discrepancies - len(top)
            if rest > 0:
                lines.append(line(f"  … {rest:,} more:  recon show {figures.run}"))
        if figures.money:
            listed = ", ".join(money(minor, currency) for currency, minor in sorted(figures.money.items()))
            lines += [(), line(f"  at risk   {listed}")]
        if figures.created is not None and figures.created.sentence:
            lines.append(line(f"  created   {figures.created.sentence}"))
    return [*lines, (), *_verdict(figures, report)]


def _header(figures: RunFigures) -> Line:
    dry = [("  dry run", "bold cyan")] if figures.dry_run else []
    # A domain that another process is at work on has no run of its own.
    run = f"run {figures.run}" if figures.run else "no run"
    return line((figures.domain, "bold"), f"  {run}  as of {moment(figures.started_at, figures.timezone)}", *dry)


def _coverage(figures: RunFigures) -> Iterator[Line]:
    coverage, store = figures.coverage, figures.store
    if coverage is not None:
        rows = f"   {store.rows:>9,} store" if store is not None else ""
        style = "" if coverage.whole else "red"
        took = f"{coverage.verdict()}{of_parts(coverage)}, {words_of(coverage.seconds)}"
        yield line(f"  fetched   {coverage.records:>9,} provider{rows}   ", (took, style))
        for note in coverage.notes[:NOTES] if coverage.whole else ():
            yield line(f"  note      {cut(note, 300)}")
    second = figures.second
    if second is not None:
        style = "" if second.whole else "red"
        yield line(f"  again     {second.records:>9,} provider   ", (f"{second.verdict()}, {words_of(second.seconds)}", style))
    if single(figures):
        yield line("  looked at single items by id, and at nothing else")
    elif was_compared(figures):
        yield line(f"  compared  {figures.compared:>9,} on both sides, {figures.equal:,} equal")
        if figures.unjudged:
            yield line(f"  left out  {figures.unjudged:>9,} store rows that the fetch did not come to: nothing is said of them")


def _counts(figures: RunFigures) -> Iterator[Line]:
    said = roles(figures.direction)
    width = max(len(said.of(kind)) for kind in DiscrepancyKind)
    for kind in DiscrepancyKind:
        count, new = kind_count(figures, kind), new_count(figures, kind)
        text = f"{said.of(kind):<{width}} {count:>9,}"
        tail = "" if new is None or not count else f"  ({new:,} new)"
        tail += "  not judged: the fetch was partial" if unseen(figures, kind) else ""
        if kind is DiscrepancyKind.CHANGED and figures.by_field:
            tail += "   " + ", ".join(f"{name} {n:,}" for name, n in sorted(figures.by_field.items(), key=lambda each: (-each[1], each[0])))
        yield line((f"  {MARKS[kind]} ", KIND_STYLES[kind]), (text, "" if count else "dim"), tail)


def _oddities(figures: RunFigures) -> Iterator[Line]:
    """What is neither equal nor a discrepancy; only what there is."""
    if figures.duplicate_keys:
        yield line(("  ! ", "yellow"), f"{plural(figures.duplicate_keys, 'key')} more than once on one side")
        for twice in figures.duplicates[:NAMED]:
            yield line(f"      {twice.key}  {twice.count:,} times in the {twice.place}")
    if figures.unreadable_items:
        yield line(("  ? ", "yellow"), f"{plural(figures.unreadable_items, 'item')} unreadable: unknown, not missing")
        for odd in figures.unreadable[:NAMED]:
            where = f"{odd.field} " if odd.field else ""
            yield line(f"      {odd.key or '(no key)'}  in the {odd.place}: {where}{odd.why}")
    if figures.unconfirmed:
        reasons = list((figures.unconfirmed_why or {}).items())
        why = "; ".join(
            [f"{count:,} × {why}" for why, count in reasons[:3]] + ([f"{len(reasons) - 3:,} more reasons"] if len(reasons) > 3 else [])
        )
        tail = f": {why}" if why else ": the second look could say nothing"
        yield line(("  ? ", "yellow"), f"{plural(figures.unconfirmed, 'suspect')} unconfirmed{tail}")
    if figures.dismissed:
        told = ", ".join(f"{count:,} {why}" for why, count in figures.dismissed.items())
        yield line(f"  = {plural(sum(figures.dismissed.values()), 'suspect')} dismissed at the second look: {told}")
    yield from _in_flight(figures)
    if figures.waiting:
        yield line(
            ("  - ", "yellow"),
            f"{plural(figures.waiting, 'deletion')} not told yet: each is once it was confirmed on {figures.delete_nights} nights",
        )
    rest = [(figures.resolved, "resolved since last time"), (figures.acknowledged, "acknowledged")]
    if any(count for count, _ in rest):
        yield line("  = " + ", ".join(f"{count:,} {words}" for count, words in rest if count))


def _in_flight(figures: RunFigures) -> Iterator[Line]:
    """Suspects that moved too late to be judged: how many, since when, and the first of them."""
    if not figures.in_flight:
        return
    since = f" (changed after {moment(figures.in_flight_since, figures.timezone)})" if figures.in_flight_since is not None else ""
    yield line(("  ? ", "yellow"), f"{plural(figures.in_flight, 'suspect')} in flight{since}: neither new nor resolved tonight")
    for one in figures.in_flight_keys[:NAMED]:
        yield line(f"      {one.key}  changed {moment(one.updated, figures.timezone)}")


def _top(items: Iterable[Item], limit: int) -> list[Item]:
    """The items to look at first: of each kind those of the most nights, then of the most money, in turn; changed ones begin."""
    best: dict[DiscrepancyKind, list[tuple[int, int, int, Item]]] = {kind: [] for kind in (CHANGED, MISSING, EXTRA)}
    for number, item in enumerate(items):
        if item.standing in {Standing.NEW, Standing.CONTINUING}:
            heap = best[item.kind]
            # The negative number keeps the order of equals, and keeps items themselves from being compared.
            entry = (item.nights, abs(item.money or 0), -number, item)
            if len(heap) < limit:
                heapq.heappush(heap, entry)
            else:
                heapq.heappushpop(heap, entry)
    ranked = [[entry[3] for entry in sorted(heap, reverse=True)] for heap in best.values()]
    turns = [item for turn in zip_longest(*ranked) for item in turn if item is not None]
    return turns[:limit]


def _indented(lines: Iterable[Line]) -> Iterator[Line]:
    return ((Segment("  "), *each) for each in lines)


def item_lines(figures: RunFigures, item: Item, *, whole: bool = False) -> list[Line]:
    """One discrepancy: its key, age and, for a changed one, each field as it is at the target and at the source, aligned.

    `whole` shows all fields of a missing or extra item, and values uncut.
    """
    said = roles(figures.direction)
    tail = f"   {said.target} -> {said.source}" if item.kind is DiscrepancyKind.CHANGED else f"   {said.of(item.kind)}"
    worth = f"   {money(item.money, item.currency)}" if item.money is not None and item.currency else ""
    lines = [line((MARKS[item.kind], KIND_STYLES[item.kind]), " ", (item.key, "bold"), f"   {state(item)}{worth}{tail}")]
    limit = sys.maxsize if whole else VALUE_LIMIT
    if item.kind is DiscrepancyKind.CHANGED:
        rows = [(name, terminal(cut(at(item.target, name), limit)), cut(at(item.source, name), limit)) for name in item.changed]
        names = max((len(name) for name, _, _ in rows), default=0)
        befores = min(max((len(before) for _, before, _ in rows), default=0), 48)
        lines += [line(f"    {name:<{names}}  {before:>{befores}} -> {after}") for name, before, after in rows]
    elif whole:
        lines += _record(item.source if item.source is not None else item.target, limit)
    if whole:
        lines += _about(item)
    return lines


def _record(record: Mapping[str, Any] | None, limit: int) -> list[Line]:
    fields = record or {}
    width = max((len(name) for name in fields), default=0)
    return [line(f"    {name:<{width}}  {cut(shown(value), limit)}") for name, value in fields.items()]


def _about(item: Item) -> Iterator[Line]:
    yield line((f"    first seen {moment(item.first_seen)}", "dim"))
    if item.event:
        yield line((f"    event {item.event}", "dim"))
    if item.link:
        yield line((f"    {item.link}", "dim"))


def _verdict(figures: RunFigures, report: str | None, since: Sequence[Since] = ()) -> Iterator[Line]:
    told = amended(statement(figures), figures, since)
    colour = COLOURS.get(told.word, "bold")
    run = f"  run {figures.run}" if figures.run else ""
    about = "" if figures.verdict is Verdict.DISCREPANCIES else f"  {figures.domain}{run}:"
    yield line((told.word, colour), f"{about} {told.sentence}")
    width = max([len(step.label) for step in told.steps] + [len(SINCE)])
    for step in told.steps:
        yield line((f"  {step.label:<{width}}  ", "dim"), step.text)
    yield line((f"  {SINCE:<{width}}  ", "dim"), agreed(figures, figures.timezone))
    if report:
        yield line((f"  {'report':<{width}}  ", "dim"), report)


def select(
    items: Iterable[Item],
    *,
    kind: DiscrepancyKind | None = None,
    field: str | None = None,
    standing: Standing | None = None,
    nights: int = 0,
    text: str = "",
) -> Iterator[Item]:
    """The items that fit every condition; `text` is looked for in the key, whatever its case."""
    wanted = text.casefold()
    for item in items:
        if kind is not None and item.kind is not kind:
            continue
        if field is not None and field not in item.changed:
            continue
        if standing is not None and item.standing is not standing:
            continue
        if item.nights >= nights and wanted in item.key.casefold():
            yield item


def listing(
    figures: RunFigures,
    items: Iterable[Item],
    *,
    limit: int | None = None,
    whole: bool = False,
    since: Sequence[Since] = (),
    **conditions: Any,
) -> Iterator[Line]:
    """What `recon show` prints: every item that fits (see `select`), as it comes; `limit` ends early and says how many were left."""
    yield _header(figures)
    yield from _coverage(figures)
    count = 0
    for item in select(items, **conditions):
        count += 1
        if limit is not None and count > limit:
            continue
        yield ()
        yield from item_lines(figures, item, whole=whole)
    if limit is not None and count > limit:
        yield ()
        yield line(f"… {count - limit:,} more:  recon report {figures.run} -f jsonl has all")
    if not count:
        yield line("  no discrepancy fits" if figures.discrepancies else f"  no discrepancy; the verdict is {figures.verdict.value}")
    if (
        since
        or any(one.undelivered for one in figures.delivered)
        or figures.convergence is not None
        or (figures.plan is not None and figures.plan.state in DECIDABLE)
    ):
        yield ()
        yield from _verdict(figures, None, since)
