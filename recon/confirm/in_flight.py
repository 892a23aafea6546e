"""Suspects in flight: a side says itself that the item changed after the fetch began, or shortly before.

The fetch saw such an item before or after its change, and what the change set going may still be under way, so nothing is said of it
tonight: it is counted and named, and it is neither new nor resolved. Tomorrow it has come to rest, or not.

A clock that is wrong must not hide an item for ever. What was in flight on an earlier night with the very same values on both sides
has not moved for a night, whatever its time of change says: it is judged like any other suspect, by two looks.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path

import msgspec

from recon.clock import parse_iso
from recon.compare import engine_faults
from recon.confirm.confirmation import CHUNK, SAMPLES, Confirmation, SecondLook
from recon.discrepancy import Discrepancy, DiscrepancyKind
from recon.files import LocalFile
from recon.job import Job
from recon.report.figures import AGREE, InFlight

REVISITED = 1000
"""How many of those in flight are looked at once more: a bulk load under way must not cost a read for each of its items."""

REMEMBERED = 10_000
"""How many of those in flight are remembered from night to night; beyond it they wait until they have come to rest."""

Flights = Mapping[str, tuple[str, str]]
"""Key to the night (`YYYY-MM-DD`) on which it was first in flight as it is, and a fingerprint of how that was."""


def lines(file: Path) -> Iterator[Discrepancy]:
    """Discrepancies out of a file of JSON lines."""
    decoder = msgspec.json.Decoder(Discrepancy)
    with file.open("rb") as read:
        for each in read:
            yield decoder.decode(each)


def changed_at(job: Job, found: Discrepancy) -> datetime | None:
    """The latest time of change that a side names; None where none does."""
    if job.updated is None:
        return None
    moments = []
    for side in (found.source, found.target):
        value = side.get(job.updated) if side is not None else None
        try:
            moments += [parse_iso(value)] if isinstance(value, str) else []
        except ValueError:
            continue
    return max(moments, default=None)


def fingerprint(found: Discrepancy) -> str:
    """What both sides hold, as one short word."""
    return sha256(f"{found.kind}\n{found.source_token}\n{found.target_token}".encode()).hexdigest()[:32]


@dataclass(slots=True)
class Sifted:
    """The suspects of a first look, divided: `suspects()` are to be looked at again, those in `moving` are in flight."""

    suspects: Callable[[], Iterator[Discrepancy]]
    counts: Mapping[DiscrepancyKind, int]
    by_field: Mapping[str, int]
    #: Deletions that could not be told tonight whatever the second look says; they are among the counts.
    waiting: int = 0
    #: How many are in flight, and the file in which they lie.
    in_flight: int = 0
    moving: Path | None = None
    #: What to remember for the nights to come.
    flights: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many are to be looked at again."""
        return sum(self.counts.values())

    @property
    def weighed(self) -> dict[DiscrepancyKind, int]:
        """What a guard counts: the suspects that could become events tonight."""
        counts = dict(self.counts)
        counts[DiscrepancyKind.EXTRA] = counts.get(DiscrepancyKind.EXTRA, 0) - self.waiting
        return counts


def sift(
    job: Job,
    suspects: Callable[[], Iterator[Discrepancy]],
    folder: Path,
    *,
    since: datetime,
    night: str,
    flights: Flights,
    waits: Callable[[Discrepancy], bool] | None = None,
) -> Sifted:
    """Divides the suspects: in flight is what a side says to have changed after `since`, the watermark less the lag.

    `flights` is what earlier nights remembered, `night` is tonight. `waits` says of a deletion that it cannot be told tonight.
    """
    sifted = Sifted(suspects, {}, {}, moving=folder / "in_flight.jsonl")
    counts: Counter[DiscrepancyKind] = Counter()
    by_field: Counter[str] = Counter()
    settled = folder / "suspects.jsonl"
    assert sifted.moving is not None
    with (
        engine_faults(f"{job.domain}: writing down the suspects", folder),
        LocalFile(settled) as rest,
        LocalFile(sifted.moving) as moving,
    ):
        for found in suspects():
            moment = changed_at(job, found)
            late = moment is not None and moment > since
            if late and not _believed(sifted, found, flights, night):
                sifted.in_flight += 1
                moving.write(msgspec.json.encode(found) + b"\n")
                continue
            counts[found.kind] += 1
            by_field.update(found.changed)
            sifted.waiting += waits is not None and waits(found)
            rest.write(msgspec.json.encode(found) + b"\n")
    sifted.suspects, sifted.counts, sifted.by_field = lambda: lines(settled), counts, by_field
    return sifted


def _believed(sifted: Sifted, found: Discrepancy, flights: Flights, night: str) -> bool:
    """Whether it was in flight on an earlier night just as it is; remembers it either way, for as long as it stays so."""
    now = fingerprint(found)
    first, before = flights.get(found.key, ("", ""))
    since = first if before == now else night
    if len(sifted.flights) < REMEMBERED:
        sifted.flights[found.key] = (since, now)
    return since < night


def revisit(look: SecondLook | None, job: Job, sifted: Sifted, *, controls: Sequence[str], outcome: Confirmation) -> None:
    """Takes those in flight up into `outcome`, but for those that agree by now: of the first of them that is asked once more.

    Without a `look` nothing is read.
    """
    if not sifted.in_flight or sifted.moving is None:
        return
    agreed = _agreed(look, sifted.moving, controls) if look is not None else ()
    outcome.dismissed.update([AGREE] * len(agreed))
    for found in lines(sifted.moving):
        if found.key in agreed:
            sifted.flights.pop(found.key, None)
            continue
        outcome.in_flight += 1
        outcome.unknown_keys.append(found.key)
        moment = changed_at(job, found)
        if moment is not None and len(outcome.in_flight_keys) < SAMPLES:
            outcome.in_flight_keys.append(InFlight(key=found.key, updated=moment))


def _agreed(look: SecondLook, moving: Path, controls: Sequence[str]) -> Collection[str]:
    agreed: set[str] = set()
    first = islice(lines(moving), REVISITED)
    while chunk := [found.key for found in islice(first, CHUNK)]:
        looks, unknown = look.at(chunk, controls)
        for key in chunk:
            now = looks.get(key)
            if key not in unknown and now is not None and now.unreadable is None and now.discrepancy is None:
                agreed.add(key)
    return agreed
