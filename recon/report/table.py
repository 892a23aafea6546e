"""What `recon runs` prints on a terminal: one line a run."""

from collections.abc import Callable, Iterable

from recon.inert import terminal
from recon.report.figures import RunFigures
from recon.report.text import COLOURS, Line, Segment, line
from recon.report.words import UNENDED, agreed, moment, was_compared

HEADS = ("run", "domain", "started", "verdict", "missing", "extra", "changed", "new", "consistent as of")
NARROW_HEADS = ("run", "domain", "started", "verdict", "found", "consistent as of")
RIGHT = frozenset({"missing", "extra", "changed", "new", "found"})


def runs_table(runs: Iterable[RunFigures], width: int | None = None) -> list[Line]:
    """What `recon runs` prints: one line a run, aligned, with its verdict and since when the domain is known to agree.

    Where that is wider than `width` characters, ids are cut, times go to the minute, and one column counts what was found.
    """
    told = list(runs)
    if not told:
        return [line("no run yet:  recon run DOMAIN")]
    heads: tuple[str, ...] = HEADS
    rows = [_run_row(figures) for figures in told]
    if width is not None and _width([heads, *rows]) > width:
        heads, rows = NARROW_HEADS, [_narrow_row(figures) for figures in told]
    widths = [max(len(row[at]) for row in [heads, *rows]) for at in range(len(heads))]

    def laid(row: tuple[str, ...], style: Callable[[int], str]) -> Line:
        cells = [f"{cell:>{widths[n]}}" if heads[n] in RIGHT else f"{cell:<{widths[n]}}" for n, cell in enumerate(row)]
        cells[-1] = row[-1]
        return tuple(part for n, cell in enumerate(cells) for part in (Segment("  " if n else ""), Segment(cell, style(n))))

    lines = [laid(heads, lambda _: "dim")]
    for row in rows:
        colour = COLOURS.get(row[3].split(",")[0].upper(), "bold")
        lines.append(laid(row, lambda n, colour=colour: colour if n == 3 else ""))  # type: ignore[misc]  # a default argument binds the loop's value
    return lines


def _width(rows: list[tuple[str, ...]]) -> int:
    return sum(max(len(row[at]) for row in rows) + 2 for at in range(len(rows[0]))) - 2


def _run_row(figures: RunFigures) -> tuple[str, ...]:
    counts = (figures.missing, figures.extra, figures.changed, figures.new)
    known = was_compared(figures)
    since = agreed(figures, unknown="-")
    cells = [figures.run, figures.domain, moment(figures.started_at), _word(figures), *(f"{n:,}" if known else "-" for n in counts), since]
    return tuple(terminal(cell) for cell in cells)


def _narrow_row(figures: RunFigures) -> tuple[str, ...]:
    found = f"{figures.missing + figures.extra + figures.changed:,}" if was_compared(figures) else "-"
    since = agreed(figures, unknown="-")[:16]
    cells = [figures.run[:12], figures.domain, moment(figures.started_at)[:16], _word(figures), found, since]
    return tuple(terminal(cell) for cell in cells)


def _word(figures: RunFigures) -> str:
    if figures.state in {"expired", "rejected"}:
        return f"held, {figures.state}"
    return (figures.state if figures.state in UNENDED else figures.verdict.value) + (", dry run" if figures.dry_run else "")
