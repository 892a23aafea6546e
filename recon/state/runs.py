"""The runs of all domains: started, gone on with, moved from state to state, looked up.

Every move is one transaction that checks the fence, so a run has one writer, and a killed one stands where it was last committed.
"""

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, case, func, literal, or_, select, update

from recon import __version__
from recon.clock import iso
from recon.errors import BadRequest, SlotTaken, StateError
from recon.state import lease as leases
from recon.state.database import State
from recon.state.lease import TTL_SECONDS, Lease
from recon.state.run import ALPHABET, EARLY, ENDED, FACTS, TRANSITIONS, Claim, Run, RunState, new_id, typed_id
from recon.state.tables import plans, runs

__all__ = ["TRANSITIONS", "Claim", "Run", "RunState", "Runs"]

UNDECIDED = "nobody decided in time"
"""The reason of a held run whose time ran out."""
NAMES = tuple(f.name for f in fields(Run))


class Runs:
    """The runs in a state database. `identify` makes ids from the time of the start; the simulation gives its own."""

    def __init__(self, state: State, *, identify: Callable[[datetime], str] = new_id) -> None:
        self.state = state
        self._identify = identify

    def start(
        self,
        domain: str,
        *,
        trigger: str,
        owner: str,
        slot: datetime | None = None,
        logical_start: datetime | None = None,
        ttl: float = TTL_SECONDS,
        dry_run: bool = False,
        key: str | None = None,
    ) -> Claim:
        """Takes the domain's lease and its slot and writes the run down, in one transaction.

        `logical_start` is by default the slot, else now. Earlier runs of the domain that sent nothing and never ended are given up.
        Raises LeaseHeld while another process is at work, SlotTaken where the slot has its run already.
        """
        with self.state.begin() as conn:
            lease = leases.acquire(self.state, conn, domain, owner, ttl)
            if slot is not None:
                self._refuse_taken(conn, domain, slot)
            now = self.state.now(conn)
            run = Run(
                id=self._identify(now),
                domain=domain,
                state=RunState.PLANNED,
                trigger=trigger,
                slot=slot,
                dry_run=dry_run,
                key=key,
                owner=owner,
                fence=lease.fence,
                logical_start=logical_start or slot or now,
                started_at=now,
                updated_at=now,
                version=__version__,
            )
            if not dry_run and key is None:
                self._give_up(conn, run)
            conn.execute(runs.insert().values({name: getattr(run, name) for name in NAMES}))
        return Claim(run=run, lease=lease)

    def _refuse_taken(self, conn: Connection, domain: str, slot: datetime) -> None:
        taken = conn.execute(select(runs).where(runs.c.domain == domain, runs.c.slot == slot)).one_or_none()
        if taken is not None:
            msg = f"{domain}: the slot {iso(slot)} has its run already: {taken.id}, which is {taken.state}"
            hint = f"recon show {taken.id}" if taken.state in ENDED - {RunState.FAILED} else f"recon run {domain} --resume {taken.id}"
            raise SlotTaken(msg, run=taken.id, hint=hint)

    def _give_up(self, conn: Connection, newer: Run) -> None:
        older = runs.c.domain == newer.domain, runs.c.state.in_(EARLY), runs.c.dry_run.is_(False), runs.c.key.is_(None)
        values = {"state": RunState.FAILED, "finished_at": newer.started_at, "updated_at": newer.started_at}
        reason = func.coalesce(runs.c.reason + "; ", "") + f"given up: run {newer.id} started before it had ended"
        conn.execute(update(runs).where(*older).values(reason=reason, verdict="incomplete", **values))

    def resumable(self, domain: str, *, dry_run: bool = False, key: str | None = None, unsent: bool = False) -> Run | None:
        """A run of this sort that has something left to do while nobody is doing it; None where there is none.

        First one that was approved and not sent, or is EMITTED with its delivery or report outstanding, however old: finish that,
        then start tonight's. Else the newest run, if it was killed on its way or failed with the verdict `incomplete`; with `unsent` only such a one.
        """
        newest = _newest(dry_run, bool(key), unsent)
        with self.state.read() as conn:
            row = conn.execute(newest, {"of_domain": domain, **({"of_key": key} if key else {})}).one_or_none()
            if row is None or leases.holder(self.state, conn, domain) is not None:
                return None
        run = _run(row)
        if unsent and run.state in {RunState.APPROVED, RunState.EMITTED}:
            return None
        return run if run.unfinished or (run.state is RunState.FAILED and run.verdict == "incomplete") else None

    def resume(self, run_id: str, owner: str, *, ttl: float = TTL_SECONDS) -> Claim:
        """Takes the lease for a run that exists, under the next fence; its state stays. Also the way to a held run.

        Raises LeaseHeld, or BadRequest for a run that has ended.
        """
        found = self.get(run_id)
        with self.state.begin() as conn:
            lease = leases.acquire(self.state, conn, found.domain, owner, ttl)
            run = self._load(conn, found.id)
            if run.state in ENDED - {RunState.FAILED}:
                why = f" ({run.reason})" if run.reason else ""
                msg = f"run {run.id} of {run.domain} is {run.state}{why}: there is nothing left to go on with"
                raise BadRequest(msg, hint=f"recon run {run.domain} starts a new one")
            now = self.state.now(conn)
            run = replace(run, owner=owner, fence=lease.fence, resumes=run.resumes + 1, updated_at=now)
            values = {"owner": owner, "fence": lease.fence, "resumes": run.resumes, "updated_at": now}
            conn.execute(_SET, {"of_run": run.id, **values})
        return Claim(run=run, lease=lease)

    def advance(self, claim: Claim, to: RunState, **facts: Any) -> Claim:
        """Moves the run in a transaction of its own; see `advance_in`."""
        with self.state.begin() as conn:
            return self.advance_in(conn, claim, to, **facts)

    def advance_in(self, conn: Connection, claim: Claim, to: RunState, **facts: Any) -> Claim:
        """Moves the run to `to` and writes facts (columns of `Run`), in the caller's transaction; answers the claim as it is then.

        Raises LostLease where another process took over. A move that the table of transitions does not have is a fault of
        this program: StateError. `finished_at` is set by itself where a run ends, and cleared where a failed one goes on.
        """
        unknown = facts.keys() - FACTS
        if unknown:
            msg = f"no such fact of a run: {', '.join(sorted(unknown))}"
            raise ValueError(msg)
        # Renewed and not only checked: the transaction may have been a long one, and its holder should not lose its lease by it.
        lease = leases.renew(self.state, conn, claim.lease)
        run = self._load(conn, claim.run.id)
        if to not in TRANSITIONS[run.state] and not (to is run.state and (run.unfinished or run.state is RunState.HELD)):
            msg = f"run {run.id} of {run.domain} is {run.state} and cannot become {to}"
            raise StateError(msg, hint=f"recon show {run.id}")
        now = self.state.now(conn)
        values = {**facts, "state": to, "fence": claim.lease.fence, "updated_at": now}
        if to in ENDED:
            values.setdefault("finished_at", now)
        elif run.state is RunState.FAILED:
            values.update({"finished_at": None, "reason": None, "verdict": None, "exit_code": None} | facts)
        conn.execute(_SET, {"of_run": run.id, **values})
        return Claim(run=replace(run, **values), lease=lease)

    def record(self, claim: Claim, **facts: Any) -> Claim:
        """Writes facts of a run that has ended or not (the figures of its report), without moving it; checks the fence."""
        unknown = facts.keys() - FACTS
        if unknown:
            msg = f"no such fact of a run: {', '.join(sorted(unknown))}"
            raise ValueError(msg)
        with self.state.begin() as conn:
            leases.check(conn, claim.lease)
            values = {**facts, "updated_at": self.state.now(conn)}
            conn.execute(_SET, {"of_run": claim.run.id, **values})
            return Claim(run=self._load(conn, claim.run.id), lease=claim.lease)

    def release(self, claim: Claim) -> None:
        """Gives the domain back. A lease that was lost is nobody's loss: nothing happens."""
        with self.state.begin() as conn:
            leases.release(self.state, conn, claim.lease)

    def heartbeat(self, lease: Lease) -> leases.Heartbeat:
        """Renews the lease while the work goes on: a context manager."""
        return leases.Heartbeat(self.state, lease)

    def get(self, prefix: str) -> Run:
        """The run whose id begins so. Raises BadRequest where there is none, or more than one."""
        wanted = typed_id(prefix)
        if not wanted or not set(wanted) <= set(ALPHABET):
            msg = f"{prefix!r} is no run: an id is made of digits and letters, such as 01KAR2…"
            raise BadRequest(msg, hint="recon runs lists them")
        with self.state.read() as conn:
            # A range, not LIKE: it is served by the primary key on every database, whatever its collation does to patterns.
            within = runs.c.id >= wanted, runs.c.id <= wanted + "Z" * (26 - len(wanted))
            rows = conn.execute(select(runs).where(*within).order_by(runs.c.id).limit(6)).all()
        if not rows:
            msg = f"no run begins with {prefix}"
            raise BadRequest(msg, hint="recon runs lists them")
        if len(rows) > 1:
            some = ", ".join(f"{row.id} ({row.domain})" for row in rows[:5])
            msg = f"{'more than 5' if len(rows) > 5 else len(rows)} runs begin with {prefix}: {some}{', …' if len(rows) > 5 else ''}"
            raise BadRequest(msg, hint="give more of the id")
        return _run(rows[0])

    def recent(self, domain: str | None = None, limit: int = 30) -> list[Run]:
        """The newest runs, newest first."""
        if domain is None:
            return self._list(_RECENT, most=limit)
        return self._list(_RECENT_OF, most=limit, of_domain=domain)

    def domains(self) -> list[str]:
        """Every domain that ever ran."""
        with self.state.read() as conn:
            return list(conn.execute(select(runs.c.domain).distinct().order_by(runs.c.domain)).scalars())

    def by_slot(self, domain: str, slot: datetime) -> Run | None:
        """The run of a scheduled instant."""
        found = self._list(select(runs).where(runs.c.domain == domain, runs.c.slot == slot))
        return found[0] if found else None

    def last_whole(self, domain: str) -> Run | None:
        """The newest run of the whole domain whose fetch was proven whole and whose figures were believed.

        A held, rejected or expired run is none: what a wiped third party answered must not become the measure of the next night.
        """
        found = self._list(_LAST_WHOLE, of_domain=domain)
        return found[0] if found else None

    def first_whole(self, domain: str) -> Run | None:
        """The oldest such run."""
        found = self._list(select(runs).where(*_WHOLE).order_by(runs.c.started_at, runs.c.id).limit(1), of_domain=domain)
        return found[0] if found else None

    def whole_before(self, domain: str, moment: datetime, *, limit: int) -> list[Run]:
        """The newest such runs that began before `moment`, newest first."""
        query = select(runs).where(*_WHOLE, runs.c.started_at < moment)
        return self._list(query.order_by(*_NEWEST_FIRST).limit(limit), of_domain=domain)

    def largest_source(self, domain: str, *, days: float = 7) -> int | None:
        """The most records that the source held at a believed whole run of the last `days`; where there is none, at the last one of all.

        Measured against the last night alone, a source could lose a little every night and never trip. A run whose plan a person
        approved is where counting begins anew: its loss was looked at. None where no whole run was ever believed.
        """
        last = self.last_whole(domain)
        if last is None:
            return None
        since = self.state.now() - timedelta(days=days)
        largest = last.source_records or 0
        with self.state.read() as conn:
            for row in conn.execute(_SOURCES, {"of_domain": domain, "since": since}):
                largest = max(largest, row.source_records)
                if row.decided_by is not None:
                    break
        return largest

    def supersede_in(self, conn: Connection, newer: Run) -> list[Run]:
        """Ends the held runs of the domain that are older than `newer`, which has looked at everything since; answers them.

        One plan waits for a person per domain, the newest: an approval of an older one would send what is known to be out of date.
        """
        return self._expire_in(conn, self._others(conn, newer, RunState.HELD), f"run {newer.id} has looked since")

    def overrule_in(self, conn: Connection, rejected: Run) -> list[Run]:
        """Ends the approved runs of the domain that are not sent yet: a person has rejected what a later run saw; answers them."""
        reason = f"approved and not sent; run {rejected.id}, which had looked since, was rejected"
        return self._expire_in(conn, self._others(conn, rejected, RunState.APPROVED), reason)

    def _others(self, conn: Connection, run: Run, state: RunState) -> Iterable[Row[Any]]:
        others = [runs.c.domain == run.domain, runs.c.state == state, runs.c.dry_run.is_(False), runs.c.id != run.id]
        # A look at one item says something of earlier looks at the same one, and nothing of the whole domain.
        others += [] if run.key is None else [runs.c.key == run.key]
        return conn.execute(select(runs).where(*others).order_by(runs.c.id).with_for_update()).all()

    def consistent_as_of(self, domain: str) -> datetime | None:
        """Since when both sides are known to agree: the latest `consistent_as_of` that a finished run of the domain wrote."""
        with self.state.read() as conn:
            # One that lies ahead was written while the clock ran ahead, and says nothing of what is to come.
            past = runs.c.consistent_as_of <= self.state.now(conn)
            query = select(func.max(runs.c.consistent_as_of)).where(runs.c.domain == domain, runs.c.state == RunState.DONE, past)
            answer: datetime | None = conn.execute(query).scalar_one()
            return answer

    def held(self, domain: str | None = None) -> list[Run]:
        """The runs that wait for a person, oldest first; those past their time are expired on the way. A dry run waits for nobody."""
        self.expire()
        query = select(runs).where(runs.c.state == RunState.HELD, runs.c.dry_run.is_(False)).order_by(runs.c.started_at, runs.c.id)
        return self._list(query if domain is None else query.where(runs.c.domain == domain))

    def expire(self) -> list[Run]:
        """Ends the held runs whose time has passed; answers them. It needs no lease: only a held run is touched, and only to end it."""
        with self.state.begin() as conn:
            late = runs.c.state == RunState.HELD, runs.c.hold_expires_at <= self.state.now(conn)
            rows = conn.execute(select(runs).where(*late).with_for_update()).all()
            return self._expire_in(conn, rows, UNDECIDED)

    def _expire_in(self, conn: Connection, rows: Iterable[Row[Any]], reason: str) -> list[Run]:
        now = self.state.now(conn)
        ended = [replace(_run(row), state=RunState.EXPIRED, finished_at=now, updated_at=now, reason=reason) for row in rows]
        for run in ended:
            values = {"state": run.state, "finished_at": now, "updated_at": now, "reason": run.reason}
            conn.execute(_SET, {"of_run": run.id, **values})
            conn.execute(update(plans).where(plans.c.run_id == run.id).values(state="expired", reason=run.reason, decided_at=now))
        return ended

    def _load(self, conn: Connection, run_id: str) -> Run:
        return _run(conn.execute(_ONE, {"of_run": run_id}).one())

    def _list(self, query: Any, **values: Any) -> list[Run]:
        with self.state.read() as conn:
            return [_run(row) for row in conn.execute(query, values).all()]


