"""The safety mechanisms, and for each a way to take it out of the real code while a `with` lasts.

A mechanism is taken out where it stands: a check that passes everything, a step that is left out, an id drawn by chance. That the
suite notices is what `campaign.py` shows.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from sqlalchemy import select, update


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """One mechanism: what the code no longer does once it is taken out, and the number of the promise that hangs on it."""

    name: str
    without: str
    promise: int
    remove: Callable[[ExitStack], None]


MECHANISMS: dict[str, Mechanism] = {}


def mechanism(promise: int, without: str) -> Callable[[Callable[[ExitStack], None]], Callable[[ExitStack], None]]:
    """Names a mechanism after the function that takes it out."""

    def register(remove: Callable[[ExitStack], None]) -> Callable[[ExitStack], None]:
        name = remove.__name__
        MECHANISMS[name] = Mechanism(name=name, without=without, promise=promise, remove=remove)
        return remove

    return register


@contextmanager
def removed(*names: str) -> Iterator[None]:
    """The code without these mechanisms."""
    with ExitStack() as stack:
        for name in names:
            MECHANISMS[name].remove(stack)
        yield


def swap(stack: ExitStack, thing: Any, name: str, made: Any) -> None:
    """Puts `made` in the place of an attribute that must be there: a mechanism that has moved is to be found again, not passed over."""
    stack.enter_context(patch.object(thing, name, made))


# -- the fetch is whole, or it is nothing --------------------------------------------------------------------------------------


@mechanism(1, "a listing that stops without its end marker counts as whole")
def end_proof(stack: ExitStack) -> None:
    from recon.fetch.landing import _Landing
    from recon.fetch.page import End, Page

    real = _Landing._judge

    def judge(self: Any, number: int, brought: Any, crew: Any) -> bool:
        return real(self, number, Page(items=[], end=End("it stopped")) if brought is None else brought, crew)

    swap(stack, _Landing, "_judge", judge)


@mechanism(1, "what a partial fetch does not show counts as absent")
def partial_infers_nothing(stack: ExitStack) -> None:
    from recon.run import partial

    swap(stack, partial, "whole", lambda _: True)


@mechanism(1, "a fetch that fails half-way counts as whole, with what had come")
def whole_or_nothing(stack: ExitStack) -> None:
    from recon.errors import ProviderError
    from recon.run import listing

    real = listing.land

    def land(provider: Any, wanted: Any, spool: Any, *, clock: Any, on_page: Any = None, **options: Any) -> Any:
        latest: list[Any] = []

        def told(coverage: Any) -> None:
            latest.append(coverage)
            on_page(coverage)

        try:
            return real(provider, wanted, spool, clock=clock, on_page=told, **options)
        except ProviderError:
            if not latest:
                raise
            return replace(latest[-1], whole=True, proof="it broke off")

    swap(stack, listing, "land", land)


@mechanism(1, "a page that came before is taken as a new one")
def same_page(stack: ExitStack) -> None:
    from recon.fetch.spool import Spool

    swap(stack, Spool, "seen", lambda *_: None)


@mechanism(1, "a place that was come to before is gone on from")
def same_place(stack: ExitStack) -> None:
    from recon.fetch.spool import Spool

    swap(stack, Spool, "seen_place", lambda *_: None)


@mechanism(1, "a checkpoint is gone on from however old it is")
def old_checkpoint(stack: ExitStack) -> None:
    from recon.fetch.landing import _Landing

    swap(stack, _Landing, "_drop_old", lambda *_: None)


@mechanism(2, "pages on this disk are gone on from, whatever another host has fetched since")
def pages_of_this_fetch(stack: ExitStack) -> None:
    from recon.run import pages

    swap(stack, pages, "usable", lambda spool, run, now: spool.pages > 0 and run.watermark is not None)


@mechanism(2, "the watermark is taken after the fetch")
def early_watermark(stack: ExitStack) -> None:
    from recon.run.night import Night
    from recon.state.run import RunState

    real = Night.advance

    def advance(self: Any, to: Any, **facts: Any) -> None:
        real(self, to, **({**facts, "watermark": self.state.now()} if to is RunState.SEALED else facts))

    swap(stack, Night, "advance", advance)


# -- what cannot be understood is unknown --------------------------------------------------------------------------------------


@mechanism(13, "an unreadable item is compared as if it were not there")
def unreadable_is_unknown(stack: ExitStack) -> None:
    from recon.compare.diff import Comparison

    _aside_without(stack, "select key from store_twice", lambda work: work.twice)
    swap(stack, Comparison, "set_aside", lambda _: iter(()))


@mechanism(13, "a key that stands twice in the store is compared as if it stood there once")
def double_is_unknown(stack: ExitStack) -> None:
    _aside_without(stack, "select key from unmatched where _bad_field is not null and key is not null", lambda work: work.store_bad)


def _aside_without(stack: ExitStack, kept: str, there: Callable[[Any], int]) -> None:
    """The comparison with only a part of the keys set aside of which nothing can be said."""
    from recon.compare import diff

    work = next(value for value in vars(diff).values() if isinstance(value, type) and hasattr(value, "_set_aside"))
    real = work._set_aside

    def aside(self: Any) -> None:
        real(self)
        self.aside = there(self)
        if self.aside:
            self.engine.execute(f"create or replace temp table aside as {kept}")

    swap(stack, work, "_set_aside", aside)


# -- looked at again before it is believed -------------------------------------------------------------------------------------


def _believing(_look: Any, suspects: Any, *, file: Any, **_: Any) -> Any:
    """In the place of `confirm`: every suspect is believed as it is."""
    import msgspec

    from recon.confirm import Confirmation

    outcome = Confirmation(file)
    with file.open("wb") as out:
        for found in suspects:
            outcome.confirmed[found.kind] += 1
            outcome.by_field.update(found.changed)
            out.write(msgspec.json.encode(found) + b"\n")
    return outcome


@mechanism(2, "suspects are believed without a second look")
def second_look(stack: ExitStack) -> None:
    from recon.run import looking

    swap(stack, looking, "confirm", _believing)


@mechanism(9, "what was approved goes out without being read again")
def look_before_sending(stack: ExitStack) -> None:
    from recon.run import approval

    swap(stack, approval, "confirm", _believing)


@mechanism(2, "the second look follows the first at once")
def settle(stack: ExitStack) -> None:
    from recon.run import looking

    swap(stack, looking, "settle", lambda *_: None)


@mechanism(2, "a suspect that moved between the looks is believed as it is now")
def moved(stack: ExitStack) -> None:
    from recon.confirm import confirmation

    swap(stack, confirmation, "_moved", lambda *_: False)


@mechanism(2, "what changed after the fetch began is judged like all else")
def in_flight(stack: ExitStack) -> None:
    from recon.confirm import Sifted
    from recon.run import looking

    swap(stack, looking, "sifted", lambda _night, suspects, counts, by_field: Sifted(suspects, counts, by_field))


@mechanism(14, "a listing is believed to be whole although items that it lacks are found by id")
def refuted_listing(stack: ExitStack) -> None:
    from recon.confirm import confirmation

    swap(stack, confirmation, "_left_out", lambda job, first: False)


@mechanism(2, "a deletion is told on its first night, whatever the job says")
def tombstone(stack: ExitStack) -> None:
    from recon.plan import plan

    real = plan._planned
    swap(stack, plan, "_planned", lambda job, run, row: real(replace(job, delete_nights=1), run, row))


@mechanism(1, "a 404 is believed although nothing else is found either")
def positive_control(stack: ExitStack) -> None:
    from recon.confirm.by_id import ById

    swap(stack, ById, "_control_found", lambda *_: None)


@mechanism(14, "an open key that tonight's listing leaves out counts as resolved")
def recheck(stack: ExitStack) -> None:
    from recon.run import looking

    swap(stack, looking, "_left", lambda *_: [])


# -- too large to be believed --------------------------------------------------------------------------------------------------


def _never(stack: ExitStack, name: str) -> None:
    """The guard's figure, never tripped."""
    from recon import guard

    real = getattr(guard, name)
    swap(stack, guard, name, lambda *args, **options: replace(real(*args, **options), tripped=False))


