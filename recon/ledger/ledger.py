"""The ledger: each discrepancy's life across nights, and what one run found, written down in one transaction.

`record_in` belongs into the transaction that moves the run on, so a run is either recorded whole or not at all.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from itertools import islice
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import (
    Connection,
    Row,
    Text,
    and_,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from recon.clock import parse_iso
from recon.discrepancy import Discrepancy, DiscrepancyKind
from recon.job import Job
from recon.kind import Money
from recon.ledger import acks as acknowledgements
from recon.ledger.acks import Ack, Acks
from recon.ledger.converging import Delivered, Tally, delivered
from recon.ledger.findings import Findings, LedgerSummary
from recon.ledger.life import Life, Sighting, seen
from recon.ledger.story import Story, story_in
from recon.ledger.withdrawing import withdraw
from recon.report.figures import Standing
from recon.state.bulk import Bulk, json_text
from recon.state.confirmed import confirmed_at
from recon.state.database import State
from recon.state.run import Run
from recon.state.tables import OPEN, doubts, events, findings, ledger, micros

__all__ = ["Ledger", "LedgerSummary", "source_of"]

T = TypeVar("T")

BATCH = 1000
LIFE = tuple(name for name in Life.__dataclass_fields__ if name not in {"kind", "open"})


def source_of(job: Job) -> str:
    """The events' source: `/recon/<provider>/<domain>`."""
    return f"/recon/{job.provider}/{job.domain}"


