"""What the second look said of the suspects."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import msgspec

from recon.compare import Look
from recon.discrepancy import Discrepancy, DiscrepancyKind
from recon.errors import ProviderError
from recon.files import LocalFile
from recon.job import Job
from recon.personal import Veil
from recon.progress import Progress
from recon.redact import redact
from recon.report.figures import AGREE, LEFT_OUT, MOVED, InFlight

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
    #: Of the confirmed, the deletions that are told only on a later night.
    waiting: int = 0
    #: Of the unconfirmed, those of which the second look got no answer that proves anything: another try may.
    unanswered: int = 0
    #: Suspects that moved too late to be judged tonight; the first of them by key.
    in_flight: int = 0
    in_flight_keys: list[InFlight] = field(default_factory=list)
    #: Keys of which nothing could be said; they are neither new nor resolved tonight.
    unknown_keys: list[str] = field(default_factory=list)

    @property
    def weighed(self) -> dict[DiscrepancyKind, int]:
        """What a guard counts: the confirmed ones that may become events tonight."""
        counts = dict(self.confirmed)
        counts[DiscrepancyKind.EXTRA] = counts.get(DiscrepancyKind.EXTRA, 0) - self.waiting
        return counts

    @property
    def proved_nothing(self) -> bool:
        """Whether not one suspect could be looked at again, for want of an answer: the third party went away."""
        return bool(self.unanswered) and not self.confirmed and not self.dismissed

    def discrepancies(self) -> Iterator[Discrepancy]:
        """The confirmed ones, streamed."""
        decoder = msgspec.json.Decoder(Discrepancy)
        with self.file.open("rb") as lines:
            for line in lines:
                yield decoder.decode(line)


class SecondLook(Protocol):
    """A way of looking again: by id (`ById`), or in a second listing (`ByListing`)."""

    @property
    def job(self) -> Job:
        """What is compared."""
        ...

    def at(self, keys: list[str], controls: Sequence[str]) -> tuple[dict[str, Look], dict[str, str]]:
        """What each key looks like now, and for those of which nothing is known, why."""
        ...


def confirm(
    look: SecondLook,
    suspects: Iterable[Discrepancy],
    *,
    controls: Sequence[str],
    file: Path,
    total: int,
    progress: Progress,
    whole: bool = False,
    waits: Callable[[Discrepancy], bool] | None = None,
    veil: Veil | None = None,
) -> Confirmation:
    """Reads every suspect again, in chunks, and writes the confirmed ones to `file`.

    `whole` asks that fields which are only shown are as at the first look too: what a person approved is what goes out. `waits` says
    of a deletion that it is told only on a later night. What `veil` hides of the suspects stands in no reason and no error.

    `controls` are keys that the provider certainly had at the first look. Raises ProviderError or StoreError for what concerns all keys.
    """
    outcome = Confirmation(file)
    rest = iter(suspects)
    done = 0
    with LocalFile(file) as out:
        while chunk := list(islice(rest, CHUNK)):
            for found in _confirm_chunk(look, chunk, controls, outcome, whole=whole, veil=veil):
                outcome.waiting += waits is not None and waits(found)
                out.write(msgspec.json.encode(found) + b"\n")
            done += len(chunk)
            progress.advance(done, total, "suspects")
    return outcome


def _confirm_chunk(
    look: SecondLook, chunk: list[Discrepancy], controls: Sequence[str], outcome: Confirmation, *, whole: bool, veil: Veil | None
) -> Iterator[Discrepancy]:
    """The confirmed ones of a chunk, as the second look saw them."""
    sides = (side for suspect in chunk for side in (suspect.source, suspect.target))
    with veil.hiding((), sides) if veil is not None else nullcontext():
        looks, unknown = look.at([suspect.key for suspect in chunk], controls)
    for first in chunk:
        if first.key in unknown:
            outcome.unanswered += 1
            leave_open(outcome, first.key, unknown[first.key])
            continue
        now = looks.get(first.key)
        if now is None:
            msg = f"{look.job.domain}: provider {look.job.provider} gave no answer for {first.key if veil is None else veil.key(first.key)} among {len(chunk)} keys asked for"
            raise ProviderError(msg, hint="its get_many must answer each key exactly once")
        if now.unreadable is not None:
            leave_open(outcome, first.key, f"unreadable at the second look: {now.unreadable}")
        elif now.discrepancy is None:
            outcome.dismissed[LEFT_OUT if not whole and _left_out(look.job, first) else AGREE] += 1
        elif _moved(look.job, first, now.discrepancy) or (whole and not _same(first, now.discrepancy)):
            outcome.dismissed[MOVED] += 1
            outcome.unknown_keys.append(first.key)
        else:
            outcome.confirmed[first.kind] += 1
            outcome.by_field.update(now.discrepancy.changed)
            yield now.discrepancy


def _moved(job: Job, first: Discrepancy, now: Discrepancy) -> bool:
    """Whether either side is not as it was; also one that moved and moved back, where it says when it last changed."""
    return (first.kind, first.source_token, first.target_token, *_times(job, first)) != (
        now.kind,
        now.source_token,
        now.target_token,
        *_times(job, now),
    )


def _times(job: Job, found: Discrepancy) -> tuple[Any, Any]:
    """Each side's own time of change, where the job names one."""
    if job.updated is None:
        return None, None
    return tuple(side.get(job.updated) if side is not None else None for side in (found.source, found.target))  # type: ignore[return-value]  # two sides, two times