@mechanism(8, "any number of missing, extra or changed items passes")
def guard_of_kinds(stack: ExitStack) -> None:
    _never(stack, "_kind")


@mechanism(8, "an empty source beside a filled target passes")
def guard_of_empty(stack: ExitStack) -> None:
    _never(stack, "_empty")


@mechanism(8, "a source that lost a large part passes")
def guard_of_shrunken(stack: ExitStack) -> None:
    _never(stack, "_shrunken")


@mechanism(8, "the same field in most items passes")
def guard_of_same_field(stack: ExitStack) -> None:
    _never(stack, "_same_field")


@mechanism(8, "guards are not asked at all")
def guards(stack: ExitStack) -> None:
    from recon.run.night import Night

    swap(stack, Night, "guard", lambda *_, **__: False)


@mechanism(8, "the measure of a shrunken source is any run, believed or not")
def believed_measure(stack: ExitStack) -> None:
    from recon.state.runs import Runs

    def last_whole(self: Any, domain: str) -> Any:
        return next((run for run in self.recent(domain, 50) if run.whole and run.source_records is not None), None)

    swap(stack, Runs, "last_whole", last_whole)


@mechanism(8, "a held plan's events lie in the outbox, where they can be claimed")
def plan_apart(stack: ExitStack) -> None:
    from recon.outbox import Outbox
    from recon.run.night import Night

    real = Night.hold

    def hold(self: Any, *args: Any, **options: Any) -> int:
        code: int = real(self, *args, **options)
        if self.job.publishers and not self.dry:
            with self.state.begin() as conn:
                outbox, run = Outbox(self.state), self.claim.run
                outbox._store(conn, run.domain, run.id, self.state.now(conn))
                for name in self.job.publishers:
                    outbox._queue(conn, run.id, name, self.state.now(conn), 0)
        return code

    swap(stack, Night, "hold", hold)


