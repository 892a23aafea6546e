"""The real comparison over two small lists, so that a job's test is a few lines."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon.compare import Limits, compare, seal
from recon.discrepancy import Discrepancy, DiscrepancyKind
from recon.fetch.landing import land
from recon.fetch.spool import Spool
from recon.job import Job
from recon.provider import Listing
from recon.report.figures import Duplicate, Unreadable
from recon.stores.base import Selection, Store
from recon.testing.clock import FixedClock
from recon.testing.provider import FakeProvider
from recon.testing.store import MemoryStore


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the comparison of a job found. `missing`, `extra` and `changed` are keys, sorted; `discrepancies` has them in full."""

    discrepancies: tuple[Discrepancy, ...]
    compared: int
    equal: int
    duplicates: tuple[Duplicate, ...]
    unreadable: tuple[Unreadable, ...]

    @property
    def missing(self) -> list[str]:
        """What the target, the side to be corrected, lacks."""
        return self._keys(DiscrepancyKind.MISSING)

    @property
    def extra(self) -> list[str]:
        """What only the target has."""
        return self._keys(DiscrepancyKind.EXTRA)

    @property
    def changed(self) -> list[str]:
        """What both have, with a difference in at least one compared field."""
        return self._keys(DiscrepancyKind.CHANGED)

    @property
    def clean(self) -> bool:
        """Nothing differs, and everything could be read and was there once."""
        return not (self.discrepancies or self.duplicates or self.unreadable)

    def of(self, key: str) -> Discrepancy:
        """The discrepancy of a key; KeyError where it has none."""
        for one in self.discrepancies:
            if one.key == key:
                return one
        raise KeyError(key)

    def _keys(self, kind: DiscrepancyKind) -> list[str]:
        return sorted(one.key for one in self.discrepancies if one.kind is kind)


def reconcile_in_memory(job: Job, *, provider: Sequence[Mapping[str, Any] | bytes], store: Sequence[Mapping[str, Any]] | Store) -> Found:
    """Compares records as the provider writes them with rows as the store holds them, by the code that compares at night.

    `provider`: records (mappings, or bytes for broken ones). `store`: rows by column name, or a store (`sqlite_store`) for jobs with SQL of
    their own. Nothing is confirmed, planned or emitted.
    """
    source = FakeProvider({job.resource: provider}, key=job.key_path or "id")
    place = MemoryStore(store) if isinstance(store, Sequence) else store
    limits = Limits(memory="128MB", threads=1)
    clock = FixedClock()
    with tempfile.TemporaryDirectory(prefix="recon-test-") as folder:
        spool = Spool.open(Path(folder) / "spool")
        try:
            land(source, Listing(resource=job.resource, params=job.params, clock=clock), spool, clock=clock)
            snapshot = seal(job, spool, source.key, Path(folder) / "snapshot", limits=limits)
        finally:
            spool.close()
        with place.scan(Selection.of(job)) as scan:
            done = compare(job, snapshot, scan, limits=limits)
        return Found(
            discrepancies=tuple(done.discrepancies()),
            compared=done.compared,
            equal=done.equal,
            duplicates=tuple(done.duplicates),
            unreadable=tuple(done.unreadable),
        )
