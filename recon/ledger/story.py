"""Everything that is known of one key: its place in the ledger, the runs that saw it, and what became of its events."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from recon.discrepancy import DiscrepancyKind
from recon.ledger import acks
from recon.ledger.acks import Ack
from recon.state.run import VERIFIED
from recon.state.tables import WAITS, events, findings, ledger, outbox, runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One run's word on the key. `standing` is new, continuing, resolved or acknowledged."""

    run: str
    at: datetime
    kind: DiscrepancyKind
    standing: str
    changed: tuple[str, ...]
    source: Mapping[str, Any] | None
    target: Mapping[str, Any] | None
    event: str
    #: What the run looked at: `all`, `verify` (what was corrected) or `item` (this one alone).
    look: str = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One event of the key at one destination. `state` is waiting, sent, dead or withdrawn."""

    event: str
    type: str
    run: str
    publisher: str
    emission: int
    state: str
    attempts: int
    enqueued_at: datetime
    sent_at: datetime | None
    reason: str | None
    #: The older version of its data; 0 for the newest.
    version: int = 0
    tried_at: datetime | None = None
    #: The receiver said that it had it already.
    duplicate: bool = False
    #: The replay that it belongs to.
    replay: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A key's life. Without `kind` the key was never found to differ."""

    domain: str
    key: str
    kind: DiscrepancyKind | None = None
    #: Whether it differs as far as is known.
    open: bool = False
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    nights: int = 0
    generation: int = 0
    event: str | None = None
    resolved_at: datetime | None = None
    resolved_run: str | None = None
    ack: Ack | None = None
    #: Newest first.
    told: tuple[Told, ...] = ()
    sent: tuple[Sent, ...] = ()


def story_in(conn: Connection, domain: str, key: str, limit: int = 30) -> Story:
    """The story, its lists cut at `limit`."""
    found = (
        select(findings, runs.c.started_at.label("at"), runs.c.key.label("only"))
        .join(runs, runs.c.id == findings.c.run_id)
        .where(findings.c.domain == domain, findings.c.key == key)
        .order_by(findings.c.run_id.desc())
        .limit(limit)
    )
    told = tuple(
        Told(
            run=row.run_id,
            at=row.at,
            kind=DiscrepancyKind(row.kind),
            standing=row.standing,
            changed=tuple(row.changed),
            source=row.source,
            target=row.target,
            event=row.event_id,
            look="all" if row.only is None else "verify" if row.only == VERIFIED else "item",
        )
        for row in conn.execute(found)
    )
    rows = select(outbox, events.c.type).join(events, events.c.id == outbox.c.event_id)
    # By the events of the key, each in the index of what waits and in that of what does not.
    mine = select(events.c.id).where(events.c.domain == domain, events.c.key == key)
    rows = rows.where(or_(*(and_(outbox.c.event_id.in_(mine), state) for state in (outbox.c.state == WAITS, outbox.c.state != WAITS))))
    sent = tuple(
        Sent(
            event=row.event_id,
            type=row.type,
            run=row.run_id,
            publisher=row.publisher,
            emission=row.emission,
            state=row.state,
            attempts=row.attempts,
            enqueued_at=row.enqueued_at,
            sent_at=row.sent_at,
            reason=row.reason,
            version=max(row.version, 0),
            tried_at=row.tried_at,
            duplicate=bool(row.duplicate),
            replay=row.replay,
        )
        for row in conn.execute(rows.order_by(outbox.c.seq.desc()).limit(limit))
    )
    ack = acks.find_in(conn, domain, key)
    life = conn.execute(select(ledger).where(ledger.c.domain == domain, ledger.c.key == key)).one_or_none()
    if life is None:
        return Story(domain=domain, key=key, ack=ack, told=told, sent=sent)
    return Story(
        domain=domain,
        key=key,
        kind=DiscrepancyKind(life.kind),
        open=life.state == "open",
        first_seen=life.first_seen,
        last_seen=life.last_seen,
        nights=life.nights,
        generation=life.generation,
        event=life.event_id,
        resolved_at=life.resolved_at,
        resolved_run=life.resolved_run,
        ack=ack,
        told=told,
        sent=sent,
    )
