"""One fact in a transaction that is begun: raised to the newest version, ruled on, written or kept aside, with its side effect."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection, exc

from recon.clock import Clock
from recon.consume.applied import Applied, AppliedKind
from recon.consume.beside import DeadLetters
from recon.consume.effects import Case, DoorEffect, Effect, Effects
from recon.consume.facts import fact_of, prints_of, settles
from recon.consume.guard import Guard, Taken
from recon.consume.ruling import Fact, Ruling
from recon.event import Event, decode
from recon.event.cloudevents import STRUCTURED
from recon.upsert.change import Conflict, Unfit
from recon.upsert.fault import unfit
from recon.upsert.savepoint import savepoint
from recon.versions import UnknownVersion, Versions

STRUCTURED_HEADERS = {"content-type": STRUCTURED}
KINDS = {
    Ruling.WRITE: AppliedKind.APPLIED,
    Ruling.ALREADY: AppliedKind.ALREADY,
    Ruling.OLDER: AppliedKind.OLDER,
    Ruling.CONFLICT: AppliedKind.CONFLICT,
}


@dataclass(frozen=True, slots=True)
class Newest:
    """An event as it came, and of the newest version of its data."""

    event: Event
    raised: Event

    @property
    def lesser(self) -> bool:
        """Whether it came in an older version, which may say less."""
        return self.event.dataversion < self.raised.dataversion


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """What events and ordinary webhooks come to. `effect` is that of corrections which are tried again by themselves."""

    guard_of: Callable[[Connection], Guard]
    versions: Versions
    effects: Effects
    dead: DeadLetters
    clock: Clock
    effect: Effect | None

    def event(self, connection: Connection, event: Event, *, effect: Effect | None, replayed: bool = False) -> Applied:
        """What becomes of a correction."""
        guard = self.guard_of(connection)
        guard.begin(connection)
        try:
            newest = self.raised(event)
            fact = self.fact(guard, newest)
            with savepoint(connection):
                taken = guard.take(connection, fact, prints=prints_of(newest.raised.data), at=self.clock.now())
        except Conflict as error:
            taken = Taken(Ruling.CONFLICT, str(error))
        except (Unfit, exc.DBAPIError, OverflowError, UnicodeError) as error:
            if isinstance(error, exc.DBAPIError) and not unfit(error):
                raise
            return self.buried(connection, event.encode(), STRUCTURED_HEADERS, event, _first_line(error))
        answer = Applied(kind=KINDS[taken.ruling], id=event.id, key=newest.raised.partitionkey, reason=taken.reason)
        if taken.ruling is Ruling.CONFLICT:
            guard.conflicts.record(connection, fact, event.encode(), taken.reason, self.clock.now())
            return answer
        if effect is not None:
            answer = self.effects.of_event(connection, Case(guard, fact, taken), newest.raised, answer, effect, replayed=replayed)
        if taken.ruling in {Ruling.WRITE, Ruling.ALREADY}:
            self._reconsider(connection, guard, fact, effect)
        return answer

    def raised(self, event: Event) -> Newest:
        """With its data in the newest version; raises Unfit where that cannot be."""
        try:
            data = self.versions.raised(event.data, event.dataversion)
        except UnknownVersion as error:
            raise Unfit(str(error)) from None
        except Exception as error:
            # A step from one version to the next is the application's code and may raise anything.
            reason = f"version {event.dataversion} could not be raised to {self.versions.current}: {type(error).__name__}: {error}"
            raise Unfit(reason) from error
        return Newest(event, replace(event, data=data, dataversion=self.versions.current))

    def fact(self, guard: Guard, newest: Newest) -> Fact:
        """What it says of its item; raises Unfit."""
        return fact_of(guard.rows, newest.raised, version=guard.version, sequence=guard.sequence, lesser=newest.lesser)

    def webhook(self, connection: Connection, fact_in: Callable[[Guard], Fact], effect: DoorEffect | None) -> Applied:
        """What becomes of an ordinary webhook's word."""
        guard = self.guard_of(connection)
        guard.begin(connection)
        fact, now = fact_in(guard), self.clock.now()
        try:
            with savepoint(connection):
                taken = guard.take(connection, fact, prints=(None, None), at=now)
        except Conflict as error:
            taken = Taken(Ruling.CONFLICT, str(error))
        answer = Applied(kind=KINDS[taken.ruling], key=fact.change.key, reason=taken.reason)
        if taken.ruling is Ruling.CONFLICT:
            guard.conflicts.record(connection, fact, None, taken.reason, now)
            return answer
        if effect is not None:
            answer = self.effects.of_webhook(connection, Case(guard, fact, taken), answer, effect)
        if taken.ruling is not Ruling.OLDER:
            self._reconsider(connection, guard, fact, self.effect)
        return answer

    def buried(self, connection: Connection, body: bytes, headers: Mapping[str, str], event: Event | None, reason: str) -> Applied:
        """Kept among the dead letters."""
        self.guard_of(connection).begin(connection)
        self.dead.put(connection, body, headers, event=event, reason=reason, at=self.clock.now())
        return Applied(kind=AppliedKind.DEAD, id=event.id if event else "", key=event.partitionkey if event else "", reason=reason)

    def _reconsider(self, connection: Connection, guard: Guard, fact: Fact, effect: Effect | None) -> None:
        """What was in conflict about this item: settled by this, or, where it was found later than this or is so by now, tried again."""
        found = guard.conflicts.open(connection, fact.change.key)
        if not found:
            return
        settled = [one.id for one in found if settles(fact, one)]
        if settled:
            guard.conflicts.settle(connection, settled, self.clock.now())
        bodies = [(one.observed, one.body) for one in found if one.observed is not None and one.body is not None and one.id not in settled]
        later = [one for one in bodies if fact.observed is not None and one[0] > fact.observed]
        if later:
            self.event(connection, decode(max(later)[1]), effect=effect)
        elif fact.observed is None:
            self._so_by_now(connection, guard, [body for _, body in bodies], effect)

    def _so_by_now(self, connection: Connection, guard: Guard, bodies: list[bytes], effect: Effect | None) -> None:
        """Corrections in conflict whose state an ordinary webhook has brought meanwhile: taken, with their effect."""
        for body in bodies:
            try:
                newest = self.raised(decode(body))
                fact = self.fact(guard, newest)
            except (Unfit, ValueError):
                continue
            if guard.so_already(connection, fact):
                self.event(connection, newest.event, effect=effect)


def _first_line(error: Exception) -> str:
    """A database's own words without the row that they go on to quote."""
    return (str(getattr(error, "orig", None) or error).splitlines() or [type(error).__name__])[0][:300]