class Ledger(Findings):
    """The ledger in a state database; what a run found is read back through `Findings`."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.acks = Acks(state)

    def record_in(
        self,
        conn: Connection,
        run: Run,
        job: Job,
        found: Iterable[Discrepancy],
        *,
        unknown_keys: Collection[str] = (),
        complete: bool,
        only_keys: Collection[str] | None = None,
        touch: bool = True,
    ) -> LedgerSummary:
        """Writes down what the run found and what that means for each key, in the caller's transaction.

        `found` are the discrepancies to be believed, each key once; they are streamed. `unknown_keys` are those of which the run
        can say nothing: unconfirmed, moved while it looked, unreadable, twice on one side; they stay as they were. A key that is
        open in the ledger and in neither is resolved, provided that the comparison was `complete` and, where `only_keys` is given,
        that it is one of them. What was resolved or has changed is withdrawn from the outbox: it must not be corrected any more.
        `touch=False` (a dry run, suspects that were held) writes the findings with their standing and leaves all else alone.
        Recording the same run again replaces what it had recorded.
        """
        recorder = _Recorder(self.state, conn, run, job, touch=touch)
        recorder.clear()
        tally = recorder.tally = Tally(conn, job.domain, recorder.looked_at, only_keys)
        for batch in _batches(found, BATCH):
            recorder.write(batch)
        recorder.doubt(unknown_keys)
        if complete:
            recorder.resolve(only_keys)
        if touch:
            recorder.settle()
        convergence = tally.figure(run.id, recorder.now) if touch else None
        return replace(LedgerSummary.of(recorder.counts), convergence=convergence)

    def ack(self, domain: str, key: str, *, until: date | None = None, by: str, reason: str) -> Ack:
        """See `Acks.add`."""
        return self.acks.add(domain, key, until=until, by=by, reason=reason)

    def unack(self, domain: str, key: str) -> bool:
        """See `Acks.remove`."""
        return self.acks.remove(domain, key)

    def open_keys(self, domain: str) -> list[str]:
        """The keys that are open in the ledger: found to differ on an earlier night, and not seen to agree since."""
        with self.state.read() as conn:
            query = select(ledger.c.key).where(ledger.c.domain == domain, ledger.c.state == "open").order_by(ledger.c.key)
            return list(conn.execute(query).scalars())

    def delivered(self, domain: str) -> Mapping[str, Delivered]:
        """The open discrepancies whose correction was delivered, by key."""
        return delivered(self.state, domain)

    def due_deletions(self, domain: str, night: str, wanted: int) -> set[str]:
        """The keys whose absence, were it confirmed again on this night (`YYYY-MM-DD`), would have been so on `wanted` nights."""
        with self.state.read() as conn:
            counted = ledger.c.nights + case((ledger.c.last_night < night, 1), else_=0)
            absent = ledger.c.domain == domain, ledger.c.state == "open", ledger.c.kind == DiscrepancyKind.EXTRA
            return set(conn.execute(select(ledger.c.key).where(*absent, counted >= wanted)).scalars())

    def took_up(self, run_id: str) -> bool:
        """Whether the ledger has taken up what this run found, and not only listed it."""
        with self.state.read() as conn:
            return conn.execute(select(ledger.c.key).where(ledger.c.last_run == run_id).limit(1)).first() is not None

    def story(self, domain: str, key: str) -> Story:
        """Everything that is known of one key, for `recon explain`."""
        with self.state.read() as conn:
            return story_in(conn, domain, key)


class _Recorder:
    """The work of one `record_in`: batches of findings against the ledger."""

    def __init__(self, state: State, conn: Connection, run: Run, job: Job, *, touch: bool) -> None:
        self.conn = conn
        self.run = run
        self.job = job
        self.touch = touch
        self.now = state.now(conn)
        self.upsert = sqlite.insert if state.dialect == "sqlite" else postgresql.insert
        self.looked_at = run.watermark or run.started_at
        self.night = run.logical_start.astimezone(ZoneInfo(job.timezone)).date()
        self.sighting = Sighting(run=run.id, at=run.started_at, night=self.night.isoformat(), source=source_of(job))
        self.acks = acknowledgements.active_in(conn, job.domain)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.position = 0
        self.confirmed: set[str] = set()
        self.tally: Tally | None = None
        entry = self.upsert(ledger)
        replaced = {c.name: entry.excluded[c.name] for c in ledger.columns if not c.primary_key}
        self.entries = Bulk(conn, entry.on_conflict_do_update(index_elements=["domain", "key"], set_=replaced), ledger.columns.keys())
        self.new_findings = Bulk(conn, insert(findings), findings.columns.keys())
        money = job.field(job.money).of_kind if job.money is not None else None
        self.money = money if isinstance(money, Money) else None

    def clear(self) -> None:
        self.conn.execute(delete(findings).where(findings.c.run_id == self.run.id))
        self.conn.execute(delete(doubts).where(doubts.c.run_id == self.run.id))

    def write(self, batch: list[Discrepancy]) -> None:
        """One batch: looked up, judged, written."""
        keys = [found.key for found in batch]
        rows = self.conn.execute(select(ledger).where(ledger.c.domain == self.job.domain, ledger.c.key.in_(keys)))
        known = {row.key: row for row in rows}
        told = [row.event_id for row in known.values() if row.emissions]
        self.confirmed = self._confirmed([*told, *(row.supersedes for row in known.values() if row.supersedes is not None)])
        lives = [self._life(known.get(found.key), found) for found in batch]
        self.new_findings.write([self._finding(found, life) for found, life in zip(batch, lives, strict=True)])
        if self.touch:
            self.entries.write([self._entry(found.key, life, known.get(found.key)) for found, life in zip(batch, lives, strict=True)])

    def _life(self, row: Row[Any] | None, found: Discrepancy) -> Life:
        if row is None:
            return seen(None, found, self.sighting, confirmed=False)
        before = Life(kind=DiscrepancyKind(row.kind), open=row.state == "open", **{name: getattr(row, name) for name in LIFE})
        confirmed = row.event_id in self.confirmed
        after = seen(before, found, self.sighting, confirmed=confirmed, patience=self.job.raise_after)
        # Under a new id that nobody has yet, as of a plan that is held, it is still the correction that was delivered.
        if (confirmed or before.supersedes in self.confirmed) and before.open and self.tally is not None:
            self.tally.seen(found.key, before, after)
        return after

    def _confirmed(self, ids: list[str]) -> set[str]:
        """Which of these events a receiver had confirmed before this run began to look."""
        if not ids:
            return set()
        # A query of its own: joined to the ledger's, PostgreSQL read all events for every batch.
        rows = self.conn.execute(select(events.c.id, confirmed_at().label("confirmed_at")).where(events.c.id.in_(ids)))
        return {row.id for row in rows if row.confirmed_at is not None and row.confirmed_at < self.looked_at}

    def _finding(self, found: Discrepancy, life: Life) -> dict[str, Any]:
        silenced = self._acknowledged(found)
        standing = Standing.ACKNOWLEDGED if silenced else Standing.NEW if life.first_run == self.run.id else Standing.CONTINUING
        self.counts[standing.value, found.kind.value] += 1
        self.position += 1
        fields = found.source if found.source is not None else found.target or {}
        amount, currency = self._money(fields)
        return {
            "run_id": self.run.id,
            "position": self.position,
            "domain": self.job.domain,
            "key": found.key,
            "kind": found.kind.value,
            "standing": standing.value,
            "changed": json_text(found.changed),
            "source": json_text(found.source),
            "target": json_text(found.target),
            "source_token": found.source_token,
            "target_token": found.target_token,
            "first_run": life.first_run,
            "first_seen": micros(life.first_seen),
            "nights": life.nights,
            "generation": life.generation,
            "event_id": life.event_id,
            "supersedes": life.supersedes,
            "created_at": _micros(fields.get(self.job.created)) if self.job.created else None,
            "money": amount,
            "currency": currency,
            "acknowledged": silenced,
        }

    def _acknowledged(self, found: Discrepancy) -> str | None:
        ack = self.acks.get(found.key)
        if ack is None:
            return None
        ended = ack.end(found, self.night)
        if ended is None:
            return ack.words()
        if self.touch:
            acknowledgements.end_in(self.conn, self.job.domain, [found.key], ended, self.now)
        return None

    def _money(self, fields: Any) -> tuple[int | None, str | None]:
        """The amount at risk: the item's whole amount as the source has it, or the target where the source lacks the item."""
        if self.money is None or self.job.money is None:
            return None, None
        amount = fields.get(self.job.money)
        code = fields.get(self.money.currency) if self.money.currency.islower() else self.money.currency
        if not isinstance(amount, int) or isinstance(amount, bool) or abs(amount) >= 1 << 63:
            return None, None
        return amount, str(code).upper() if code is not None else None

    def _entry(self, key: str, life: Life, row: Row[Any] | None) -> dict[str, Any]:
        same_event = row is not None and row.event_id == life.event_id
        emitted = row.emitted_at if row is not None and same_event else None
        values = {name: getattr(life, name) for name in LIFE}
        return {
            **values,
            "first_seen": micros(life.first_seen),
            "last_seen": micros(life.last_seen),
            "domain": self.job.domain,
            "key": key,
            "kind": life.kind.value,
            "state": "open",
            "emissions": row.emissions if row is not None and same_event else 0,
            "emitted_at": None if emitted is None else micros(emitted),
            "resolved_at": None,
            "resolved_run": None,
        }

    def doubt(self, keys: Collection[str]) -> None:
        """Remembers the keys of which this run can say nothing."""
        for batch in _batches(keys, BATCH):
            self.conn.execute(self.upsert(doubts).on_conflict_do_nothing(), [{"run_id": self.run.id, "key": key} for key in batch])

    def resolve(self, only_keys: Collection[str] | None) -> None:
        """Writes a finding `resolved` for every open key that was looked at and not found, with the values of its last sighting."""
        if only_keys is None:
            self._resolve_where(literal(value=True))
            return
        for batch in _batches(only_keys, BATCH):
            self._resolve_where(ledger.c.key.in_(batch))

    def _resolve_where(self, condition: Any) -> None:
        here = findings.alias("here")
        last = findings.alias("last")
        # NOT IN is answered by hashing on both databases; NOT EXISTS became a nested loop where PostgreSQL had no statistics yet.
        gone = and_(
            ledger.c.domain == self.job.domain,
            # What an earlier try of this very run resolved stands in its findings again.
            or_(ledger.c.state == OPEN, ledger.c.resolved_run == self.run.id),
            ledger.c.key.not_in(select(here.c.key).where(here.c.run_id == self.run.id)),
            ledger.c.key.not_in(select(doubts.c.key).where(doubts.c.run_id == self.run.id)),
            condition,
        )
        place = self.position + func.row_number().over(order_by=[ledger.c.kind, ledger.c.key])
        own = {name: ledger.c[name] for name in LIFE if name in findings.c}
        values: dict[str, Any] = {
            "run_id": literal(self.run.id),
            "position": place,
            "domain": ledger.c.domain,
            "key": ledger.c.key,
            "kind": ledger.c.kind,
            "standing": literal(Standing.RESOLVED.value),
            "changed": func.coalesce(last.c.changed, literal("[]", Text)),
            "source": last.c.source,
            "target": last.c.target,
            **own,
            "created_at": last.c.created_at,
            "money": last.c.money,
            "currency": last.c.currency,
        }
        joined = ledger.outerjoin(last, and_(last.c.run_id == ledger.c.last_run, last.c.key == ledger.c.key))
        query = select(*[value.label(name) for name, value in values.items()]).select_from(joined).where(gone)
        statement = insert(findings).from_select(list(values), query).execution_options(preserve_rowcount=True)
        count = self.conn.execute(statement).rowcount
        self.position += count
        self.counts[Standing.RESOLVED.value, ""] += count

    def settle(self) -> None:
        """Closes what was resolved, ends its acknowledgements, and withdraws what is no longer the fact."""
        resolved = select(findings.c.key).where(findings.c.run_id == self.run.id, findings.c.standing == Standing.RESOLVED)
        closed = update(ledger).where(ledger.c.domain == self.job.domain, ledger.c.state == OPEN, ledger.c.key.in_(resolved))
        self.conn.execute(closed.values(state="resolved", resolved_at=self.now, resolved_run=self.run.id))
        held = [ack.key for ack in self.acks.values()]
        for batch in _batches(held, BATCH):
            gone = self.conn.execute(resolved.where(findings.c.key.in_(batch))).scalars().all()
            acknowledgements.end_in(self.conn, self.job.domain, gone, "the discrepancy was resolved", self.now)
        withdraw(self.conn, self.run.id, self.job)


def _micros(value: Any) -> int | None:
    try:
        return micros(parse_iso(value)) if isinstance(value, str) else None
    except ValueError:
        return None


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
