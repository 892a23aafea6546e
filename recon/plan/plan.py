"""The plan: a run's confirmed discrepancies as events, with a checksum. It can refuse.

Planned events lie apart from the outbox, where nothing can claim them; only a plan that passed every guard, or was approved by a
person, is enqueued. A plan's states:

none (no events) · planned (not judged yet) · passed · held · approved · rejected · expired · enqueued
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NoReturn

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from recon.clock import iso
from recon.discrepancy import Discrepancy, DiscrepancyKind
from recon.errors import BadRequest, StalePlan, TooLargeToPlan
from recon.job import Job
from recon.ledger.findings import UNSILENCED
from recon.plan.correction import encoded, event_of
from recon.report.figures import GuardFigure, PlanFigure
from recon.state.bulk import Bulk
from recon.state.database import State
from recon.state.run import Run
from recon.state.tables import findings, plan_events, plans, runs

LIMIT = 1_000_000
"""The most events of one plan. Beyond it a bulk load is the better correction."""

BATCH = 1000
SHORT = 8
"""How many characters of a checksum are shown, and at least asked for."""

PLANNED = (
    *("position", "key", "kind", "changed", "source", "target", "source_token", "target_token"),
    *("event_id", "first_run", "generation", "supersedes", "nights"),
)
"""What of a finding an event is made of."""

CLEARED = frozenset({"passed", "approved"})
"""The states from which a plan may be enqueued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedEvent:
    """One event of a plan; `body` is the CloudEvents document as it would be sent."""

    id: str
    type: str
    key: str
    subject: str
    body: bytes


def short(checksum: str) -> str:
    """The beginning of a checksum, as commands take it."""
    return checksum[:SHORT]


def line_of(event_id: str, type_: str, key: str, source_token: str, target_token: str) -> bytes:
    """An event's line in what the checksum is taken over: what is done to which item, on what grounds; no clock, no run."""
    return msgspec.json.encode([event_id, type_, key, source_token, target_token]) + b"\n"


