"""Dead letters: events that a destination refused for good. A person mends the reason and sends them again, or lets them go."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, case, exists, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from recon.errors import BadRequest
from recon.ledger.withdrawing import healed_elsewhere
from recon.state.bulk import among
from recon.state.database import State
from recon.state.tables import WAITS, events, leases, ledger, outbox

TRIES = 5
"""So often dead letters are put back to wait, where each time a replay had put one of them there in the same moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An event that its destination refused for good, and why.

    `current`: its discrepancy is open still, and this is what it says, or it healed through another destination, and this one lacks it.
    """

    event: str
    domain: str
    key: str
    type: str
    publisher: str
    run: str
    at: datetime
    reason: str
    current: bool
    #: The older version of its data that was refused; 0 for the newest.
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """What became of those that were asked for: on their way again, or left, since they tell what is not so any more."""

    again: int
    stale: int


class DeadLetters:
    """The dead letters in a state database."""

    def __init__(self, state: State) -> None:
        self.state = state

    def list(
        self, *, domain: str | None = None, publisher: str | None = None, event: str | None = None, limit: int = 100
    ) -> list[DeadLetter]:
        """Newest first. One that was sent again since is none."""
        columns = (
            outbox.c.event_id.label("event"),
            outbox.c.domain,
            events.c.key,
            events.c.type,
            outbox.c.publisher,
            outbox.c.run_id.label("run"),
            outbox.c.tried_at.label("at"),
            func.coalesce(outbox.c.reason, "").label("reason"),
            _current().label("current"),
            case((outbox.c.version > 0, outbox.c.version), else_=0).label("version"),
        )
        query = select(*columns).join(events, events.c.id == outbox.c.event_id).where(*_dead(domain, publisher, event))
        with self.state.read() as conn:
            return [DeadLetter(**row._mapping) for row in conn.execute(query.order_by(outbox.c.seq.desc()).limit(limit))]  # noqa: SLF001 - SQLAlchemy's public name of a row as a mapping

    def count(self, *, domain: str | None = None, publisher: str | None = None, event: str | None = None) -> int:
        """How many there are."""
        query = select(func.count()).select_from(outbox).where(*_dead(domain, publisher, event))
        with self.state.read() as conn:
            return conn.execute(query).scalar_one()

    def redrive(
        self, *, domain: str | None = None, publisher: str | None = None, event: str | None = None, stale: bool = False
    ) -> Redriven:
        """Puts them back to wait, due now, with the same id and bytes. Raises BadRequest where there is none.

        One whose discrepancy is resolved, or says something else by now, is left where it is unless `stale`: sent late, it would undo
        what is right. One that waits again by itself counts as on its way.
        """
        with self.state.begin() as conn:
            asked = _dead(domain, publisher, event)
            _hold(conn, asked)
            now = self.state.now(conn)
            seqs = conn.execute(select(outbox.c.seq).where(*asked).order_by(outbox.c.seq)).scalars().all()
            _refuse_none(seqs, domain, publisher, event)
            mine = [*asked] if stale else [*asked, _current()]
            again = update(outbox).where(outbox.c.seq.in_(select(outbox.c.seq).where(*mine)))
            for left in reversed(range(TRIES)):
                try:
                    with conn.begin_nested():
                        conn.execute(again.values(state="waiting", due_at=now, enqueued_at=now, attempts=0))
                    break
                except IntegrityError:
                    # A replay had put the same event to wait, and has committed by now: it is seen, and is none of these any more.
                    if not left:
                        raise
            stays = select(func.count()).select_from(outbox).where(among(conn, outbox.c.seq, seqs), *asked)
            left_there = conn.execute(stays).scalar_one()
            return Redriven(again=len(seqs) - left_there, stale=left_there)

    def discard(self, *, by: str, reason: str, domain: str | None = None, publisher: str | None = None, event: str | None = None) -> int:
        """Lets them go, with a person's name and reason; the event itself stays in the store. Raises BadRequest where there is none."""
        if not reason.strip():
            msg = "a discarded event wants a reason"
            raise BadRequest(msg, hint='--reason "…": it stands in what recon explain tells of the item')
        with self.state.begin() as conn:
            asked = _dead(domain, publisher, event)
            seqs = conn.execute(select(outbox.c.seq).where(*asked)).scalars().all()
            _refuse_none(seqs, domain, publisher, event)
            why = "discarded by " + by + ": " + reason.strip() + "; it was refused: "
            gone = update(outbox).where(outbox.c.seq.in_(select(outbox.c.seq).where(*asked)))
            conn.execute(gone.values(state="withdrawn", reason=why + func.coalesce(outbox.c.reason, "")))
            return len(seqs)


def _hold(conn: Connection, asked: Sequence[Any]) -> None:
    """Until the transaction ends no night of their domains puts anything into the outbox: it would tell the same event, at the same moment.

    A night holds its domain's lease from before it enqueues until that is committed, so it is waited for, and waits.
    """
    domains = select(outbox.c.domain).where(*asked).distinct()
    found = conn.execute(domains).scalars().all()
    conn.execute(select(leases.c.domain).where(leases.c.domain.in_(found)).order_by(leases.c.domain).with_for_update()).all()


def _dead(domain: str | None, publisher: str | None, event: str | None) -> list[Any]:
    later = outbox.alias("later")
    same = (
        *(later.c.event_id == outbox.c.event_id, later.c.publisher == outbox.c.publisher),
        *(later.c.version == outbox.c.version, later.c.seq > outbox.c.seq),
    )
    # Asked twice, since there is an index of what waits and one of what does not.
    waits, told_since = exists().where(*same, later.c.state == WAITS), exists().where(*same, later.c.state != WAITS)
    found: list[Any] = [outbox.c.state == "dead", ~waits, ~told_since]
    if domain is not None:
        found.append(outbox.c.domain == domain)
    if publisher is not None:
        found.append(outbox.c.publisher == publisher)
    if event is not None:
        found.append(outbox.c.event_id.startswith(event, autoescape=True))
    return found


def _current() -> Any:
    """Whether the event is what the ledger's open discrepancy says, or healed through another destination and is owed to this one still.

    A replay tells history, and is as good as it ever was.
    """
    said = and_(ledger.c.domain == outbox.c.domain, ledger.c.event_id == outbox.c.event_id, ledger.c.state == "open")
    return or_(outbox.c.replay.is_not(None), exists().where(said), healed_elsewhere())


def _refuse_none(seqs: Sequence[int], domain: str | None, publisher: str | None, event: str | None) -> None:
    if not seqs:
        words = ", ".join(f"{name} {value}" for name, value in (("domain", domain), ("publisher", publisher), ("event", event)) if value)
        msg = f"no dead letter{f' of {words}' if words else ''}"
        raise BadRequest(msg, hint="recon dead list shows those that there are")
