"""The one-file HTML report: everything said without a script, and a table of all discrepancies that a small script pages and filters.

The file asks for nothing outside itself and its policy forbids that it could. It streams: memory does not grow with the items.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from recon.discrepancy import DiscrepancyKind
from recon.report.charts import created_chart, points, sparkline
from recon.report.figures import Item, RunFigures, Transition, Verdict
from recon.report.page import asset, own, policy, template
from recon.report.rows import Rows
from recon.report.verdict import guard_line, headline, statement
from recon.report.words import MARKS, doubts, kind_count, new_count, partial, plural, roles, single, was_compared

SAMPLES = 10
TRANSITIONS = 4
EXAMPLES = 2


@dataclass(frozen=True, slots=True)
class Tile:
    """One large number; `new` is how many of it are new tonight, None where nobody counted."""

    kind: str
    mark: str
    words: str
    count: int
    new: int | None


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One field that differs somewhere: in how many items, its share of the changed ones, and which value stands for which."""

    name: str
    count: int
    share: float
    transitions: tuple[Transition, ...]

    @property
    def single(self) -> bool:
        """True where no two items agree on a transition, so that those shown are only examples."""
        return bool(self.transitions) and self.transitions[0].count == 1 < self.count


def pieces(figures: RunFigures, items: Callable[[], Iterator[Item]], *, csv: str | None = None) -> Iterator[bytes]:
    """The page, piece by piece. `csv` is the name of the CSV file that lies beside it, where there is one."""
    rows = Rows(items)
    for piece in template("template.html.j2").generate(context(figures, csv=csv), rows=rows.pieces(), meta=rows.meta):
        yield piece.encode()


def context(figures: RunFigures, *, csv: str | None = None) -> dict[str, Any]:
    """Everything that the template says, but the rows."""
    style, script = asset("report.css"), asset("report.js")
    said = roles(figures.direction)
    timezone = figures.timezone
    return {
        "f": figures,
        "style": own(style),
        "script": own(script),
        "policy": policy(styles=(style,), scripts=(script,)),
        "title": headline(figures),
        "told": statement(figures),
        "banner": banner(figures),
        "said": said,
        "compared": was_compared(figures),
        "looked_again": "confirm" in (figures.stages or {})
        or figures.guards == ()
        or figures.plan is None
        or figures.plan.approved_by is not None,
        "single": single(figures),
        "tiles": [_tile(figures, kind) for kind in DiscrepancyKind],
        "fields": field_rows(figures),
        "guard_line": guard_line,
        "spark": sparkline(points(figures), timezone),
        "created": created_chart(figures.created, timezone) if figures.created is not None else None,
        "samples": SAMPLES,
        "csv": csv,
        "settings": {
            "run": figures.run,
            "domain": figures.domain,
            "provider": figures.provider,
            # Where nothing was compared, an empty table says nothing of the domain.
            "none": "There are no discrepancies in the part that was fetched."
            if partial(figures)
            else "There are no discrepancies."
            if was_compared(figures)
            else "Nothing was compared: nothing is known of discrepancies.",
            "source": said.source,
            "target": said.target,
            "words": [said.of(kind) for kind in DiscrepancyKind],
            "marks": [MARKS[kind] for kind in DiscrepancyKind],
        },
    }


def banner(figures: RunFigures) -> str:
    """The largest words of the page: what there is, in a second."""
    if figures.verdict is Verdict.DISCREPANCIES:
        if figures.discrepancies:
            return plural(figures.discrepancies, "discrepancy", "discrepancies")
        return "Not proven clean" if doubts(figures) else f"{figures.acknowledged:,} acknowledged"
    return figures.verdict.value.capitalize()


def _tile(figures: RunFigures, kind: DiscrepancyKind) -> Tile:
    said = roles(figures.direction)
    count = kind_count(figures, kind)
    words = "differ" if kind is DiscrepancyKind.CHANGED and count != 1 else said.of(kind)
    return Tile(kind.value, MARKS[kind], words, count, new_count(figures, kind))


def field_rows(figures: RunFigures) -> list[FieldRow]:
    """The fields that differ, most often first, each with its most frequent transitions."""
    counted = sorted((figures.by_field or {}).items(), key=lambda each: (-each[1], each[0]))
    found = []
    for name, count in counted:
        moves = sorted((each for each in figures.transitions if each.field == name), key=lambda each: -each.count)
        most = TRANSITIONS if moves and moves[0].count > 1 else EXAMPLES
        found.append(FieldRow(name, count, count / figures.changed if figures.changed else 0.0, tuple(moves[:most])))
    return found
