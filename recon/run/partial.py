"""A night that falls short: its fetch was partial, or nothing of it could be read. What it had is told, and nobody calls it done well.

Of a partial fetch values are compared and corrected, and absence at the provider is not inferred.
"""

from typing import TYPE_CHECKING

from recon.errors import NothingReadable, PartialListing
from recon.fetch.coverage import Coverage
from recon.redact import redact
from recon.report.figures import RunFigures
from recon.report.words import nothing_readable, plural

if TYPE_CHECKING:
    from recon.compare import Comparison
    from recon.run.night import Night

UNDELIVERED = 6
"""The exit code of a run that left events waiting, or whose receiver refused some for good."""

PARTIAL = 75
"""The exit code: whatever went out is right, and the night is not over."""


def tell(night: "Night", coverage: Coverage) -> None:
    """Says in the figures that the fetch was partial, where it was; the rest of the night goes on."""
    if not coverage.whole:
        absent = "extra" if night.job.direction == "inbound" else "missing"
        msg = f"{coverage.provider} {coverage.resource} was fetched in part: {redact(coverage.proof)}. Values were compared; nothing was taken for {absent}"
        way_out = redact(coverage.hint) if coverage.hint else "mend what it says"
        night.account.fail(PartialListing(msg, hint=f"{way_out}; then: recon run {night.job.domain}"))


def whole(night: "Night") -> bool:
    """Whether this run's fetch is proven whole; also of a run that is gone on with after its fetch."""
    coverage = night.account.coverage
    return coverage.whole if coverage is not None else night.claim.run.whole is not False


def exit_code(night: "Night", code: int) -> int:
    """The code of a night that went well but for its fetch. A held plan keeps its own.

    Events that were not delivered do not: they wait for the next try, and that has to come, since it fetches anew. A run that is gone
    on with after its fetch, as an approved one is, says why again.
    """
    before = night.account.before.coverage if night.account.before is not None else None
    if night.account.coverage is None and before is not None and night.account.problem is None:
        tell(night, before)
    if code not in {0, UNDELIVERED}:
        return code
    figures = night.account.figures(None, standing=night.claim.run.state, exit_code=code)
    unread = night.claim.run.key is None and nothing_readable(figures)
    if unread:
        night.account.fail(_unread(figures))
    return PARTIAL if unread or not whole(night) else code


def _unread(figures: RunFigures) -> NothingReadable:
    first = next(iter(figures.unreadable), None)
    why = "" if first is None else f" (the first, in the {first.place}: {f'{first.field} ' if first.field else ''}{first.why})"
    msg = f"{figures.domain}: of {plural(figures.unreadable_items, 'item')} not one could be read and judged{redact(why)}; nothing was compared"
    return NothingReadable(msg, hint=f"mend the job's fields, or what is sent; then: recon run {figures.domain}")


def judged_target(night: "Night", comparison: "Comparison", target_rows: int) -> int:
    """Of how many of the target's rows a partial fetch can say something: what it did not come to is no part of any share."""
    return target_rows - comparison.unjudged if night.job.direction == "inbound" else target_rows


def known_source(night: "Night", source_rows: int) -> int | None:
    """How many records the source holds, None where that is not known."""
    return source_rows if whole(night) or night.job.direction == "outbound" else None
