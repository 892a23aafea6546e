"""The second look by id: each suspect is read again at the provider, then in the store.

Absence is believed only on an outright "deleted", or on a 404 while a known item is found under the same credential
at the same time: an API that answers 404 to everything proves nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from recon.clock import Clock
from recon.compare import Look, second_look
from recon.fetch.page import Lookup, LookupStatus
from recon.job import Job
from recon.kind import Text
from recon.provider import Provider
from recon.stores.base import Selection, Store


@dataclass(frozen=True, slots=True)
class ById:
    """The two places to look again, and the clock that the reads wait by."""

    job: Job
    provider: Provider
    store: Store
    clock: Clock

    def at(self, keys: list[str], controls: Sequence[str]) -> tuple[dict[str, Look], dict[str, str]]:
        """What each key looks like now, and for those of which nothing is known, why.

        `controls` are keys that the provider certainly had at the first look. Raises ProviderError or StoreError for what concerns all keys.
        """
        lookups = list(self.provider.get_many(self.job.resource, keys, clock=self.clock))
        absent_counts = self._control_found(lookups, controls)
        known: dict[str, bytes | None] = {}
        unknown: dict[str, str] = {}
        for lookup in lookups:
            match lookup.status:
                case LookupStatus.FOUND:
                    known[lookup.key] = lookup.item
                case LookupStatus.DELETED:
                    known[lookup.key] = None
                case LookupStatus.NOT_FOUND if not self._exact:
                    unknown[lookup.key] = "a 404 for a key that was folded or trimmed, so it may stand there in another form"
                case LookupStatus.NOT_FOUND if absent_counts is None:
                    known[lookup.key] = None
                case LookupStatus.NOT_FOUND:
                    unknown[lookup.key] = absent_counts or "not found"
                case LookupStatus.FORBIDDEN:
                    unknown[lookup.key] = lookup.why or "the provider forbids reading it"
                case LookupStatus.UNKNOWN:
                    unknown[lookup.key] = lookup.why or "no usable answer"
        # The store last: what the provider tells the application between the two shows as a row that moved.
        rows = self.store.get_many(Selection.of(self.job), list(known))
        return second_look(self.job, known, rows), unknown

    @property
    def _exact(self) -> bool:
        """Whether the key as we hold it is the key as the provider wrote it."""
        kind = self.job.key
        return not isinstance(kind, Text) or (kind.case == "exact" and not kind.trim)

    def _control_found(self, lookups: list[Lookup], controls: Sequence[str]) -> str | None:
        """None where a 404 may be believed, else why not."""
        if not any(lookup.status is LookupStatus.NOT_FOUND for lookup in lookups):
            return None
        if not controls:
            return "a 404, and no known item to hold against it"
        answers = list(self.provider.get_many(self.job.resource, controls, clock=self.clock))
        if any(answer.status is LookupStatus.FOUND for answer in answers):
            return None
        return f"a 404, but the known item {answers[0].key} was not found either ({answers[0].status})"
