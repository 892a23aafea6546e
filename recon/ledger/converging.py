"""What became of corrections that were delivered: healed, persisting, or not to be judged by this look.

An event is delivered once the job's first destination has confirmed it (`recon.state.confirmed`), and counts for a look that began after that.
A correction that got a new id is the same one: while that event is held, or waits, the delivery of the one that it supersedes counts.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import nlargest
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select, type_coerce

from recon.ledger.life import Life
from recon.report.figures import Convergence, Standing, Unheeded
from recon.state.confirmed import confirmed_at
from recon.state.database import State
from recon.state.tables import OPEN, WAITS, Instant, events, findings, ledger, outbox

earlier = events.alias("earlier")
"""The event that the present one supersedes."""

SHOWN = 20
"""How many persisting corrections are named in the figures."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """An open discrepancy whose correction was delivered: what it was, and when a receiver first confirmed that."""

    kind: str
    source_token: str
    target_token: str
    confirmed_at: datetime


def delivered(state: State, domain: str) -> Mapping[str, Delivered]:
    """The open discrepancies of a domain whose correction was delivered, by key, in order."""
    confirmed = type_coerce(func.coalesce(confirmed_at(), confirmed_at(earlier)), Instant)
    columns = ledger.c.key, ledger.c.kind, ledger.c.source_token, ledger.c.target_token, confirmed
    query = select(*columns).select_from(_told(ledger)).where(*_open(domain)).order_by(ledger.c.key)
    with state.read() as conn:
        return {row[0]: Delivered(*row[1:]) for row in conn.execute(query) if row[-1] is not None}


class Tally:
    """The corrections of one domain that had been delivered before a run `looked_at` it, counted while what it found is written down."""

    def __init__(self, conn: Connection, domain: str, looked_at: datetime, only_keys: Collection[str] | None) -> None:
        self.conn = conn
        self.domain = domain
        self.looked_at = looked_at
        self.before = self._before(only_keys)
        self.persisting = self.raised = self.unseen = 0
        self.worst: list[tuple[int, str, datetime, bool, str]] = []

    def _before(self, only_keys: Collection[str] | None) -> int:
        query = select(ledger.c.key).select_from(_told(ledger)).where(*_open(self.domain), self._delivered())
        if only_keys is None:
            return int(self.conn.execute(select(func.count()).select_from(query.subquery())).scalar_one())
        wanted = set(only_keys)
        return sum(key in wanted for key in self.conn.execute(query).scalars())

    def _delivered(self) -> ColumnElement[bool]:
        return or_(*(confirmed_at(one) < self.looked_at for one in (events, earlier)))

    def seen(self, key: str, before: Life, after: Life) -> None:
        """A discrepancy whose event, or the one that it supersedes, had been confirmed is there again."""
        if after.first_run != before.first_run or after.first_seen != before.first_seen:
            # The target held what it was told, and differs anew.
            self.unseen += 1
            return
        raised = after.event_id != before.event_id
        self.persisting += 1
        self.raised += raised
        self.worst = nlargest(SHOWN, [*self.worst, (after.nights, key, after.first_seen, raised, after.event_id)])

    def figure(self, run_id: str, now: datetime) -> Convergence | None:
        """The sum of it, once everything is written down; None where nothing had been delivered."""
        resolved = and_(findings.c.run_id == run_id, findings.c.standing == Standing.RESOLVED)
        told = (
            select(confirmed_at().label("at"), confirmed_at(earlier).label("before"))
            .select_from(_told(findings))
            .where(resolved)
            .subquery()
        )
        last = case((told.c.at < self.looked_at, told.c.at), else_=told.c.before)
        known = or_(told.c.at < self.looked_at, told.c.before < self.looked_at)
        count, first = self.conn.execute(select(func.count(), func.min(last, type_=Instant)).where(known)).one()
        healed = int(count) + self.unseen
        unknown = max(0, self.before - healed - self.persisting)
        if not healed + self.persisting + unknown:
            return None
        return Convergence(
            healed=healed,
            persisting=self.persisting,
            unknown=unknown,
            raised=self.raised,
            healed_within=round((now - first).total_seconds(), 3) if first is not None else None,
            unheeded=tuple(self._unheeded()),
        )

    def _unheeded(self) -> Iterable[Unheeded]:
        """The worst, each with the events that were delivered since it was first found."""
        if not self.worst:
            return
        # The state that the index of what does not wait asks for.
        sent = outbox.c.state == "sent", outbox.c.state != WAITS
        query = select(events.c.key, events.c.id, events.c.created_at, outbox.c.publisher, outbox.c.emission, outbox.c.sent_at)
        query = query.join(outbox, outbox.c.event_id == events.c.id).order_by(outbox.c.sent_at, outbox.c.seq)
        rows = self.conn.execute(query.where(events.c.domain == self.domain, events.c.key.in_([one[1] for one in self.worst]), *sent)).all()
        for nights, key, since, raised, now in self.worst:
            told = [row for row in rows if row.key == key and row.created_at >= since]
            yield Unheeded(
                key=key,
                nights=nights,
                # Handed over once, however many destinations and versions it went to.
                deliveries=len({(row.id, row.emission) for row in told}),
                last_at=told[-1].sent_at if told else None,
                publishers=tuple(dict.fromkeys(row.publisher for row in told)),
                events=tuple(dict.fromkeys(row.id for row in told)),
                raised=raised,
                untold=now if not raised and all(row.id != now for row in told) else None,
            )


def alone(found: Convergence | None) -> Convergence:
    """The same of a run that looked at nothing else."""
    return replace(found or Convergence(), alone=True)


def _told(rows: Any) -> Any:
    """The ledger's entries or a run's findings, each beside its event, where that was ever emitted, and the one that it supersedes."""
    return rows.outerjoin(events, events.c.id == rows.c.event_id).outerjoin(earlier, earlier.c.id == rows.c.supersedes)


def _open(domain: str) -> tuple[Any, ...]:
    return ledger.c.domain == domain, ledger.c.state == OPEN
