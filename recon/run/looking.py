"""The second look of a night: what is in flight is set apart, the rest settles, and then every suspect is read again on both sides."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from recon.compare import Comparison, Snapshot, drop, keep, kept, listed, mark_of
from recon.confirm import ById, ByListing, Confirmation, SecondLook, Sifted, confirm, recheck, revisit, sift, write_discrepancies
from recon.discrepancy import Discrepancy, DiscrepancyKind
from recon.duration import seconds_of, words_of
from recon.errors import Unconfirmed
from recon.fetch.coverage import Coverage
from recon.fetch.spool import PAGES, Spool
from recon.files import private_folder
from recon.ledger.flights import flights_of
from recon.redact import redact
from recon.report.figures import Verdict
from recon.run.discreet import discreet
from recon.run.listing import landed, sealing
from recon.state.run import RunState

if TYPE_CHECKING:
    from recon.run.night import Night

SECOND = "second"
"""The folder of the second listing, in the run's own."""

APPROVED = "approved"
"""The folder of the listing that an approved plan is held against."""

FRESH_SECONDS = 900.0
"""How long ago a second listing may have ended for a run that is gone on with to take it as it is."""


# -- what is in flight ---------------------------------------------------------------------------------------------------------


def sifted(
    night: "Night",
    suspects: Callable[[], Iterator[Discrepancy]],
    counts: Mapping[DiscrepancyKind, int],
    by_field: Mapping[str, int],
) -> Sifted:
    """The suspects that may be judged tonight, and those in flight set apart."""
    job = night.job
    waits = waits_for(night)
    if job.updated is None and waits is None:
        return Sifted(suspects, counts, by_field)
    since = in_flight_since(night)
    night.account.in_flight_since = since if job.updated is not None else None
    return sift(
        job,
        suspects,
        night.folder,
        since=since,
        night=tonight(night),
        flights=flights_of(night.state, job.domain) if job.updated is not None else {},
        waits=waits,
    )


def in_flight_since(night: "Night") -> datetime:
    """What changed after this is in flight: the watermark, less the job's lag or the provider's, whichever is longer."""
    watermark = night.claim.run.watermark
    assert watermark is not None
    own = getattr(night.project.provider(night.job.provider), "lag", None)
    lag = max(night.job.lag_seconds, own(night.job.resource) if callable(own) else 0.0)
    return watermark - timedelta(seconds=lag)


def tonight(night: "Night") -> str:
    """The local date that this run stands for, as the ledger counts nights."""
    return night.claim.run.logical_start.astimezone(ZoneInfo(night.job.timezone)).date().isoformat()


def waits_for(night: "Night") -> Callable[[Discrepancy], bool] | None:
    """What says of a deletion that it is told only on a later night; None where none has to wait."""
    if night.job.delete_nights <= 1:
        return None
    due = night.ledger.due_deletions(night.job.domain, tonight(night), night.job.delete_nights)
    return lambda found: found.kind is DiscrepancyKind.EXTRA and found.key not in due


def unsettled(night: "Night", comparison: Comparison, sieve: Sifted) -> Confirmation:
    """The suspects as they are, not looked at again: what a guard holds before the second look."""
    found = Confirmation(night.folder / "found.jsonl")
    write_discrepancies(found.file, sieve.suspects())
    revisit(None, night.job, sieve, controls=comparison.controls, outcome=found)
    night.account.confirmation = found
    return found


# -- the second look -----------------------------------------------------------------------------------------------------------


def look_again(night: "Night", comparison: Comparison, sieve: Sifted, snapshot: Snapshot) -> Confirmation:
    """Every suspect read again on both sides, once it has settled; then the open keys of earlier nights that tonight shows nowhere."""
    left = _left(night, comparison, snapshot)
    settle(night, sieve.total)
    night.advance(RunState.CONFIRMING)
    with night.stage("confirm"):
        look = second_look(night, SECOND, before=records_before(night)) if can_get(night) or sieve.total or left else None
        found = Confirmation(night.folder / "found.jsonl")
        if look is None:
            found.file.write_bytes(b"")
        else:
            found = confirm(
                look,
                sieve.suspects(),
                controls=comparison.controls,
                file=found.file,
                total=sieve.total,
                progress=night.progress,
                waits=waits_for(night),
                veil=night.veil,
            )
        revisit(look, night.job, sieve, controls=comparison.controls, outcome=found)
    if left and look is not None:
        with night.stage("recheck"):
            recheck(look, left, controls=comparison.controls, outcome=found)
    night.account.confirmation = found
    return found


def _left(night: "Night", comparison: Comparison, snapshot: Snapshot) -> list[str]:
    """Keys that are open since an earlier night and that tonight's comparison shows nowhere: read again, before they count as resolved.

    Where only a second listing could tell, those that the first one holds are left out: they were compared, and agree.
    """
    open_keys = night.ledger.open_keys(night.job.domain)
    if not open_keys:
        return []
    seen = {suspect.key for suspect in comparison.discrepancies()} | set(comparison.set_aside())
    left = [key for key in open_keys if key not in seen]
    if left and not can_get(night):
        there = listed(snapshot, left)
        left = [key for key in left if key not in there]
    return left


