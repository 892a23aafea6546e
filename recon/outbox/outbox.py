"""The outbox: events that are to be delivered. They are written in the transaction that moves their run on, and only there.

An event is stored once, under its id; the first bytes win, and a repeat sends the same bytes. A row of the outbox is one event on
its way to one destination: waiting, sent, dead (refused for good) or withdrawn (no longer true when it was still waiting).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, case, func, literal, null, select, update
from sqlalchemy.dialects import postgresql, sqlite

from recon.errors import Held, StalePlan
from recon.outbox.lanes import add_older
from recon.outbox.telling import NEWEST, lane_of
from recon.plan.plan import CLEARED
from recon.report.figures import DeliveryFigure, OlderFigure
from recon.state import lease
from recon.state.database import State
from recon.state.run import Claim
from recon.state.tables import ONE_WAITING, WAITING, WAITS, events, ledger, outbox, plan_events, plans, runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits for one destination, for one domain."""

    publisher: str
    domain: str
    count: int
    oldest: datetime
    attempts: int
    reason: str | None


class Outbox:
    """The outbox in a state database."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._insert = sqlite.insert if state.dialect == "sqlite" else postgresql.insert

    def enqueue_in(
        self, conn: Connection, claim: Claim, run_id: str, *publishers: str, older: Mapping[str, Sequence[int]] | None = None
    ) -> int:
        """Puts the run's plan into the outbox for each of `publishers`, in the transaction that makes the run EMITTED; answers how many events.

        `older` has, by publisher, the older versions of their data in which they are sent too, in rows of their own behind the newest.
        Only a plan that passed its guards or was approved goes out, once. Raises LostLease, Held for a plan that waits for a person,
        StalePlan for any other.
        """
        lease.check(conn, claim.lease)
        plan = conn.execute(select(plans).where(plans.c.run_id == run_id).with_for_update()).one_or_none()
        state = None if plan is None else plan.state
        if state == "none":
            return 0
        if state == "held":
            msg = f"{claim.run.domain}: the plan of run {run_id} is held; nothing was sent"
            raise Held(msg, hint=f"recon show {run_id}")
        if state not in CLEARED:
            msg = f"{claim.run.domain}: the plan of run {run_id} is {state or 'not made'}; nothing was sent"
            raise StalePlan(msg, hint=f"recon show {run_id}")
        now = self.state.now(conn)
        self._store(conn, claim.run.domain, run_id, now)
        lease.hold_deliveries(conn, claim.run.domain)
        for publisher in publishers:
            versions = (older or {}).get(publisher, ())
            # What waits of earlier nights has to stand in each line before what is newer does.
            add_older(self.state, conn, publisher, claim.run.domain, versions)
            for version in (NEWEST, *versions):
                self._queue(conn, run_id, publisher, now, version)
        mine = select(plan_events.c.event_id).where(plan_events.c.run_id == run_id)
        told = ledger.c.domain == claim.run.domain, ledger.c.event_id.in_(mine)
        conn.execute(update(ledger).where(*told).values(emissions=ledger.c.emissions + 1, emitted_at=now))
        conn.execute(update(plans).where(plans.c.run_id == run_id).values(state="enqueued"))
        assert plan is not None
        count: int = plan.events
        return count

    def _store(self, conn: Connection, domain: str, run_id: str, now: datetime) -> None:
        p = plan_events.c
        columns = {
            "id": p.event_id,
            "domain": literal(domain),
            "key": p.key,
            "type": p.type,
            "subject": p.subject,
            "partitionkey": p.partitionkey,
            "body": p.body,
            "run_id": p.run_id,
            "created_at": literal(now, events.c.created_at.type),
            "emissions": literal(1),
        }
        source = select(*columns.values()).where(p.run_id == run_id)
        # The first bytes win: an id is a fact, and a fact is told in the same words each time.
        statement = self._insert(events).from_select(list(columns), source)
        again = {"emissions": events.c.emissions + 1}
        conn.execute(statement.on_conflict_do_update(index_elements=["id"], set_=again))

    def _queue(self, conn: Connection, run_id: str, publisher: str, now: datetime, version: int) -> None:
        columns = {**waiting_row(literal(run_id), publisher, now, version), "replay": null()}
        joined = plan_events.join(events, events.c.id == plan_events.c.event_id)
        source = select(*columns.values()).select_from(joined).where(plan_events.c.run_id == run_id).order_by(plan_events.c.position)
        statement = self._insert(outbox).from_select(list(columns), source)
        if _nothing_waits(conn, run_id, publisher, version):
            # Then nothing can be there already, and is not looked for row by row. Nor can anybody put it there meanwhile: a replay writes to
            # the events first, as `_store` has done, and dead letters are sent again under the domain's lease.
            conn.execute(statement)
            return
        # One that still waits, of an earlier night or of a replay, is this run's from now on: it is not sent twice, and is withdrawn once it is untrue.
        again = {name: statement.excluded[name] for name in ("run_id", "emission", "due_at", "replay")}
        conn.execute(statement.on_conflict_do_update(index_elements=ONE_WAITING, index_where=WAITING, set_=again))

    def hurry(self, domain: str | None = None) -> None:
        """Makes everything that waits due now: a person who publishes by hand has mended what it waited for."""
        with self.state.begin() as conn:
            lease.hold_deliveries(conn, domain)
            waiting = [outbox.c.state == "waiting"] if domain is None else [outbox.c.state == "waiting", outbox.c.domain == domain]
            conn.execute(update(outbox).where(*waiting).values(due_at=self.state.now(conn)))

    def figure(self, run_id: str, publisher: str) -> DeliveryFigure:
        """What has become so far of the events that this run enqueued for `publisher`."""
        mine = outbox.c.run_id == run_id, outbox.c.publisher == publisher, outbox.c.replay.is_(None)
        with self.state.read() as conn:
            counted = conn.execute(select(outbox.c.version, *_counts()).where(*mine).group_by(outbox.c.version))
            lanes: dict[int, dict[str, Any]] = {
                lane_of(row.version): {name: int(n or 0) for name, n in _mapping(row).items() if name != "version"} for row in counted
            }
            reasons = select(outbox.c.reason).where(*mine, outbox.c.state.in_(["waiting", "dead"]), outbox.c.reason.is_not(None))
            reason = conn.execute(reasons.order_by(outbox.c.tried_at.desc()).limit(1)).scalar_one_or_none()
        newest = lanes.pop(NEWEST, {})
        older = tuple(OlderFigure(version=version, **lanes[version]) for version in sorted(lanes, reverse=True))
        return DeliveryFigure(publisher=publisher, last_reason=reason or "", older=older, **newest)

    def backlog(self) -> dict[str, int]:
        """How many events wait for each destination, over all domains."""
        query = select(outbox.c.publisher, func.count()).where(outbox.c.state == WAITS).group_by(outbox.c.publisher)
        with self.state.read() as conn:
            return {row[0]: row[1] for row in conn.execute(query)}

    def destinations(self, domain: str) -> set[str]:
        """Every destination that a night of this domain ever told something, as far as it is kept."""
        told = select(outbox.c.publisher).where(outbox.c.domain == domain, outbox.c.replay.is_(None)).distinct()
        with self.state.read() as conn:
            return set(conn.execute(told).scalars())

    def waiting(self, domain: str | None = None) -> list[Waiting]:
        """What waits, by destination and domain."""
        query = (
            select(
                outbox.c.publisher,
                outbox.c.domain,
                func.count().label("count"),
                func.min(outbox.c.enqueued_at).label("oldest"),
                func.max(outbox.c.attempts).label("attempts"),
                func.max(outbox.c.reason).label("reason"),
            )
            .where(outbox.c.state == "waiting")
            .group_by(outbox.c.publisher, outbox.c.domain)
            .order_by(outbox.c.publisher, outbox.c.domain)
        )
        with self.state.read() as conn:
            rows = conn.execute(query if domain is None else query.where(outbox.c.domain == domain))
            return [Waiting(**_mapping(row)) for row in rows]


def waiting_row(run_id: Any, publisher: str, now: datetime, version: int) -> dict[str, Any]:
    """The columns of a row that an event waits in, by their names, over the table of events."""
    return {
        "event_id": events.c.id,
        "run_id": run_id,
        "domain": events.c.domain,
        "publisher": literal(publisher),
        "partitionkey": events.c.partitionkey,
        "emission": events.c.emissions,
        "state": literal("waiting"),
        "enqueued_at": literal(now, outbox.c.enqueued_at.type),
        "due_at": literal(now, outbox.c.due_at.type),
        "attempts": literal(0),
        "duplicate": literal(value=False),
        "version": literal(version),
    }


def _nothing_waits(conn: Connection, run_id: str, publisher: str, version: int) -> bool:
    """Of the run's domain, for this destination, in this version of the data."""
    domain = select(runs.c.domain).where(runs.c.id == run_id).scalar_subquery()
    mine = outbox.c.domain == domain, outbox.c.publisher == publisher, outbox.c.version == version, outbox.c.state == WAITS
    return conn.execute(select(outbox.c.seq).where(*mine).limit(1)).first() is None


def _counts() -> list[Any]:
    def total(name: str, condition: Any) -> Any:
        return func.sum(case((condition, 1), else_=0)).label(name)

    state = outbox.c.state
    return [
        total("confirmed", state == "sent"),
        total("duplicates", and_(state == "sent", outbox.c.duplicate)),
        total("waiting", state == "waiting"),
        total("dead", state == "dead"),
    ]


def _mapping(row: Any) -> Mapping[str, Any]:
    mapping: Mapping[str, Any] = row._mapping  # noqa: SLF001 - SQLAlchemy's public name of a row as a mapping
    return mapping
