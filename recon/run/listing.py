"""A listing, whole and sealed: its pages onto the disk, the snapshot made of them while they come, and its certificate."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from recon.compare import Snapshot, seal
from recon.compare.snapshot import Pages
from recon.compare.union import Union
from recon.errors import ReconError
from recon.fetch.coverage import Coverage
from recon.fetch.following import Following
from recon.fetch.landing import land
from recon.fetch.spool import Spool
from recon.provider import Listing
from recon.redact import redact
from recon.run.sealing import Sealing

if TYPE_CHECKING:
    from recon.run.night import Night

SNAPSHOT = "source"
"""The snapshot's folder, beside the pages."""


def sealing(night: "Night", spool: Spool, folder: Path) -> Sealing:
    """The snapshot of a spool's pages in `folder`, made in a thread of its own while they arrive."""
    key_path = night.job.key_path or night.project.provider(night.job.provider).key_path(night.job.resource)

    def made(pages: Following) -> Snapshot:
        # Whether pages shift is known for certain once the last one is there; what the provider says of it is known before.
        taken: Pages = Union(pages, key_path, folder / SNAPSHOT, night.limits) if pages.union else pages
        return seal(night.job, taken, key_path, folder / SNAPSHOT, limits=night.limits)

    return Sealing(spool, made, folder / SNAPSHOT)


def landed(night: "Night", spool: Spool, snapshot: Sealing, tell: Callable[[Coverage], None]) -> Coverage:
    """The listing to its end, from where the spool stands. `tell` hears of the certificate after every page, and of the failed one."""
    latest: Coverage | None = None

    def arrived(coverage: Coverage) -> None:
        nonlocal latest
        if night.heartbeat is not None:
            night.heartbeat.check()
        snapshot.grown()
        latest = coverage
        tell(coverage)
        night.progress.advance(coverage.records, coverage.total, "records")

    today = night.claim.run.logical_start.astimezone(ZoneInfo(night.job.timezone)).date()
    listing = Listing(resource=night.job.resource, params=night.job.params, clock=night.clock, day=today)
    try:
        return land(night.project.provider(night.job.provider), listing, spool, clock=night.clock, on_page=arrived)
    except ReconError as error:
        if latest is not None:
            tell(replace(latest, whole=False, proof=night.veil.message(redact(error.message))))
        raise
