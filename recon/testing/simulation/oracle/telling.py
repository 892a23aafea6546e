"""Laws of what a run says of itself: clean only where it is, and loud about what went wrong."""

from collections.abc import Iterator

from recon.testing.simulation.oracle.common import acknowledged, both, ended_hold, equal, first_look, looks, number, when, whole_runs
from recon.testing.simulation.oracle.facts import UNREADABLE, Delivery, Ended, Facts, Shown

BREAKING = frozenset({"401", "403", "login page", "empty body", "error as 200", "torn body", "same page", "cursor loop", "cursor expired"})
"""Faults of a page after which nothing more of the listing can be had."""

CODES = {"clean": {0}, "agrees": {0, 6}, "held": {4}, "incomplete": {75}, "failed": {1, 2}, "discrepancies": {0, 3, 6, 75}}
"""The exit codes that each verdict may come with."""


def clean_is_clean(facts: Facts) -> Iterator[str]:
    """On clean, each key was equal on both sides at some instant of the run, nothing was unreadable or double, the fetch was whole."""
    for domain in facts.source:
        for run in whole_runs(facts, domain):
            if run.verdict != "clean":
                continue
            began = first_look(facts, run)
            source, target = facts.source[domain], facts.target[domain]
            pages = [page for page in looks(facts, domain, run.process, "listing") if page.at <= run.ended]
            listed = {key for page in pages for key, _ in page.items}
            for key in _keys(facts, domain):
                if any(equal(one, other, run.fields) for _, one, other in both(source, target, key, began, run.ended)):
                    continue
                if key in listed or all(state is not None for _, state in target.during(key, began, run.ended)):
                    yield f"run {run.run} of {domain} at {when(run.ended)} is clean, and {key} differed all the while from {when(began)}"
                elif not _left_out(facts, run):
                    yield f"run {run.run} of {domain} at {when(run.ended)} is clean, and {key} was missing all the while from {when(began)}"
            # Where pages overlap an item may stand on two of them, and counts as the later one has it.
            counting = [page for page, before in zip(pages, [None, *pages], strict=False) if not _looks_back(page, before)]
            last = {key: (page.at, held) for page in counting for key, held in page.items}
            bad = max((at for at, held in last.values() if held == UNREADABLE), default=began - 1)
            if bad >= began and not _again(facts, run, bad):
                yield f"run {run.run} of {domain} at {when(run.ended)} is clean, and an item shown at {when(bad)} could not be read"
            double = [key for where, key, since, until in facts.doubled if where == domain and since < began and until > run.ended]
            if double and not any(acknowledged(facts, domain, key, run.ended) for key in double):
                yield f"run {run.run} of {domain} at {when(run.ended)} is clean, and {double[0]} stands twice in the target"


def _left_out(facts: Facts, run: Ended) -> bool:
    """Whether the third party itself left something out of a listing that it called whole: an early end, a lag, pages that drift."""
    pages = [page for page in looks(facts, run.domain, run.process, "listing") if page.at <= run.ended]
    changed = any(not facts.source[run.domain].constant(key, run.began - 300, run.ended) for key in _keys(facts, run.domain))
    return changed or any(page.fault in {"early end", "lag", "wiped", "wrong tenant"} for page in pages)


def _keys(facts: Facts, domain: str) -> list[str]:
    return sorted({*facts.source[domain].keys(), *facts.target[domain].keys()})


def _looks_back(page: Shown, before: Shown | None) -> bool:
    """Whether it was asked for to see what stands ahead of the page before it, which it goes on with: what it shows more is not taken."""
    if before is None or not before.items:
        return False
    mine, theirs = [key for key, _ in page.items], [key for key, _ in before.items]
    start = mine.index(theirs[0]) if theirs[0] in mine else 0
    return start > 0 and mine[start:] == theirs[: len(mine) - start]


def _again(facts: Facts, run: Ended, at: float) -> bool:
    """Whether the listing was begun anew after that page."""
    pages = looks(facts, run.domain, run.process, "listing")
    first = pages[0].items[:1] if pages else ()
    return any(page.at > at and page.items[:1] == first for page in pages)


def loud(facts: Facts) -> Iterator[str]:
    """Nothing but an error of recon's own is let out; verdict and exit code agree; exit 0 hides no event that was not delivered."""
    for run in facts.ended:
        if run.how == "raised":
            yield f"{run.order} {run.domain} at {when(run.ended)} raised {run.problem}"
        if run.how != "ended" or not run.verdict:
            continue
        # A held run whose plan was decided since is told as what it found, under the code that it ended with.
        decided = run.exit_code == 4 and ended_hold(run)
        waiting = number(run.figures, "delivery", "waiting") + number(run.figures, "delivery", "dead")
        # Both sides may agree on a night on which what was told before, as by a replay, is not delivered yet.
        behind = run.verdict == "clean" and run.exit_code == 6 and waiting
        if run.exit_code not in CODES[run.verdict] and not decided and not behind and not (run.problem and run.exit_code in {1, 2, 75}):
            yield f"{run.order} {run.domain} at {when(run.ended)} says {run.verdict} and exits {run.exit_code}"
        if run.exit_code == 0 and waiting:
            yield f"{run.order} {run.domain} at {when(run.ended)} exits 0, and {waiting} events were not delivered"
        if run.exit_code == 0 and run.order == "run":
            yield from _hidden(facts, run)


def _hidden(facts: Facts, run: Ended) -> Iterator[str]:
    """Events that this process tried, and that nobody had taken when it ended: exit 0 must not hide them."""
    last = {(one.id, one.lane): one for one in facts.deliveries if one.domain == run.domain and one.at <= run.ended}
    mine = [one for one in last.values() if one.process == run.process and one.at >= run.began and one.outcome != "confirmed"]
    left = [one for one in mine if not _withdrawn(facts, run, one)]
    if left:
        yield f"run {run.run} of {run.domain} at {when(run.ended)} exits 0, and {left[0].id[:8]} was answered {left[0].outcome}"


def _withdrawn(facts: Facts, run: Ended, tried: Delivery) -> bool:
    """Whether there was a reason to take the event back: the key was found alike since, or unreadable, acknowledged, or told otherwise."""
    key, source, target = tried.event["data"]["key"], facts.source[run.domain], facts.target[run.domain]
    alike = any(equal(one, other, run.fields) for _, one, other in both(source, target, key, tried.at, run.ended))
    later = any(
        one.domain == run.domain and one.event["data"]["key"] == key and one.id != tried.id and tried.at <= one.at <= run.ended
        for one in facts.deliveries
    )
    seen = [
        held
        for page in looks(facts, run.domain, run.process, "listing")
        if page.at >= tried.at
        for shown, held in page.items
        if shown == key
    ]
    return alike or later or seen[-1:] == [UNREADABLE] or acknowledged(facts, run.domain, key, run.ended)
