"""Markdown for a CI's summary or a chat: the verdict, the figures and as many items as fit.

Always under 1 MiB: GitHub drops a whole step summary that is larger (docs.github.com, "Workflow commands", "Adding a job summary").
"""

from collections.abc import Callable, Iterator

from recon.discrepancy import DiscrepancyKind
from recon.duration import words_of
from recon.inert import markdown
from recon.report.figures import Item, RunFigures, Standing
from recon.report.money import money
from recon.report.verdict import guard_line, spared, statement
from recon.report.words import MARKS, agreed, at, cut, kind_count, moment, new_count, of_parts, plural, roles, state, unseen, was_compared

MOST_BYTES = 1024 * 1024 - 1
FIGURES_BYTES = 256 * 1024
VALUE_LIMIT = 120


def pieces(figures: RunFigures, items: Callable[[], Iterator[Item]]) -> Iterator[bytes]:
    """The document, piece by piece; what does not fit is counted in its last line."""
    head = "\n".join(_figures(figures)).encode()
    if len(head) > FIGURES_BYTES:
        head = head[:FIGURES_BYTES].decode(errors="ignore").encode() + "\n\n… cut\n".encode()
    yield head
    # Room is kept for the last line, whatever it counts.
    left = MOST_BYTES - len(head) - 300
    said = roles(figures.direction)
    table = f"\n\n|   | key | age | field | {said.target} | {said.source} |\n|---|---|---|---|---|---|\n".encode()
    first, dropped = True, 0
    for item in items():
        row = _row(item).encode()
        if first:
            row = table + row
        if len(row) > left:
            # The first row that does not fit ends the table, so that what is shown is the beginning and not a choice.
            dropped, left = dropped + 1, 0
            continue
        first = False
        left -= len(row)
        yield row
    if dropped:
        run = markdown(cut(figures.run, 64))
        yield f"\n\n… {plural(dropped, 'more item')} cut to stay under 1 MiB: recon report {run} -f jsonl has all".encode()
    yield b"\n"


def _row(item: Item) -> str:
    mark, key, age = MARKS[item.kind], markdown(item.key), markdown(cut(state(item), VALUE_LIMIT))
    if not item.changed:
        return f"| {markdown(mark)} | {key} | {age} | | | |\n"
    rows = []
    for name in item.changed:
        before, after = (markdown(cut(at(side, name), VALUE_LIMIT)) for side in (item.target, item.source))
        rows.append(f"| {markdown(mark)} | {key} | {age} | {markdown(name)} | {before} | {after} |\n")
    return "".join(rows)


def _figures(figures: RunFigures) -> Iterator[str]:
    told = statement(figures)
    yield f"## {markdown(figures.domain)}: {told.word}"
    yield ""
    yield f"{markdown(told.sentence)}."
    yield ""
    for step in told.steps:
        text = markdown(cut(step.text, 500))
        yield f"- **{step.label}** {f'<code>{text}</code>' if step.command else text}"
    yield f"- **consistent as of** {markdown(agreed(figures, figures.timezone))}"
    yield f"- **run** {markdown(figures.run)}, started {markdown(moment(figures.started_at, figures.timezone))}"
    yield from _coverage(figures)
    if was_compared(figures):
        yield from _counts(figures)
    for currency, minor in sorted((figures.money or {}).items()):
        yield f"- **at risk** {markdown(money(minor, currency))}"
    if figures.created is not None and figures.created.sentence:
        yield f"- {markdown(figures.created.sentence)}"
    for guard in figures.guards:
        if guard.tripped and not guard.message:
            yield f"- **guard** {markdown(guard_line(guard))}"
    for few in spared(figures):
        yield f"- **floor** {markdown(few)}"


def _coverage(figures: RunFigures) -> Iterator[str]:
    if figures.coverage is not None:
        coverage = figures.coverage
        yield f"- **fetched** {coverage.records:,} from {markdown(coverage.provider)}, {markdown(coverage.verdict())}{of_parts(coverage)}, {words_of(coverage.seconds)}"
        if coverage.whole:
            for note in coverage.notes:
                yield f"- **note** {markdown(cut(note, 500))}"
        if figures.unjudged:
            yield f"- **left out** {plural(figures.unjudged, 'store row')} that the fetch did not come to"
    if figures.store is not None:
        yield f"- **read** {figures.store.rows:,} from {markdown(figures.store.relation)}"


def _counts(figures: RunFigures) -> Iterator[str]:
    said = roles(figures.direction)
    yield ""
    yield "|   |   | all | new |"
    yield "|---|---|--:|--:|"
    for kind in DiscrepancyKind:
        new = new_count(figures, kind)
        yield f"| {markdown(MARKS[kind])} | {said.of(kind)} | {'not judged' if unseen(figures, kind) else f'{kind_count(figures, kind):,}'} | {'' if new is None else f'{new:,}'} |"
    yield ""
    rest = [
        (figures.duplicate_keys, "keys more than once"),
        (figures.unreadable_items, "unreadable"),
        (figures.unconfirmed, "unconfirmed"),
        (figures.in_flight, "in flight: changed too late to be judged tonight"),
        (figures.waiting, f"deletions not told yet: confirmed on fewer than {figures.delete_nights} nights"),
        (figures.resolved, Standing.RESOLVED.value),
        (figures.acknowledged, Standing.ACKNOWLEDGED.value),
    ]
    for count, words in rest:
        if count:
            yield f"- {count:,} {words}"
    for name, count in sorted((figures.by_field or {}).items(), key=lambda each: -each[1]):
        yield f"- {markdown(name)} differs in {count:,}"