# -- a person's word -----------------------------------------------------------------------------------------------------------


@mechanism(9, "an approval takes whatever plan is there")
def approval_binds_the_plan(stack: ExitStack) -> None:
    from recon.plan.plan import Plans

    real = Plans.approve_in

    def approve_in(self: Any, conn: Any, run: Any, checksum: str, *rest: Any) -> Any:
        del checksum
        return real(self, conn, run, self._load(conn, run).checksum, *rest)

    swap(stack, Plans, "approve_in", approve_in)


@mechanism(9, "a plan can be decided over again, and after its time")
def decided_once_in_time(stack: ExitStack) -> None:
    from recon.plan.plan import Plans

    swap(stack, Plans, "_decidable", lambda self, conn, run, *_: self._load(conn, run))


@mechanism(9, "what was not in the approved plan may join it")
def none_joins(stack: ExitStack) -> None:
    from recon.plan.plan import Plans
    from recon.state.tables import plan_events

    real = Plans.narrow_in

    def narrow_in(self: Any, conn: Any, run: Any, kept_keys: Any) -> Any:
        there = set(conn.execute(select(plan_events.c.key).where(plan_events.c.run_id == run.id)).scalars())
        return real(self, conn, run, [key for key in kept_keys if key in there])

    swap(stack, Plans, "narrow_in", narrow_in)


