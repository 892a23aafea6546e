"""A night whose fetch was partial: values are compared and corrected, absence at the provider is not inferred, and nobody calls it done well."""

from typing import TYPE_CHECKING

from recon.errors import PartialListing
from recon.fetch.coverage import Coverage
from recon.redact import redact

if TYPE_CHECKING:
    from recon.compare import Comparison
    from recon.run.night import Night

PARTIAL = 75
"""The exit code: whatever went out is right, and the night is not over."""


def tell(night: "Night", coverage: Coverage) -> None:
    """Says in the figures that the fetch was partial, where it was; the rest of the night goes on."""
    if not coverage.whole:
        absent = "extra" if night.job.direction == "inbound" else "missing"
        msg = f"{coverage.provider} {coverage.resource} was fetched in part: {redact(coverage.proof)}. Values were compared; nothing was taken for {absent}"
        night.account.fail(PartialListing(msg, hint=f"mend what it says, then: recon run {night.job.domain}"))


def whole(night: "Night") -> bool:
    """Whether this run's fetch is proven whole; also of a run that is gone on with after its fetch."""
    coverage = night.account.coverage
    return coverage.whole if coverage is not None else night.claim.run.whole is not False


def exit_code(night: "Night", code: int) -> int:
    """The code of a night that went well but for its fetch; a held plan and undelivered events keep their own.

    A run that is gone on with after its fetch, as an approved one is, says why again.
    """
    before = night.account.before.coverage if night.account.before is not None else None
    if night.account.coverage is None and before is not None and night.account.problem is None:
        tell(night, before)
    return code or (0 if whole(night) else PARTIAL)


def judged_target(night: "Night", comparison: "Comparison", target_rows: int) -> int:
    """Of how many of the target's rows a partial fetch can say something: what it did not come to is no part of any share."""
    return target_rows - comparison.unjudged if night.job.direction == "inbound" else target_rows


def known_source(night: "Night", source_rows: int) -> int | None:
    """How many records the source holds, None where that is not known."""
    return source_rows if whole(night) or night.job.direction == "outbound" else None
