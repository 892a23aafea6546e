"""The figures of one run, frozen: everything a report says is said from these, and nothing else.

`RunFigures` is small whatever the run's size; the discrepancies themselves come as `Item`s, streamed from the ledger.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from recon.discrepancy import DiscrepancyKind
from recon.fetch.coverage import Coverage

AGREE = "both sides agree now"
MOVED = "changed between the two looks"
LEFT_OUT = "left out of the listing, and there all the same"
"""Why a suspect was dismissed at the second look; one that moved leaves a doubt, one that agrees leaves none."""


class Verdict(StrEnum):
    """What a run may say of its domain; CLEAN only of a proven, whole comparison that found nothing."""

    CLEAN = "clean"
    DISCREPANCIES = "discrepancies"
    HELD = "held"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    #: Of a run for single keys only: what was asked for agrees; nothing is said of the rest.
    AGREES = "agrees"


class Standing(StrEnum):
    """An item's place in its life across nights."""

    NEW = "new"
    CONTINUING = "continuing"
    RESOLVED = "resolved"
    ACKNOWLEDGED = "acknowledged"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRead:
    """The target's or source's side that came from a store."""

    store: str
    relation: str
    rows: int
    unreadable: int
    isolation: str
    taken_at: datetime
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """A key that one side holds more than once; `place` is `provider` or `store`."""

    place: str
    key: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """An item that could not be understood; `key` is None where not even that could be read."""

    place: str
    key: str | None
    field: str | None
    why: str
    sample: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """A suspect that moved too late to be judged, and the latest time of change that a side names."""

    key: str
    updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardFigure:
    """One guard: what was counted against what limit. `limit` and `share` are shares (0.02 is 2%)."""

    name: str
    count: int
    of: int
    share: float
    limit: float
    floor: int
    tripped: bool
    message: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """How often one value stands for another in one field; values as a reader should see them.

    `before` is what the target holds, `after` what the source holds: what a correction turns into what.
    """

    field: str
    before: str
    after: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedBucket:
    """How many of the missing items were created from `start` on, for `seconds`."""

    start: datetime
    seconds: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedWindow:
    """When the missing ones were created; `sentence` names the window that holds most of them, or is empty.

    Where there is such a window the buckets show it and what is near; `earlier` and `later` count what lies outside the buckets.
    """

    buckets: tuple[CreatedBucket, ...]
    sentence: str = ""
    earlier: int = 0
    later: int = 0
    #: The densest window, where there is a sentence: from (including) and to (excluding).
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFigure:
    """The plan: how many events of which operation, its checksum, and where it stands (none, held, approved, enqueued, …)."""

    checksum: str
    events: int
    by_type: Mapping[str, int]
    state: str
    expires_at: datetime | None = None
    approved_by: str | None = None
    reason: str | None = None
    #: What a held plan rests on (fields, publisher, …), each part with a digest: an approval holds only while they stand.
    terms: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OlderFigure:
    """What became of the same events in an older version, sent beside the newest."""

    version: int
    confirmed: int = 0
    duplicates: int = 0
    waiting: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """Keys that stand still at a destination: their oldest event was tried and not taken, and later ones wait behind it."""

    keys: int
    behind: int
    #: The one that has stood longest: its item, since when, how often it was tried, and what was answered last.
    domain: str
    key: str
    since: datetime
    attempts: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFigure:
    """What became of the events at one destination: confirmed means that the receiving server said so.

    An event that is sent in two versions counts once, in the newest; `older` has the others, newest first.
    """

    publisher: str
    confirmed: int = 0
    duplicates: int = 0
    waiting: int = 0
    dead: int = 0
    last_reason: str = ""
    older: tuple[OlderFigure, ...] = ()
    #: What stands still; None where nothing does.
    parked: Parked | None = None
    #: What waits for this destination in all domains, where that is more than `[delivery] backlog`.
    backlog: int = 0

    @property
    def undelivered(self) -> int:
        """What waits or was refused for good, in any version."""
        return self.waiting + self.dead + sum(one.waiting + one.dead for one in self.older)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unheeded:
    """A correction that was delivered, and whose discrepancy is there all the same: the consumer has not acted, or something undid it."""

    key: str
    #: On how many nights it was found, and how often its events were confirmed since the first; when last, and by which destinations.
    nights: int
    deliveries: int = 0
    last_at: datetime | None = None
    publishers: tuple[str, ...] = ()
    #: The ids of those events, oldest first.
    events: tuple[str, ...] = ()
    #: Whether it is told under a new id from now on.
    raised: bool = False
    #: The new id that it got on an earlier night, while no event under that has been delivered: its plan is held, or it waits.
    untold: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Convergence:
    """What a look says of corrections that had been delivered before it: healed only where both sides were seen to agree."""

    healed: int = 0
    persisting: int = 0
    #: Delivered, and not to be judged by this look.
    unknown: int = 0
    #: Of the persisting, those that are told under a new id from now on.
    raised: int = 0
    #: The longest time between the first delivery of one that healed and the look that saw it, in seconds.
    healed_within: float | None = None
    #: The persisting ones that were found on the most nights.
    unheeded: tuple[Unheeded, ...] = ()
    #: Whether the run looked at these and at nothing else (`recon run --verify`).
    alone: bool = False

    @property
    def delivered(self) -> int:
        """How many corrections it is about."""
        return self.healed + self.persisting + self.unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPoint:
    """A past run, for the sparkline and the index."""

    run: str
    started_at: datetime
    verdict: Verdict
    discrepancies: int
    compared: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a run is incomplete or failed: what happened, and the exact next command or step."""

    kind: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One discrepancy as the report shows it: one row of the table, opened to both records.

    `source` and `target` are the full field maps (wire values), None where the side lacks the item. `money` is in minor units of `currency`.
    """

    key: str
    kind: DiscrepancyKind
    standing: Standing
    changed: tuple[str, ...]
    source: Mapping[str, Any] | None
    target: Mapping[str, Any] | None
    first_seen: datetime
    nights: int
    event: str | None = None
    link: str | None = None
    created_at: datetime | None = None
    money: int | None = None
    currency: str | None = None
    acknowledged: str | None = None
    #: On how many nights it must be confirmed before it is corrected; 0 where nothing more is waited for.
    waits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFigures:
    """Everything about one run of one domain but its items. Times are UTC, durations in seconds."""

    run: str
    domain: str
    description: str
    direction: str
    provider: str
    resource: str
    trigger: str
    slot: datetime | None
    timezone: str
    started_at: datetime
    finished_at: datetime
    version: str
    state: str
    verdict: Verdict
    exit_code: int
    #: Since when both sides are known to agree: the start of the last whole fetch whose comparison found nothing.
    consistent_as_of: datetime | None
    coverage: Coverage | None = None
    #: The certificate of the second listing, where the third party reads no single items and there were suspects.
    second: Coverage | None = None
    store: StoreRead | None = None
    compared: int = 0
    equal: int = 0
    #: Rows of the store that a partial fetch did not come to: nothing is said of them.
    unjudged: int = 0
    suspects: int = 0
    missing: int = 0
    extra: int = 0
    changed: int = 0
    new: int = 0
    new_by_kind: Mapping[str, int] | None = None
    continuing: int = 0
    resolved: int = 0
    acknowledged: int = 0
    #: Suspects that had gone away or moved at the second look, by reason in words.
    dismissed: Mapping[str, int] | None = None
    #: Suspects of which the second look could say nothing: counted, not emitted, and no run with one is clean.
    unconfirmed: int = 0
    #: Why, in words, with counts.
    unconfirmed_why: Mapping[str, int] | None = None
    #: Suspects that a side says to have changed after `in_flight_since`, the watermark less the lag: nothing is said of them tonight.
    in_flight: int = 0
    in_flight_since: datetime | None = None
    #: The first of them.
    in_flight_keys: tuple[InFlight, ...] = ()
    #: Deletions that are confirmed and told only once they were so on `delete_nights` nights.
    waiting: int = 0
    delete_nights: int = 1
    #: Keys that the provider certainly had at the first look: a 404 counts only while one of them is found.
    controls: tuple[str, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    duplicate_keys: int = 0
    unreadable: tuple[Unreadable, ...] = ()
    unreadable_items: int = 0
    guards: tuple[GuardFigure, ...] = ()
    #: Field name to how many changed items differ in it.
    by_field: Mapping[str, int] | None = None
    transitions: tuple[Transition, ...] = ()
    created: CreatedWindow | None = None
    #: Currency to minor units, over all open discrepancies.
    money: Mapping[str, int] | None = None
    plan: PlanFigure | None = None
    #: At the first destination, which is the one that heals.
    delivery: DeliveryFigure | None = None
    #: At each destination, in the order in which the job names them.
    deliveries: tuple[DeliveryFigure, ...] = ()
    #: What became of corrections that were delivered before this run looked; None where there were none.
    convergence: Convergence | None = None
    problem: Problem | None = None
    #: Stage name to seconds, in the order they ran.
    stages: Mapping[str, float] | None = None
    history: tuple[RunPoint, ...] = ()
    dry_run: bool = False
    #: Fields, and `key` for the key, that are personal: shown by a keyed hash, `hmac:…`, wherever they stand.
    personal: tuple[str, ...] = ()

    @property
    def delivered(self) -> tuple[DeliveryFigure, ...]:
        """What became of the events at each destination; of a run of an earlier version, which had one, that one."""
        return self.deliveries or ((self.delivery,) if self.delivery is not None else ())

    @property
    def discrepancies(self) -> int:
        """Confirmed discrepancies, acknowledged ones not counted."""
        return self.missing + self.extra + self.changed
