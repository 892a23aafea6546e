"""The second look by a second listing, for a third party that reads no single items.

Each suspect is looked up in the second sealed snapshot, then in the store. That a key is not listed counts as absence only where
both listings are whole, and the second one has no item whose key could not be read, is about as long as the first, and holds an item
that the first is known to have held.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from recon.compare import Look, Snapshot, listed, listed_look
from recon.fetch.coverage import Coverage
from recon.job import Job
from recon.stores.base import Selection, Store


@dataclass(frozen=True, slots=True)
class ByListing:
    """The second listing, sealed, with its certificate; `before` is how many records the first one held, None where that was not whole."""

    job: Job
    snapshot: Snapshot
    coverage: Coverage
    store: Store
    before: int | None

    def at(self, keys: list[str], controls: Sequence[str]) -> tuple[dict[str, Look], dict[str, str]]:
        """What each key looks like in the second listing and in the store now, and for those of which nothing is known, why."""
        rows = self.store.get_many(Selection.of(self.job), keys)
        looks = listed_look(self.job, self.snapshot, keys, rows)
        doubt = self._doubt(controls)
        if doubt is None:
            return looks, {}
        return looks, {key: doubt for key, look in looks.items() if not look.provider_token and look.unreadable is None}

    def _doubt(self, controls: Sequence[str]) -> str | None:
        """Why a key that the second listing lacks need not be absent, or None where it is."""
        proof, sealed = self.coverage, self.snapshot
        keyless = sealed.unreadable_items > len(sealed.unreadable) or any(one.key is None for one in sealed.unreadable)
        short = (proof.total or 0) > sealed.records
        before = self.before or 0
        shrunken = sealed.records < before * (1 - self.job.guard.shrunken)
        reasons = (
            (not proof.whole, f"which is not proven whole ({proof.proof})"),
            (self.before is None, "and the first one was not whole"),
            (keyless, "which has items whose key cannot be read"),
            (short, f"which holds {sealed.records:,} of {proof.total or 0:,} by the API's own count"),
            (shrunken, f"which holds {sealed.records:,} records where the first held {before:,}"),
            (not controls, "and there is no known item to hold against that"),
        )
        for doubtful, why in reasons:
            if doubtful:
                return f"not in the second listing, {why}"
        if not listed(sealed, controls):
            return f"not in the second listing, which has not the known item {controls[0]} either"
        return None