@mechanism(8, "a plan that is held or was rejected can be enqueued")
def cleared_plan(stack: ExitStack) -> None:
    from recon.outbox import outbox
    from recon.state.tables import plans

    real = outbox.Outbox.enqueue_in

    def enqueue_in(self: Any, conn: Any, claim: Any, run_id: str, *publishers: str, **older: Any) -> int:
        conn.execute(update(plans).where(plans.c.run_id == run_id, plans.c.state != "none").values(state="passed"))
        count: int = real(self, conn, claim, run_id, *publishers, **older)
        return count

    swap(stack, outbox.Outbox, "enqueue_in", enqueue_in)


@mechanism(8, "a dry run emits")
def dry_run(stack: ExitStack) -> None:
    from recon.run.night import Night

    real = Night.__init__

    def made(self: Any, *args: Any, **options: Any) -> None:
        real(self, *args, **options)
        self.dry = False

    swap(stack, Night, "__init__", made)


@mechanism(14, "an acknowledged discrepancy gets an event all the same")
def acknowledgement(stack: ExitStack) -> None:
    from recon.ledger.ledger import _Recorder

    swap(stack, _Recorder, "_acknowledged", lambda *_: None)


# -- who may write -------------------------------------------------------------------------------------------------------------


@mechanism(5, "a process that was overtaken goes on writing")
def fence(stack: ExitStack) -> None:
    from recon.state import lease

    swap(stack, lease, "check", lambda *_: None)


@mechanism(5, "a lease is taken from a process that is at work")
def lease_is_held(stack: ExitStack) -> None:
    from recon.state import lease
    from recon.state.tables import leases

    real = lease.acquire

    def acquire(state: Any, conn: Any, domain: str, *rest: Any) -> Any:
        conn.execute(update(leases).where(leases.c.domain == domain).values(owner=None))
        return real(state, conn, domain, *rest)

    swap(stack, lease, "acquire", acquire)


@mechanism(6, "a slot gets another run each time it is asked for")
def one_run_per_slot(stack: ExitStack) -> None:
    from recon.state.runs import Runs

    swap(stack, Runs, "_refuse_taken", lambda *_: None)


@mechanism(5, "an older program writes into a newer database")
def newer_state(stack: ExitStack) -> None:
    from recon.state import upgrade

    swap(stack, upgrade, "refuse_newer", lambda *_: None)


# -- one fact, one event -------------------------------------------------------------------------------------------------------


@mechanism(4, "an event's id is drawn by chance")
def id_of_the_fact(stack: ExitStack) -> None:
    from recon.ledger.life import Sighting

    swap(stack, Sighting, "identify", lambda *_: str(uuid.uuid4()))


@mechanism(4, "what comes back has the id that it had before")
def generation(stack: ExitStack) -> None:
    from recon.ledger import ledger, life

    real = life.seen

    def seen(before: Any, found: Any, sighting: Any, *, confirmed: bool) -> Any:
        after = real(before, found, sighting, confirmed=confirmed)
        return replace(after, generation=1, event_id=sighting.identify(found, 1))

    swap(stack, ledger, "seen", seen)
    swap(stack, life, "seen", seen)


@mechanism(4, "an id that is told again is told in other words")
def first_bytes(stack: ExitStack) -> None:
    from recon.outbox import Outbox
    from recon.state.tables import events, plan_events

    real = Outbox._store

    def store(self: Any, conn: Any, domain: str, run_id: str, now: Any) -> None:
        real(self, conn, domain, run_id, now)
        p = plan_events.c
        for row in conn.execute(select(p.event_id, p.body).where(p.run_id == run_id)).all():
            conn.execute(update(events).where(events.c.id == row.event_id).values(body=row.body + b" "))

    swap(stack, Outbox, "_store", store)


@mechanism(14, "an incomplete comparison resolves what it did not look at")
def complete_to_resolve(stack: ExitStack) -> None:
    from recon.ledger.ledger import Ledger

    real = Ledger.record_in

    def record_in(self: Any, *args: Any, **options: Any) -> Any:
        return real(self, *args, **{**options, "complete": True})

    swap(stack, Ledger, "record_in", record_in)


