"""Delivery: what waits in the outbox goes to its destination, is marked when the destination has confirmed it, and never before.

At least once, under the same id each time; in order per entity, by letting only the oldest waiting event of a key go; by one process
at a time per destination and domain, by a lease; within a deadline, so that a dead destination does not hold a night up.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime
from itertools import islice

import msgspec
from sqlalchemy import func, select

from recon.clock import Clock
from recon.errors import LeaseHeld
from recon.outbox.breaker import Breaker
from recon.outbox.counting import Counts
from recon.outbox.lanes import add_older, drop_older
from recon.outbox.line import LINE, WIDEST, alone, domains_of, left_of, oldest, probe, waiting_for
from recon.outbox.manner import Manner, Manners, plain
from recon.outbox.marking import Answered, mark
from recon.outbox.parked import parked
from recon.outbox.standing import remember, standings
from recon.outbox.telling import DUE, NEWEST, Due, Teller, Untold, batches, due_of
from recon.publishers.base import Message, Outcome, OutcomeKind, Publisher
from recon.redact import redact
from recon.report.figures import DeliveryFigure
from recon.state import lease as leases
from recon.state.bulk import AS_BYTES, among, by_index
from recon.state.database import State
from recon.state.lease import Lease
from recon.state.tables import events, micros, outbox

DEADLINE = 60.0
"""Seconds that a drain may take in all."""

PUBLISH_SECONDS = 30.0
"""Seconds that one call of a publisher is given."""

LEASE_SECONDS = 120.0
"""Longer than one call may take, so that a holder that is merely waiting for an answer keeps its lease."""

WINDOW = 500
"""At most so many events are read ahead, and marked in one transaction: few at first, more (up to `WIDEST`) while the destination takes them quickly."""

WINDOW_BYTES = 16 * 1024 * 1024
"""About how many bytes a window may hold."""

MARK_SECONDS = 0.5
"""After so long, what was confirmed is marked even if the window is not full: a crash repeats no more than this."""

log = logging.getLogger(__name__)


def drain(
    state: State,
    publisher: Publisher,
    *,
    name: str,
    domain: str | None = None,
    clock: Clock,
    deadline: float = DEADLINE,
    manners: Manners = plain,
    on_batch: Callable[[DeliveryFigure], None] | None = None,
    on_wait: Callable[[str], None] | None = None,
) -> DeliveryFigure:
    """Delivers what waits for the destination `name`, of one domain or of all, for at most `deadline` seconds.

    The figure counts what this call did; `waiting` is what is left, to be delivered by the next call. A receiver that asks for time
    (RETRY, `after` honoured) or gives no usable answer (UNKNOWN) leaves the event waiting, and later events of the same key behind
    it; REJECTED makes it a dead letter. `manners` says of a domain how its events are told and shown, and whether a confirmation counts.
    `on_wait` is told, once a domain, whose delivery is waited for. How the destination stood is remembered: one that was down when anybody last asked is asked with one event at first.
    Raises LostLease where another process took the delivery over, StateError and LocalFault for the state database; never for the
    destination.
    """
    until = clock.monotonic() + deadline
    counts = Counts()
    reason = ""
    stood = standings(state).get(name)
    breaker = Breaker(failures=stood.failures if stood is not None else 0)
    domains = domains_of(state, name) if domain is None else [domain]
    works = [_Drain(state, publisher, name, one, clock, until, breaker, counts, on_batch, on_wait, manners(one)) for one in domains]
    # What is due in all of them goes before anything is waited for in one of them; then who had no turn yet is the first.
    for patient in (False, True) if len(works) > 1 else (True,):
        for work in sorted(works, key=lambda work: work.asked):
            try:
                work.run(patient=patient)
            except LeaseHeld as error:
                work.reason = redact(error.message) if patient else work.reason
            reason = work.reason or reason
    # What it took of one version and not of the other is no outage: it would be asked for one event a night, and that the wrong one.
    failures = breaker.failures if breaker.probing and not counts.taken else 0
    if failures != (stood.failures if stood is not None else 0):
        remember(state, name, failures, reason, stood)
    left = left_of(state, name, domain)
    return replace(counts.figure(name, left, reason), parked=parked(state, name, domain, manners) if left.total() else None)


class _Drain:
    """One domain's events on their way to one destination."""

    def __init__(  # noqa: PLR0917 - made in one place, which names nothing twice
        self,
        state: State,
        publisher: Publisher,
        name: str,
        domain: str,
        clock: Clock,
        until: float,
        breaker: Breaker,
        counts: Counts,
        on_batch: Callable[[DeliveryFigure], None] | None,
        on_wait: Callable[[str], None] | None,
        manner: Manner,
    ) -> None:
        self.state = state
        self.publisher = publisher
        self.name = name
        self.domain = domain
        self.clock = clock
        self.until = until
        self.breaker = breaker
        self.counts = counts
        self.on_batch = on_batch
        self.on_wait = on_wait
        self.veil = manner.veil
        self.versions = manner.versions
        self.heals = manner.heals
        self.width = WINDOW
        self.asked = False
        self.reason = ""
        self.left: Counter[int] = Counter()
        self.answered: list[Answered] = []
        self.lease: Lease
        self.renewed = 0.0

    @property
    def remaining(self) -> float:
        return self.until - self.clock.monotonic()

    def run(self, *, patient: bool = True) -> None:
        """Delivers until nothing is due, or the time is over; only a `patient` one waits for what will be due, or for another deliverer."""
        self.left = left_of(self.state, self.name, self.domain)
        if not self.left.total():
            return
        self.lease = self._acquire(patient=patient)
        try:
            self._align()
            while self.remaining > 0:
                closed = self.breaker.wait(self.clock.monotonic())
                rows = [] if closed else self._due()
                if rows:
                    self._window(rows)
                elif not (patient and self._pause(closed or self._next_due())):
                    break
        finally:
            with self.state.begin() as conn:
                leases.release(self.state, conn, self.lease)

    def _align(self) -> None:
        """What waits stands in the lines that the job and the destination have now, whatever they had when it was enqueued."""
        takes = self.publisher.capabilities.versions
        sends = takes and self.versions is not None and bool(self.versions.sent)
        if not sends and (takes or not any(lane > NEWEST for lane in +self.left)):
            return
        with self.state.begin() as conn:
            leases.check(conn, self.lease)
            if self.versions is not None and sends:
                sent = [one.number for one in self.versions.sent_on(self.state.now(conn).date())]
                moved = add_older(self.state, conn, self.name, self.domain, sent)
            else:
                moved = drop_older(conn, self.name, self.domain)
        if moved:
            self.left = left_of(self.state, self.name, self.domain)

    def _acquire(self, *, patient: bool) -> Lease:
        """The right to deliver; waits for another deliverer as long as the time allows, where it is `patient`, then raises LeaseHeld."""
        while True:
            self.renewed = self.clock.monotonic()
            try:
                with self.state.begin() as conn:
                    return leases.acquire(self.state, conn, f"{leases.DELIVERY}{self.name}:{self.domain}", leases.owner(), LEASE_SECONDS)
            except LeaseHeld as held:
                if patient and self.on_wait is not None:
                    self.on_wait(f"waiting: {held.message}")
                    self.on_wait = None
                if not patient or self.remaining <= 0 or not self._slept(min(0.2, self.remaining)):
                    raise

    def _pause(self, seconds: float | None) -> bool:
        """Waits until something is due; False where nothing waits, not within the time left, or the process is asked to stop."""
        if seconds is None or seconds > self.remaining:
            return False
        self._keep_lease()
        return self._slept(max(seconds, 0.01))

    def _slept(self, seconds: float) -> bool:
        """Sleeps; a sleep that ends early means that the process is asked to stop."""
        begun = self.clock.monotonic()
        self.clock.sleep(seconds)
        return self.clock.monotonic() - begun >= seconds / 2

    def _due(self) -> list[Due]:
        """What may go now: of each key, in each version, only its oldest waiting event, so that a later one never overtakes it.

        Mostly that is what stands first in the outbox. Where much of that has to wait, the rest is chosen here, over a stream that is
        left as soon as there are enough: a database that is asked for the oldest of each key looks at everything that waits.
        """
        if self.breaker.probing and len(+self.left) > 1:
            return self._probes()
        limit = 1 if self.breaker.probing else max(self.width, self.publisher.capabilities.batch)
        waiting = waiting_for(self.name, self.domain)
        query = select(*DUE).join(events, events.c.id == outbox.c.event_id).order_by(outbox.c.seq).execution_options(**AS_BYTES)
        with self.state.read() as conn:
            by_index(conn)
            now = micros(self.state.now(conn))
            if not self.breaker.probing:
                first = due_of(conn.execute(query.where(*waiting).limit(limit)))
                due = [row for row in (first if alone(first) else oldest(first)) if row.due <= now]
                if len(first) < limit or len(due) > limit // 2:
                    return due
            line = select(*LINE).where(*waiting).order_by(outbox.c.seq)
            with conn.execute(line, execution_options={"yield_per": WIDEST}) as rows:
                able = (row for row in oldest(rows) if row.due <= now)
                chosen = probe(able) if self.breaker.probing else [row.seq for row in islice(able, limit)]
            return due_of(conn.execute(query.where(among(conn, outbox.c.seq, chosen)))) if chosen else []

    def _probes(self) -> list[Due]:
        """One event of each version: a destination that is well but for one of them must not look as if it took none."""
        waiting = waiting_for(self.name, self.domain)
        chosen = []
        with self.state.read() as conn:
            now = micros(self.state.now(conn))
            for lane in +self.left:
                mine = outbox.c.version == lane if lane > NEWEST else outbox.c.version <= NEWEST
                line = select(*LINE).where(*waiting, mine).order_by(outbox.c.seq)
                with conn.execute(line, execution_options={"yield_per": WIDEST}) as rows:
                    chosen += [row.seq for row in islice((row for row in oldest(rows) if row.due <= now), 1)]
            query = select(*DUE).join(events, events.c.id == outbox.c.event_id).order_by(outbox.c.seq)
            return due_of(conn.execute(query.where(among(conn, outbox.c.seq, chosen)))) if chosen else []

    def _next_due(self) -> float | None:
        """Seconds until the next event may go; None where none waits."""
        waiting = waiting_for(self.name, self.domain)
        with self.state.read() as conn:
            due: datetime | None = conn.execute(select(func.min(outbox.c.due_at)).where(*waiting)).scalar_one()
            now = self.state.now(conn)
            if due is None or due > now:
                return None if due is None else (due - now).total_seconds()
            # It is due, and one of its key before it is not: that one decides.
            by_index(conn)
            line = select(*LINE).where(*waiting).order_by(outbox.c.seq)
            with conn.execute(line, execution_options={"yield_per": WIDEST}) as rows:
                first = min((row.due for row in oldest(rows)), default=None)
            return None if first is None else max(0.0, (first - micros(now)) / 1_000_000)

    def _window(self, rows: list[Due]) -> None:
        """Sends a window of events, a batch at a time, and marks them."""
        size = max(1, self.publisher.capabilities.batch)
        begun = marked = self.clock.monotonic()
        try:
            tried: int | None = None
            for batch in batches(rows, size):
                # The rest of the window stays waiting, and is read again when it may go.
                if self.remaining <= 0:
                    return
                # What is not taken in one version may be in another, which is asked for itself.
                lane = batch[0].lane
                if lane == tried and self.breaker.wait(self.clock.monotonic()) > 0:
                    continue
                tried = lane
                told = self._fitting(self._told(batch))
                # Last of all before the call: a process that stood still while it read must not send what another one has delivered since.
                self._keep_lease()
                self._send(told)
                if self.clock.monotonic() - marked >= MARK_SECONDS:
                    self._mark()
                    marked = self.clock.monotonic()
            self._fit(rows, self.clock.monotonic() - begun)
        finally:
            # Whatever ended it, what was answered is not forgotten.
            self._mark()

    def _fit(self, rows: Sequence[Due], seconds: float) -> None:
        """Widens the window while it is sent sooner than it would be marked, as far as memory allows; narrows it where a destination takes its time."""
        quick = seconds < MARK_SECONDS and not self.breaker.failures
        mean = max(1, sum(len(row.body) for row in rows) // len(rows))
        self.width = min(self.width * 2 if quick else WINDOW, WIDEST, max(1, WINDOW_BYTES // mean))

    def _keep_lease(self) -> None:
        """Renews the lease when a third of it is gone; a process that slept through it finds out here, before it sends."""
        if self.clock.monotonic() - self.renewed > self.lease.ttl / 3:
            with self.state.begin() as conn:
                self.lease = leases.renew(self.state, conn, self.lease)
            self.renewed = self.clock.monotonic()

    def _told(self, rows: list[Due]) -> list[Due]:
        """The rows in the versions that they are to be told in; those that cannot be have their answer here."""
        if self.versions is None and rows[0].lane == NEWEST:
            return rows
        with self.state.read() as conn:
            today = self.state.now(conn).date()
        teller = Teller(self.versions, today, discreet=self.veil is not None and bool(self.veil.names))
        found = []
        for row in rows:
            try:
                found.append(row.told(teller.told(row.stored, row.version)))
            except Untold as untold:
                outcome = replace(untold.outcome, reason=redact(untold.outcome.reason))
                self.answered.append(Answered(row, outcome))
        return found

    def _fitting(self, rows: list[Due]) -> list[Due]:
        """The rows small enough for the destination; the others are refused here, with their figures."""
        limit = self.publisher.capabilities.max_bytes
        if limit is None:
            return rows
        large = [row for row in rows if len(row.body) > limit]
        if not large:
            return rows
        for row in large:
            why = f"the event has {len(row.body):,} bytes, {self.name} takes at most {limit:,}"
            self.answered.append(Answered(row, Outcome(kind=OutcomeKind.REJECTED, reason=why)))
        return [row for row in rows if len(row.body) <= limit]

    def _send(self, rows: list[Due]) -> None:
        if not rows:
            return
        batch = [
            Message(
                id=row.event_id,
                type=row.type,
                subject=row.subject,
                partitionkey=row.partitionkey,
                body=row.body,
                emission=row.emission,
                replay=row.replay,
                domain=self.domain,
                version=row.lane,
            )
            for row in rows
        ]
        self.asked = True
        with self._hiding(rows):
            outcomes = self._published(batch)
        self.answered += [Answered(row, outcome) for row, outcome in zip(rows, outcomes, strict=True)]
        failed = [outcome for outcome in outcomes if outcome.kind is OutcomeKind.RETRY or outcome.kind is OutcomeKind.UNKNOWN]
        if len(failed) < len(outcomes):
            self.breaker.success()
        else:
            after = max((outcome.after or 0.0 for outcome in failed), default=0.0)
            self.breaker.failure(self.clock.monotonic(), after=after)

    def _hiding(self, rows: Sequence[Due]) -> AbstractContextManager[None]:
        """While these events are out, what is personal in them is not logged, and not taken from what is answered."""
        if self.veil is None or not self.veil.names:
            return nullcontext()
        # A version may have another name for what is personal in the other.
        said = [msgspec.json.decode(body)["data"] for row in rows for body in {row.body, row.stored}]
        records = [record for data in said for record in (data.get("state"), data.get("before")) if isinstance(record, dict)]
        return self.veil.hiding([row.partitionkey for row in rows], records)

    def _published(self, batch: list[Message]) -> Sequence[Outcome]:
        """The outcomes, one for each message. A publisher that breaks its protocol has said nothing: every event is UNKNOWN."""
        try:
            outcomes = list(self.publisher.publish(batch, min(PUBLISH_SECONDS, max(0.1, self.remaining))))
        except Exception as error:  # A publisher may be a user's own code; its fault must not lose an event.
            why = f"publisher {self.name} raised {error.__class__.__name__}: {error}"
            log.exception("%s", why, extra={"action": "publisher_broke"})
        else:
            if len(outcomes) == len(batch) and all(isinstance(outcome, Outcome) for outcome in outcomes):
                # What a receiver answers may quote what it was sent; from here on it is stored and shown.
                return [replace(outcome, reason=redact(outcome.reason)) if outcome.reason else outcome for outcome in outcomes]
            why = f"publisher {self.name} answered {len(outcomes)} outcomes for {len(batch)} events"
            log.error("%s", why, extra={"action": "publisher_broke"})
        return [Outcome(kind=OutcomeKind.UNKNOWN, reason=redact(why))] * len(batch)

    def _mark(self) -> None:
        """Writes down what became of the events that were answered since the last time, under the lease."""
        if not self.answered:
            return
        answered, self.answered = self.answered, []
        with self.state.begin() as conn:
            leases.check(conn, self.lease)
            mark(conn, answered, self.state.now(conn), heals=self.heals)
        self.left.subtract(self.counts.add(answered))
        reasons = (one.outcome.reason for one in reversed(answered) if one.outcome.reason and one.outcome.kind is not OutcomeKind.CONFIRMED)
        self.reason = next(reasons, self.reason)
        if self.on_batch is not None:
            self.on_batch(self.counts.figure(self.name, self.left, self.reason))