class Plans:
    """The plans in a state database, one for each run that came so far."""

    def __init__(self, state: State, *, limit: int = LIMIT) -> None:
        self.state = state
        self.limit = limit

    def make_in(self, conn: Connection, run: Run, job: Job) -> PlanFigure:
        """Makes the plan of what `Ledger.record_in` wrote down for the run: one event for each discrepancy that is not acknowledged,
        nor a deletion that waits for another night.

        Made again, it replaces the one before, as long as that was not enqueued. Raises PlanError above the limit, BadDefinition
        where the job's `correct=` fails.
        """
        open_ = findings.c.run_id == run.id, UNSILENCED
        count = conn.execute(select(func.count()).select_from(findings).where(*open_)).scalar_one()
        if count > self.limit:
            msg = f"{run.domain}: {count:,} discrepancies are more than a plan may hold ({self.limit:,}); nothing was planned"
            raise TooLargeToPlan(
                msg, hint="so many are a missing bulk load or a wrong table: load the target in bulk, or narrow the job, and run again"
            )
        before = self._locked(conn, run)
        if before is not None and before.state not in {"none", "planned"}:
            self._refuse(run, before, "cannot be made again")
        conn.execute(delete(plan_events).where(plan_events.c.run_id == run.id))
        conn.execute(delete(plans).where(plans.c.run_id == run.id))
        by_type: Counter[str] = Counter()
        position = 0
        rows_in = Bulk(conn, insert(plan_events), plan_events.columns.keys())
        query = select(*(findings.c[name] for name in PLANNED)).where(*open_).order_by(findings.c.position).limit(BATCH)
        while rows := conn.execute(query.where(findings.c.position > position)).all():
            position = rows[-1].position
            planned = [values for row in rows if (values := _planned(job, run, row)) is not None]
            by_type.update(values["type"] for values in planned)
            rows_in.write(planned)
        events = by_type.total()
        state = "planned" if events else "none"
        values = {
            "run_id": run.id,
            "state": state,
            "checksum": self._checksum(conn, run.id),
            "events": events,
            "dropped": 0,
            "by_type": dict(by_type),
        }
        conn.execute(insert(plans), values)
        return _figure(self._load(conn, run))

    def judge_in(self, conn: Connection, run: Run, guards: Sequence[GuardFigure], *, expires_at: datetime) -> PlanFigure:
        """Writes the guards' figures down: any tripped one holds the plan until `expires_at`, else it has passed."""
        row = self._load(conn, run)
        if row.state not in {"none", "planned"}:
            self._refuse(run, row, "was judged before")
        tripped = any(guard.tripped for guard in guards)
        state = "held" if tripped else "passed" if row.state == "planned" else "none"
        expires = expires_at if tripped else None
        return self._move(conn, run, state, guards=[asdict(guard) for guard in guards], expires_at=expires)

    def approve_in(self, conn: Connection, run: Run, checksum: str, by: str, reason: str) -> PlanFigure:
        """A person's word for exactly this plan, named by the first 8 or more characters of its checksum; once, and in time.

        Raises StalePlan where it does not fit what is there now, BadRequest without a reason. Nothing is sent by it: the items are
        read again, `narrow_in` drops what has gone away, and `Outbox.enqueue_in` takes the rest.
        """
        row = self._decidable(conn, run, reason, f"recon approve {run.id} --plan {checksum} --reason …")
        wanted = checksum.strip().lower()
        if len(wanted) < SHORT or not row.checksum.startswith(wanted):
            why = (
                f"is {short(row.checksum)} ({row.events:,} events), not {checksum}"
                if len(wanted) >= SHORT
                else f"needs at least {SHORT} characters of its checksum"
            )
            msg = f"{run.domain}: the plan of run {run.id} {why}; nothing was approved"
            raise StalePlan(
                msg,
                hint=f'look at it again with `recon show {run.id}`, then: recon approve {run.id} --plan {short(row.checksum)} --reason "…"',
            )
        return self._move(conn, run, "approved", decided_by=by, decided_at=self.state.now(conn), reason=reason.strip())

    def reject_in(self, conn: Connection, run: Run, by: str, reason: str) -> PlanFigure:
        """A person's word against the plan: it is never sent. Raises StalePlan where it was decided before."""
        self._decidable(conn, run, reason, f"recon reject {run.id} --reason …")
        return self._move(conn, run, "rejected", decided_by=by, decided_at=self.state.now(conn), reason=reason.strip())

    def expire_in(self, conn: Connection, run: Run, reason: str) -> PlanFigure:
        """Ends an approved plan that was not sent in time. Raises StalePlan for one that is not approved."""
        row = self._load(conn, run)
        if row.state != "approved":
            self._refuse(run, row, "does not wait to be sent")
        return self._move(conn, run, "expired", reason=reason)

    def narrow_in(self, conn: Connection, run: Run, kept_keys: Collection[str]) -> PlanFigure:
        """Drops what did not stand up to being read again. Raises StalePlan for a key that was not in the plan: none may join.

        The checksum stays that of the plan that was shown and approved.
        """
        row = self._load(conn, run)
        if row.state not in CLEARED | {"none"}:
            self._refuse(run, row, "is not cleared to go out")
        kept = set(kept_keys)
        there = set(conn.execute(select(plan_events.c.key).where(plan_events.c.run_id == run.id)).scalars())
        if not kept <= there:
            strange = sorted(kept - there)
            msg = f"{run.domain}: {len(strange):,} items were not in the plan of run {run.id} (such as {strange[0]}); nothing was sent"
            raise StalePlan(msg, hint=f"recon run {run.domain} makes a plan that has them")
        dropped = sorted(there - kept)
        for start in range(0, len(dropped), BATCH):
            gone = plan_events.c.key.in_(dropped[start : start + BATCH])
            conn.execute(delete(plan_events).where(plan_events.c.run_id == run.id, gone))
        types = select(plan_events.c.type, func.count()).where(plan_events.c.run_id == run.id).group_by(plan_events.c.type)
        by_type = {row[0]: row[1] for row in conn.execute(types)}
        return self._move(conn, run, row.state, events=len(kept), dropped=row.dropped + len(dropped), by_type=by_type)

    def figure(self, run_id: str) -> PlanFigure | None:
        """The plan in figures; None where the run made none."""
        with self.state.read() as conn:
            row = conn.execute(select(plans).where(plans.c.run_id == run_id)).one_or_none()
        return None if row is None else _figure(row)

    def guards(self, run_id: str) -> tuple[GuardFigure, ...]:
        """The guards as they were judged."""
        with self.state.read() as conn:
            stored = conn.execute(select(plans.c.guards).where(plans.c.run_id == run_id)).scalar_one_or_none()
        return tuple(GuardFigure(**values) for values in stored or ())

    def keys(self, run_id: str) -> Iterator[str]:
        """The keys in the plan, to be read again."""
        for event in self.events(run_id):
            yield event.key

    def events(self, run_id: str) -> Iterator[PlannedEvent]:
        """The planned events, in the order in which they would go out."""
        query = select(plan_events).where(plan_events.c.run_id == run_id).order_by(plan_events.c.position)
        with self.state.read() as conn:
            for row in conn.execution_options(yield_per=BATCH).execute(query):
                yield PlannedEvent(id=row.event_id, type=row.type, key=row.key, subject=row.subject, body=row.body)

    def _checksum(self, conn: Connection, run_id: str) -> str:
        e = plan_events.c
        digest = hashlib.sha256()
        after = ""
        query = (
            select(e.event_id, e.type, e.key, e.source_token, e.target_token).where(e.run_id == run_id).order_by(e.event_id).limit(BATCH)
        )
        # Ids are lower case hexadecimal digits and dashes at fixed places: every collation sorts them alike.
        while rows := conn.execute(query.where(e.event_id > after)).all():
            after = rows[-1].event_id
            for row in rows:
                digest.update(line_of(*row))
        return digest.hexdigest()

    def _decidable(self, conn: Connection, run: Run, reason: str, again: str) -> Row[Any]:
        if not reason.strip():
            msg = f"run {run.id}: a decision needs a reason"
            raise BadRequest(msg, hint=again)
        row = self._load(conn, run)
        if row.state != "held":
            self._refuse(run, row, "does not wait for a decision")
        if run.dry_run:
            msg = f"{run.domain}: run {run.id} was a dry run; its plan is never sent"
            raise StalePlan(msg, hint=f"recon run {run.domain}")
        if row.expires_at is not None and row.expires_at <= self.state.now(conn):
            msg = f"{run.domain}: the plan of run {run.id} expired at {iso(row.expires_at)}; nothing was sent"
            raise StalePlan(msg, hint=f"recon run {run.domain} looks again and makes a new plan")
        return row

    def _refuse(self, run: Run, row: Row[Any], why: str) -> NoReturn:
        decided = f" by {row.decided_by} at {iso(row.decided_at)}" if row.decided_by is not None and row.decided_at is not None else ""
        because = f" ({row.reason})" if row.reason else ""
        msg = f"{run.domain}: the plan of run {run.id} is {row.state}{decided}{because} and {why}"
        raise StalePlan(msg, hint=f"recon show {run.id}; recon run {run.domain} looks again and makes a new plan")

    def _move(self, conn: Connection, run: Run, state: str, **values: Any) -> PlanFigure:
        conn.execute(update(plans).where(plans.c.run_id == run.id).values(state=state, **values))
        return _figure(self._load(conn, run))

    def _locked(self, conn: Connection, run: Run) -> Row[Any] | None:
        # The run's row first, then the plan's: everything that locks both does it in this order.
        conn.execute(select(runs.c.id).where(runs.c.id == run.id).with_for_update())
        return conn.execute(select(plans).where(plans.c.run_id == run.id).with_for_update()).one_or_none()

    def _load(self, conn: Connection, run: Run) -> Row[Any]:
        row = self._locked(conn, run)
        if row is None:
            msg = f"{run.domain}: run {run.id} is {run.state} and made no plan"
            raise StalePlan(msg, hint=f"recon show {run.id}")
        return row


