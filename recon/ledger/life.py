"""What one more sighting does to a discrepancy's life: the rules of the ledger, without the database.

An event's id is a hash of the fact it tells. Four things could still make a consumer that goes by ids alone drop a correction it needs,
and the *generation*, which is part of the hash, is raised against each:

- the discrepancy was resolved and has come back (A, B, A);
- what the sides hold changed and changed back while it was open;
- its event was confirmed, and so many nights later (`raise_after` of the job) it is still there (a late webhook undid it, or the consumer lost it).

Seen again unchanged, it keeps its id: it is the same fact.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from recon.discrepancy import Discrepancy, DiscrepancyKind
from recon.event import event_id
from recon.job import Operation

PATIENCE = 2
"""On how many nights after a confirmed event the discrepancy must still be there for the correction to get a new id, unless the job says otherwise."""

AHEAD = timedelta(days=2)
"""A night that lies farther ahead than this was counted by a clock that has been set back since."""

OPERATIONS: dict[DiscrepancyKind, Operation] = {
    DiscrepancyKind.MISSING: "created",
    DiscrepancyKind.EXTRA: "deleted",
    DiscrepancyKind.CHANGED: "updated",
}
"""What brings the target to what the source says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One key's place in the ledger. An *episode* is the time from when the key was found to differ until it was seen to agree."""

    kind: DiscrepancyKind
    source_token: str
    target_token: str
    #: False once it was resolved.
    open: bool
    #: How many different facts were told of this key.
    generation: int
    #: The id of the event that corrects it.
    event_id: str
    #: The id of the confirmed event that this one replaces.
    supersedes: str | None
    #: The run and time that found it first in this episode.
    first_run: str
    first_seen: datetime
    last_run: str
    last_seen: datetime
    #: On how many different local nights it was seen in this episode, and the last of them, `YYYY-MM-DD`. Where the source lacks it,
    #: only the nights since it did: an item that was back in between is not gone for longer than since then.
    nights: int
    last_night: str
    #: On how many nights it was still there although its event had been confirmed.
    unheeded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """The circumstances of one run: its id, when it looked, its local date, and the events' source (`/recon/shop/orders`)."""

    run: str
    at: datetime
    night: str
    source: str

    def identify(self, found: Discrepancy, generation: int) -> str:
        """The id of the event that corrects this discrepancy."""
        return event_id(
            source=self.source,
            key=found.key,
            op=OPERATIONS[found.kind],
            source_token=found.source_token,
            target_token=found.target_token,
            generation=generation,
        )


def seen(life: Life | None, found: Discrepancy, sighting: Sighting, *, confirmed: bool, patience: int = PATIENCE) -> Life:
    """The life after this sighting. `confirmed`: a receiver had confirmed its event before this run began to look.

    `patience` is on how many nights after that it must still be there for its correction to get a new id.

    A second sighting by the same run changes nothing, so a run that is gone on with may record again.
    """
    if life is None:
        return _begun(found, sighting, 1)
    # The target holds what the confirmed event told it: that discrepancy was healed unseen, and this is another one.
    healed = confirmed and found.target_token == life.source_token
    if not life.open or healed:
        return _begun(found, sighting, life.generation + 1)
    another_night = sighting.night > life.last_night
    unheeded = life.unheeded + (1 if confirmed and another_night else 0)
    changed = (found.kind, found.source_token, found.target_token) != (life.kind, life.source_token, life.target_token)
    after = replace(
        life,
        last_run=sighting.run,
        last_seen=sighting.at,
        nights=life.nights + another_night,
        last_night=sighting.night if _lies_ahead(life.last_night, sighting.night) else max(life.last_night, sighting.night),
        unheeded=unheeded,
    )
    if not changed and unheeded < patience:
        return after
    generation = life.generation + 1
    gone = found.kind is DiscrepancyKind.EXTRA and life.kind is not DiscrepancyKind.EXTRA
    return replace(
        after,
        nights=1 if gone else after.nights,
        kind=found.kind,
        source_token=found.source_token,
        target_token=found.target_token,
        generation=generation,
        event_id=sighting.identify(found, generation),
        supersedes=life.event_id if confirmed else life.supersedes,
        unheeded=0,
    )


def _lies_ahead(last_night: str, night: str) -> bool:
    """Whether the last night was counted while the clock ran ahead; kept, no night would count until then. Less than days is a zone or a small step."""
    return date.fromisoformat(last_night) - date.fromisoformat(night) > AHEAD


def _begun(found: Discrepancy, sighting: Sighting, generation: int) -> Life:
    return Life(
        kind=found.kind,
        source_token=found.source_token,
        target_token=found.target_token,
        open=True,
        generation=generation,
        event_id=sighting.identify(found, generation),
        supersedes=None,
        first_run=sighting.run,
        first_seen=sighting.at,
        last_run=sighting.run,
        last_seen=sighting.at,
        nights=1,
        last_night=sighting.night,
    )
