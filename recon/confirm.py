"""Confirmation: every suspect is read again by id, on both sides, before it is believed.

A suspect is *confirmed* only when both looks agree: the same difference, the same values on both sides. It is
*dismissed* when the sides agree now, or when either has moved since the first look: something is at work on it, and
tomorrow's run will see what came of that. It stays *unconfirmed* when the second look proves nothing: no answer,
no right to look, a record that cannot be read, or a 404 that no positive control stands beside.

Absence is believed only on an outright "deleted", or on a 404 while a known item is found under the same credential
at the same time: an API that answers 404 to everything proves nothing.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from recon.clock import Clock
from recon.compare import Look, second_look
from recon.discrepancy import Discrepancy, DiscrepancyKind
from recon.errors import ProviderError
from recon.fetch.page import Lookup, LookupStatus
from recon.files import LocalFile
from recon.job import Job
from recon.kind import Text
from recon.progress import Progress
from recon.provider import Provider
from recon.report.figures import AGREE, MOVED
from recon.stores.base import Selection, Store

SECONDS = re.compile(r"\b[0-9]+(\.[0-9]+)?s\b")
CHUNK = 500
"""Suspects read again at a time: it bounds memory, and the time between a lookup and its control."""

SAMPLES = 100


@dataclass(slots=True)
class Confirmation:
    """What the second look said. The confirmed discrepancies lie in `file`, one JSON document a line, in order."""

    file: Path
    confirmed: Counter[DiscrepancyKind] = field(default_factory=Counter)
    by_field: Counter[str] = field(default_factory=Counter)
    dismissed: Counter[str] = field(default_factory=Counter)
    unconfirmed: Counter[str] = field(default_factory=Counter)
    #: Keys of which nothing could be said; they are neither new nor resolved tonight.
    unknown_keys: list[str] = field(default_factory=list)

    def discrepancies(self) -> Iterator[Discrepancy]:
        """The confirmed ones, streamed."""
        decoder = msgspec.json.Decoder(Discrepancy)
        with self.file.open("rb") as lines:
            for line in lines:
                yield decoder.decode(line)


@dataclass(frozen=True, slots=True)
class SecondLook:
    """The two places to look again, and how long the look may wait on them."""

    job: Job
    provider: Provider
    store: Store
    clock: Clock

    def at(self, keys: list[str], controls: Sequence[str]) -> tuple[dict[str, Look], dict[str, str]]:
        """What each key looks like now, and for those of which nothing is known, why."""
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


def confirm(
    look: SecondLook,
    suspects: Iterable[Discrepancy],
    *,
    controls: Sequence[str],
    file: Path,
    total: int,
    progress: Progress,
    whole: bool = False,
) -> Confirmation:
    """Reads every suspect again, in chunks, and writes the confirmed ones to `file`.

    `whole` asks that fields which are only shown are as at the first look too: what a person approved is what goes out.

    `controls` are keys that the provider certainly had at the first look. Raises ProviderError or StoreError for what concerns all keys.
    """
    outcome = Confirmation(file)
    rest = iter(suspects)
    done = 0
    readable = look.provider.can_get(look.job.resource)
    with LocalFile(file) as out:
        while chunk := list(islice(rest, CHUNK)):
            if readable:
                _confirm_chunk(look, chunk, controls, outcome, out, whole=whole)
            else:
                why = f"{look.job.resource} cannot be read by id at {look.job.provider}"
                for suspect in chunk:
                    _leave_open(outcome, suspect.key, why)
            done += len(chunk)
            progress.advance(done, total, "suspects")
    return outcome


def _confirm_chunk(
    look: SecondLook, chunk: list[Discrepancy], controls: Sequence[str], outcome: Confirmation, out: LocalFile, *, whole: bool
) -> None:
    looks, unknown = look.at([suspect.key for suspect in chunk], controls)
    for first in chunk:
        if first.key in unknown:
            _leave_open(outcome, first.key, unknown[first.key])
            continue
        now = looks.get(first.key)
        if now is None:
            msg = f"{look.job.domain}: provider {look.job.provider} gave no answer for {first.key} among {len(chunk)} keys asked for"
            raise ProviderError(msg, hint="its get_many must answer each key exactly once")
        if now.unreadable is not None:
            _leave_open(outcome, first.key, f"unreadable at the second look: {now.unreadable}")
        elif now.discrepancy is None:
            outcome.dismissed[AGREE] += 1
        elif _moved(first, now.discrepancy) or (whole and not _same(first, now.discrepancy)):
            outcome.dismissed[MOVED] += 1
            outcome.unknown_keys.append(first.key)
        else:
            outcome.confirmed[first.kind] += 1
            outcome.by_field.update(now.discrepancy.changed)
            out.write(msgspec.json.encode(now.discrepancy) + b"\n")


def _moved(first: Discrepancy, now: Discrepancy) -> bool:
    return (first.kind, first.source_token, first.target_token) != (now.kind, now.source_token, now.target_token)


def _same(first: Discrepancy, now: Discrepancy) -> bool:
    """Whether every field is as it was, shown ones included, as JSON has them."""
    return msgspec.json.encode(first, order="sorted") == msgspec.json.encode(now, order="sorted")


def recheck(look: SecondLook, keys: Iterable[str], *, controls: Sequence[str], outcome: Confirmation) -> None:
    """Looks by id at keys of earlier nights that tonight's comparison did not show: a listing that leaves an item out proves nothing.

    Those that agree may count as resolved; of the others nothing can be said tonight, and `outcome` takes them up as unknown.
    """
    rest = iter(keys)
    while chunk := list(islice(rest, CHUNK)):
        looks, unknown = look.at(chunk, controls)
        for key in chunk:
            now = looks.get(key)
            if key in unknown or now is None:
                _leave_open(outcome, key, unknown.get(key, "no answer"))
            elif now.unreadable is not None:
                _leave_open(outcome, key, f"unreadable at the second look: {now.unreadable}")
            elif now.discrepancy is not None:
                _leave_open(outcome, key, "open since an earlier night, and left out of tonight's listing")


def _leave_open(outcome: Confirmation, key: str, why: str) -> None:
    # One reason for many keys is one line of the report: what differs from key to key is taken out.
    outcome.unconfirmed[SECONDS.sub("…s", why.replace(quote(key, safe=""), "…").replace(key, "…"))] += 1
    outcome.unknown_keys.append(key)


def write_discrepancies(file: Path, found: Iterable[Discrepancy]) -> None:
    """The same file for discrepancies that were not confirmed, such as those of a plan that is held before the second look."""
    with LocalFile(file) as out:
        for one in found:
            out.write(msgspec.json.encode(one) + b"\n")


def summary_of(counter: Counter[str]) -> dict[str, Any]:
    """Reasons with their counts, the most frequent first, for figures."""
    return dict(counter.most_common(SAMPLES))