def _left_out(job: Job, first: Discrepancy) -> bool:
    """Whether the listing lacked an item, now found, that had last changed before the fetch began: what changed later is in flight.

    Such a listing was not whole, whatever it said, and what else it lacks nobody knows.
    """
    unlisted = DiscrepancyKind.EXTRA if job.direction == "inbound" else DiscrepancyKind.MISSING
    return first.kind is unlisted and any(moment is not None for moment in _times(job, first))


def _same(first: Discrepancy, now: Discrepancy) -> bool:
    """Whether every field is as it was, shown ones included, as JSON has them."""
    return msgspec.json.encode(first, order="sorted") == msgspec.json.encode(now, order="sorted")


def recheck(look: SecondLook, keys: Iterable[str], *, controls: Sequence[str], outcome: Confirmation) -> None:
    """Looks again at keys of earlier nights that tonight's comparison did not show: a listing that leaves an item out proves nothing.

    Those that agree may count as resolved; of the others nothing can be said tonight, and `outcome` takes them up as unknown.
    """
    rest = iter(keys)
    while chunk := list(islice(rest, CHUNK)):
        looks, unknown = look.at(chunk, controls)
        for key in chunk:
            now = looks.get(key)
            if key in unknown or now is None:
                outcome.unanswered += 1
                leave_open(outcome, key, unknown.get(key, "no answer"))
            elif now.unreadable is not None:
                leave_open(outcome, key, f"unreadable at the second look: {now.unreadable}")
            elif now.discrepancy is not None:
                leave_open(outcome, key, "open since an earlier night, and left out of tonight's listing")


def without(key: str, why: str) -> str:
    """The reason without its key."""
    return why.replace(quote(key, safe=""), "…").replace(key, "…")


def leave_open(outcome: Confirmation, key: str, why: str) -> None:
    """Of this key nothing can be said tonight, and why."""
    # One reason for many keys is one line of the report: what differs from key to key is taken out.
    outcome.unconfirmed[SECONDS.sub("…s", without(key, redact(why)))] += 1
    outcome.unknown_keys.append(key)


def write_discrepancies(file: Path, found: Iterable[Discrepancy]) -> None:
    """The same file for discrepancies that were not confirmed, such as those of a plan that is held before the second look."""
    with LocalFile(file) as out:
        for one in found:
            out.write(msgspec.json.encode(one) + b"\n")


def summary_of(counter: Counter[str]) -> dict[str, Any]:
    """Reasons with their counts, the most frequent first, for figures."""
    return dict(counter.most_common(SAMPLES))