def settle(night: "Night", suspects: int) -> None:
    """Waits until the suspects are old enough to be looked at again. Their age counts from the first look, by a clock that nobody steps."""
    wait = night.job.settle_seconds - (night.clock.monotonic() - night.looked)
    if suspects and wait > 0:
        with night.stage("settle"):
            night.progress.note(f"waiting {words_of(wait)} before the second look at {suspects:,} suspects")
            night.clock.sleep(wait)


def settle_held(night: "Night") -> None:
    """The same for a plan that was held before its second look and approved at once: its first look was just before it was held."""
    run = night.claim.run
    if run.hold_expires_at is None:
        return
    held_at = run.hold_expires_at - timedelta(seconds=seconds_of(night.job.hold_expires))
    age = max(0.0, (night.state.now() - held_at).total_seconds())
    night.looked = night.clock.monotonic() - age
    settle(night, 1)


def can_get(night: "Night") -> bool:
    """Whether single items can be read by id."""
    return night.project.provider(night.job.provider).can_get(night.job.resource)


def by_id(night: "Night") -> SecondLook:
    """Both places, to be read by id."""
    look = ById(night.job, night.project.provider(night.job.provider), night.project.store(night.job.store), night.clock)
    return discreet(look, night.veil)


def records_before(night: "Night") -> int | None:
    """How many records the first listing held; None where it was not whole, so that its length says nothing."""
    first = night.account.coverage
    if first is None and night.account.before is not None:
        first = night.account.before.coverage
    if first is None:
        return 0
    return first.records if first.whole else None


def second_look(night: "Night", name: str, *, before: int | None) -> SecondLook:
    """The way of looking again that the third party allows: by id, or in a second listing, fetched now into the folder `name`.

    `before` is how many records the first listing held, None where it was not whole. Raises ProviderError where nothing of the second
    one could be had; one that came in part proves no absence.
    """
    if can_get(night):
        return by_id(night)
    folder = private_folder(night.folder / name)

    def tell(coverage: Coverage) -> None:
        night.account.second = coverage

    with closing(Spool.open(folder)) as spool:
        ended = spool.last_at if spool.finished else None
        if ended is not None and (night.clock.now() - ended).total_seconds() > FRESH_SECONDS:
            spool.reset()
        with sealing(night, spool, folder) as snapshot:
            night.progress.note(f"{night.job.resource} cannot be read by id at {night.job.provider}: listing it a second time")
            coverage = landed(night, spool, snapshot, tell)
            sealed = snapshot.finish()
    night.account.second = replace(coverage, unreadable=sealed.unreadable_items)
    look = ByListing(night.job, sealed, night.account.second, night.project.store(night.job.store), before)
    return discreet(look, night.veil)


# -- a run that broke off during its second listing ----------------------------------------------------------------------------


def taken_up(night: "Night", snapshot: Snapshot) -> Comparison | None:
    """The first look of this very run, where its second listing has begun: its pages only count against that one."""
    if can_get(night):
        return None
    pages = night.folder / SECOND / PAGES
    found = kept(night.job, snapshot, _mark(night, snapshot)) if pages.is_file() and pages.stat().st_size else None
    if found is None:
        # Before the store is read anew: what belongs to an older look at it must not outlive that.
        drop(snapshot.folder)
        shutil.rmtree(night.folder / SECOND, ignore_errors=True)
        return None
    # The second listing began after the wait.
    night.looked = night.clock.monotonic() - night.job.settle_seconds
    return found


def put_by(night: "Night", comparison: Comparison, snapshot: Snapshot) -> None:
    """Keeps a first look for as long as its second listing may take."""
    if not can_get(night):
        keep(comparison, snapshot, _mark(night, snapshot))


def _mark(night: "Night", snapshot: Snapshot) -> str:
    return mark_of(night.job, snapshot, (night.folder / PAGES).read_bytes())


# -- a second look that proved nothing -----------------------------------------------------------------------------------------


def unconfirmed(night: "Night", found: Confirmation) -> Unconfirmed:
    """The error of a second look that got no answer that proves anything."""
    total = sum(found.unconfirmed.values())
    why, count = found.unconfirmed.most_common(1)[0]
    msg = (
        f"{night.job.domain}: of {total:,} {'suspect' if total == 1 else 'suspects'} not one could be looked at again "
        f"({count:,} x {why}); nothing was emitted"
    )
    return Unconfirmed(msg, hint=f"recon run {night.job.domain} --resume {night.claim.run.id}")


def leave_open(night: "Night", found: Confirmation, unknown: Iterable[str], only_keys: list[str] | None = None) -> int:
    """Ends the run for want of a second look: it is not done, and another try goes on from its sealed snapshot. Answers the exit code.

    What the comparison resolved, and what is doubtful, is written down all the same: an event that waits must not tell of either.
    """
    error = unconfirmed(night, found)
    night.account.fail(error)
    night.write_down(
        found,
        unknown=list(unknown),
        only_keys=only_keys,
        to=RunState.FAILED,
        verdict=Verdict.INCOMPLETE,
        exit_code=error.exit_code,
        reason=redact(error.message),
    )
    return error.exit_code