# -- delivery ------------------------------------------------------------------------------------------------------------------


@mechanism(4, "an event is marked as sent before it is sent")
def send_then_mark(stack: ExitStack) -> None:
    from recon.outbox.delivery import _Drain
    from recon.outbox.marking import Answered
    from recon.publishers.base import Outcome, OutcomeKind

    real = _Drain._published

    def published(self: Any, batch: Any) -> Any:
        waiting = {row.event_id: row for row in self._due()}
        self.answered += [Answered(waiting[one.id], Outcome(kind=OutcomeKind.CONFIRMED)) for one in batch if one.id in waiting]
        self._mark()
        return real(self, batch)

    swap(stack, _Drain, "_published", published)


@mechanism(4, "an answer that says nothing is taken for a yes")
def unknown_is_no_yes(stack: ExitStack) -> None:
    from recon.outbox.delivery import _Drain
    from recon.publishers.base import OutcomeKind

    real = _Drain._published

    def published(self: Any, batch: Any) -> Any:
        return [replace(one, kind=OutcomeKind.CONFIRMED) if one.kind is OutcomeKind.UNKNOWN else one for one in real(self, batch)]

    swap(stack, _Drain, "_published", published)


@mechanism(4, "a later event of a key overtakes an earlier one that waits")
def order_of_a_key(stack: ExitStack) -> None:
    from recon.outbox import delivery
    from recon.outbox.line import waiting_for
    from recon.state.tables import events, outbox

    def due(self: Any) -> Any:
        query = select(*delivery.DUE).join(events, events.c.id == outbox.c.event_id).where(*waiting_for(self.name, self.domain))
        with self.state.read() as conn:
            return delivery.due_of(
                conn.execute(query.where(outbox.c.due_at <= self.state.now(conn)).order_by(outbox.c.seq.desc()).limit(500))
            )

    swap(stack, delivery._Drain, "_due", due)


@mechanism(2, "an event that waits is sent although tonight found it otherwise")
def withdrawal(stack: ExitStack) -> None:
    from recon.ledger import ledger

    swap(stack, ledger, "withdraw", lambda *_: None)


@mechanism(4, "the outbox gets its events in a transaction after the run's")
def one_transaction(stack: ExitStack) -> None:
    from recon.outbox import Outbox

    real = Outbox.enqueue_in

    def enqueue_in(self: Any, conn: Any, claim: Any, run_id: str, *publishers: str, **older: Any) -> int:
        conn.exec_driver_sql("COMMIT")
        conn.exec_driver_sql("BEGIN")
        count: int = real(self, conn, claim, run_id, *publishers, **older)
        return count

    swap(stack, Outbox, "enqueue_in", enqueue_in)


# -- what is said --------------------------------------------------------------------------------------------------------------


@mechanism(14, "clean is said wherever nothing was found, proven or not")
def proven_clean(stack: ExitStack) -> None:
    from recon.report.figures import Verdict
    from recon.run import account

    real = account.judge

    def judge(figures: Any, *, only_key: str | None) -> Any:
        found = real(figures, only_key=only_key)
        return Verdict.CLEAN if not figures.discrepancies and found is not Verdict.HELD and only_key is None else found

    swap(stack, account, "judge", judge)


@mechanism(11, "secrets are not masked")
def redaction(stack: ExitStack) -> None:
    from recon import redact

    swap(stack, redact, "_pattern", lambda _: None)


@mechanism(11, "a request goes to any host")
def declared_origin(stack: ExitStack) -> None:
    from recon.fetch.origin import Origins

    swap(stack, Origins, "admit", lambda *_, **__: None)


@mechanism(12, "text from outside reaches the terminal as it is")
def inert_text(stack: ExitStack) -> None:
    from recon import inert

    swap(stack, inert, "escaped", lambda character: character)