def _planned(job: Job, run: Run, row: Row[Any]) -> dict[str, Any] | None:
    if row.kind == DiscrepancyKind.EXTRA and row.nights < job.delete_nights:
        # Its deletion is told only once it was confirmed on so many nights; until then it is reported.
        return None
    found = Discrepancy(
        kind=DiscrepancyKind(row.kind),
        key=row.key,
        source=row.source,
        target=row.target,
        changed=tuple(row.changed),
        source_token=row.source_token,
        target_token=row.target_token,
    )
    event = event_of(job, run, found, event_id=row.event_id, first_run=row.first_run, generation=row.generation, supersedes=row.supersedes)
    if event is None:
        return None
    return {
        "run_id": run.id,
        "event_id": event.id,
        "position": row.position,
        "key": row.key,
        "type": event.type,
        "subject": event.subject,
        "partitionkey": event.partitionkey,
        "source_token": row.source_token,
        "target_token": row.target_token,
        "body": encoded(job, event),
    }


def _figure(row: Row[Any]) -> PlanFigure:
    return PlanFigure(
        checksum=row.checksum,
        events=row.events,
        by_type=row.by_type,
        state=row.state,
        expires_at=row.expires_at,
        approved_by=row.decided_by if row.state in {"approved", "enqueued"} else None,
        reason=row.reason,
    )
