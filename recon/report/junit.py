"""JUnit XML: one case per domain and check, so that a CI shows a night as it shows tests."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as ET

from recon.clock import iso
from recon.duration import words_of
from recon.inert import xml
from recon.report import convergence
from recon.report.figures import Item, RunFigures, Verdict
from recon.report.verdict import guard_line, statement
from recon.report.words import of_parts, partial, plural, roles, single, was_compared

Outcome = Literal["passed", "failure", "error", "skipped"]


@dataclass(frozen=True, slots=True)
class Check:
    """One case: its name, how it ended, and why."""

    name: str
    outcome: Outcome
    message: str = ""
    seconds: float = 0.0


def checks(figures: RunFigures) -> list[Check]:
    """Every check of a run, always the same ten names: what did not happen is skipped, never passed."""
    return [
        _fetch(figures),
        _store(figures),
        _guards(figures),
        *_counts(figures),
        *_oddities(figures),
        _delivery(figures),
        _convergence(figures),
    ]


def _fetch(figures: RunFigures) -> Check:
    coverage = figures.coverage
    if single(figures):
        return Check("fetch whole", "skipped", "single items were looked at by id")
    if coverage is None:
        return Check("fetch whole", "error", statement(figures).sentence)
    text = f"{plural(coverage.records, 'record')} on {plural(coverage.pages, 'page')} in {words_of(coverage.seconds)}: {coverage.verdict()}{of_parts(coverage)}"
    return Check("fetch whole", "passed" if coverage.whole else "error", text, coverage.seconds)


def _store(figures: RunFigures) -> Check:
    store = figures.store
    if store is None and single(figures):
        return Check("store read", "skipped", "single items were looked at by id")
    if store is None:
        return Check(
            "store read", "skipped" if figures.coverage is not None and not figures.coverage.whole else "error", "the store was not read"
        )
    return Check("store read", "passed", f"{plural(store.rows, 'row')} of {store.relation}, {store.isolation}", store.seconds)


def _guards(figures: RunFigures) -> Check:
    if not was_compared(figures):
        return Check("guards", "skipped", "nothing was compared")
    tripped = [guard for guard in figures.guards if guard.tripped]
    if tripped:
        return Check("guards", "failure", "; ".join(guard.message or guard_line(guard) for guard in tripped))
    if figures.verdict is Verdict.HELD:
        return Check("guards", "failure", statement(figures).sentence)
    return Check("guards", "passed", plural(len(figures.guards), "guard"))


def _counts(figures: RunFigures) -> Iterator[Check]:
    said = roles(figures.direction)
    counted = [
        ("missing", figures.missing, said.missing),
        ("extra", figures.extra, said.extra),
        ("changed", figures.changed, "differ"),
    ]
    for name, count, words in counted:
        if not was_compared(figures):
            yield Check(name, "skipped", "nothing was compared")
        elif count:
            yield Check(name, "failure", f"{count:,} {words}")
        elif partial(figures):
            # None in a part is not none.
            yield Check(name, "skipped", "the fetch was partial: none in what came, and of the rest nothing is known")
        else:
            yield Check(name, "passed")


def _oddities(figures: RunFigures) -> Iterator[Check]:
    unknown = figures.unreadable_items + figures.unconfirmed + figures.in_flight
    for name, count, words in (
        ("duplicates", figures.duplicate_keys, "more than once on one side"),
        ("unreadable", unknown, "unreadable, unconfirmed or in flight: unknown, not missing"),
    ):
        if not was_compared(figures):
            yield Check(name, "skipped", "nothing was compared")
        else:
            yield Check(name, "failure" if count else "passed", f"{count:,} {words}" if count else "")


def _delivery(figures: RunFigures) -> Check:
    deliveries = figures.delivered
    if not deliveries:
        return Check("delivery", "skipped", "nothing was sent")
    lacking = [one for one in deliveries if one.undelivered]
    if not lacking:
        return Check("delivery", "passed", "; ".join(f"{one.confirmed:,} confirmed by {one.publisher}" for one in deliveries))
    said = []
    for one in lacking:
        to, reason = f"{one.publisher}: " if len(deliveries) > 1 else "", f": {one.last_reason}" if one.last_reason else ""
        told = [f"{one.waiting:,} waiting, {one.dead:,} refused for good"]
        told += [f"{other.waiting:,} waiting, {other.dead:,} refused in version {other.version}" for other in one.older]
        said.append(f"{to}{'; '.join(told)}{reason}")
    return Check("delivery", "failure", "; ".join(said))


def _convergence(figures: RunFigures) -> Check:
    """Whether what was delivered before this run looked has had its effect."""
    found = figures.convergence
    if found is None or not was_compared(figures):
        return Check("convergence", "skipped", "no correction had been delivered before, or nothing was compared")
    told = "; ".join(text for label, text in convergence.lines(figures) if label != "next")
    if found.persisting:
        return Check("convergence", "failure", told)
    return Check("convergence", "passed" if found.healed else "skipped", told or convergence.sentence(found)[1])


def pieces(figures: RunFigures, items: Callable[[], Iterator[Item]]) -> Iterator[bytes]:
    """The document of one run; the items are not listed in it."""
    del items
    yield document([figures])


def document(runs: Iterable[RunFigures]) -> bytes:
    """One `testsuite` per run in a `testsuites`."""
    suites = [_suite(figures) for figures in runs]
    root = ET.Element("testsuites", _totals([check for _, found in suites for check in found]))
    root.extend(suite for suite, _ in suites)
    ET.indent(root)
    body: bytes = ET.tostring(root, encoding="utf-8")
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + body + b"\n"


def _totals(found: list[Check]) -> dict[str, str]:
    by = {outcome: sum(check.outcome == outcome for check in found) for outcome in ("failure", "error", "skipped")}
    seconds = sum(check.seconds for check in found)
    return {
        "tests": str(len(found)),
        "failures": str(by["failure"]),
        "errors": str(by["error"]),
        "skipped": str(by["skipped"]),
        "time": f"{seconds:.3f}",
    }


def _suite(figures: RunFigures) -> tuple[ET.Element, list[Check]]:
    found = checks(figures)
    suite = ET.Element("testsuite", {"name": xml(figures.domain), "timestamp": iso(figures.started_at), **_totals(found)})
    properties = ET.SubElement(suite, "properties")
    since = "" if figures.consistent_as_of is None else iso(figures.consistent_as_of)
    for name, value in (("run", figures.run), ("verdict", figures.verdict.value), ("consistent_as_of", since)):
        ET.SubElement(properties, "property", {"name": name, "value": xml(value)})
    for check in found:
        case = ET.SubElement(suite, "testcase", {"classname": xml(figures.domain), "name": check.name, "time": f"{check.seconds:.3f}"})
        message = xml(check.message)
        if check.outcome == "passed":
            if message:
                ET.SubElement(case, "system-out").text = message
            continue
        told = ET.SubElement(case, check.outcome, {"message": message})
        if check.outcome != "skipped":
            told.text = xml("\n".join([check.message, *(f"{step.label}: {step.text}" for step in statement(figures).steps)]))
    return suite, found
