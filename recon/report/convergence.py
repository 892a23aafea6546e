"""What became of earlier corrections, in words: which healed, which did not, when they were delivered and to whom."""

from collections.abc import Iterator

from recon.duration import words_of
from recon.report.figures import Convergence, RunFigures, Unheeded, Verdict
from recon.report.words import moment, plural

NAMED = 5
"""How many persisting corrections a report names; the JSON has more, and `recon explain` tells all of one."""


def lines(figures: RunFigures) -> Iterator[tuple[str, str]]:
    """Label and text of each line, none where no correction had been delivered before this run looked."""
    found = figures.convergence
    if found is None:
        return
    if found.healed and not found.alone:
        yield "healed", _healed(found)
    for one in found.unheeded[:NAMED]:
        yield "unheeded", unheeded(one, figures.timezone)
    if found.persisting > NAMED:
        yield "unheeded", f"{found.persisting - min(NAMED, len(found.unheeded)):,} more were delivered and are there still"
    if found.raised:
        yield (
            "told anew",
            f"{plural(found.raised, 'correction')} got a new id and name{'s' if found.raised == 1 else ''} the one that had no effect",
        )
    if found.unknown and not found.alone:
        yield "unknown", f"what became of {plural(found.unknown, 'delivered correction')} could not be told by this look"
    if found.unheeded:
        yield "next", f"recon explain {figures.domain} {_typed(found.unheeded[0].key)} tells the whole story; is the consumer at work?"


def unheeded(one: Unheeded, timezone: str) -> str:
    """`ord_1: delivered 2 x, last 2026-11-25 02:03:00Z to bus; the consumer has not acted (3 nights)`."""
    nights = f"{plural(one.nights, 'night')}"
    if one.last_at is None:
        return f"{one.key}: delivered, by an event that was removed by age; the consumer has not acted ({nights})"
    events = f"event {one.events[-1]}" if len(one.events) == 1 else f"{len(one.events)} events, the last {one.events[-1]}"
    when = moment(one.last_at, timezone)
    anew = f"; event {one.untold}, which is to tell it anew, is not delivered yet" if one.untold is not None else ""
    return f"{one.key}: delivered {one.deliveries:,} x, last {when} to {' and '.join(one.publishers)} ({events}); the consumer has not acted ({nights}){anew}"


def verified(figures: RunFigures) -> tuple[str, str] | None:
    """Word and sentence of a run that looked at corrections and at nothing else, and came to a verdict; None for any other."""
    found = figures.convergence
    judged = figures.verdict in {Verdict.AGREES, Verdict.DISCREPANCIES}
    return sentence(found) if found is not None and found.alone and judged else None


def sentence(found: Convergence) -> tuple[str, str]:
    """What became of the corrections, in a word and a sentence."""
    if not found.delivered:
        return "NOTHING TO VERIFY", "no correction that was delivered is open"
    unknown = f"; of {found.unknown:,} nothing could be told" if found.unknown else ""
    if not found.persisting:
        return ("HEALED", _healed(found) + unknown) if found.healed else ("NOT VERIFIED", unknown.removeprefix("; "))
    healed = f"; {_healed(found)}" if found.healed else ""
    return (
        "PERSISTING",
        f"{found.persisting:,} of {plural(found.delivered, 'correction')} that were delivered changed nothing{healed}{unknown}",
    )


def _healed(found: Convergence) -> str:
    within = f", seen at most {words_of(found.healed_within)} after their delivery" if found.healed_within is not None else ""
    return f"{plural(found.healed, 'delivered correction')} healed{within}"


def _typed(key: str) -> str:
    return "KEY" if key.startswith("hmac:") else key