# Made once, as every night asks them many times: to put a statement together costs more than to run it.
_OF = runs.c.domain == bindparam("of_domain")
_NEWEST_FIRST = runs.c.started_at.desc(), runs.c.id.desc()
_ONE = select(runs).where(runs.c.id == bindparam("of_run")).with_for_update()
#: What is set is what the parameters beside `of_run` are named after.
_SET = update(runs).where(runs.c.id == bindparam("of_run"))
_RECENT = select(runs).order_by(*_NEWEST_FIRST).limit(bindparam("most"))
_RECENT_OF = _RECENT.where(_OF)
#: That a run looked at the whole domain, proved its fetch whole, and was believed.
_WHOLE: tuple[ColumnElement[bool], ...] = (
    *(_OF, runs.c.whole.is_(True), runs.c.dry_run.is_(False), runs.c.key.is_(None)),
    runs.c.state.in_([RunState.EMITTED, RunState.DONE]),
    or_(runs.c.verdict.is_(None), runs.c.verdict.in_(["clean", "discrepancies"])),
    runs.c.source_records.is_not(None),
)
_LAST_WHOLE = select(runs).where(*_WHOLE).order_by(*_NEWEST_FIRST).limit(1)
_SOURCES = (
    select(runs.c.id, runs.c.source_records, plans.c.decided_by)
    .outerjoin(plans, plans.c.run_id == runs.c.id)
    .where(runs.c.started_at >= bindparam("since"), *_WHOLE)
    .order_by(*_NEWEST_FIRST)
)


@cache
def _newest(dry_run: bool, of_key: bool, unsent: bool) -> Select[Any]:
    """The newest run of a sort; one that is decided and not sent, or not delivered, stands before all others."""
    sort = _OF, runs.c.dry_run.is_(dry_run), runs.c.key == bindparam("of_key") if of_key else runs.c.key.is_(None)
    decided = literal(0) if unsent else case((runs.c.state.in_([RunState.APPROVED, RunState.EMITTED]), 0), else_=1)
    return select(runs).where(*sort).order_by(decided, *_NEWEST_FIRST).limit(1)


def _run(row: Row[Any]) -> Run:
    values = dict(row._mapping)  # noqa: SLF001 - the public name of it in SQLAlchemy, underscore and all
    return Run(**{**values, "state": RunState(values["state"])})
