"""Side effects of the application's own: whether one is owed, and how its failures are told from those of the database.

An effect belongs to a fact, and runs once for it within the window of the inbox, whoever brings the fact: the correction, or an ordinary
webhook. The inbox remembers it by the event's id, and by item and version where an ordinary webhook had it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, exc

from recon.clock import Clock, iso
from recon.consume.applied import Applied, AppliedKind
from recon.consume.beside import Inbox
from recon.consume.guard import Guard, Taken
from recon.consume.order import moment_of
from recon.consume.ruling import Fact, Ruling
from recon.event import Event
from recon.stores.mysql import PASSING, code

Effect = Callable[[Connection, Event], Any]
"""A side effect of the application's own, in the transaction that applies its event."""
DoorEffect = Callable[[Connection], Any] | Literal["done"]
"""That of an ordinary webhook; "done" where its handler has it by itself."""

ORDINARY = ("owed", "done")
CHANGING = (AppliedKind.APPLIED, AppliedKind.ALREADY)
SQLITE_ERROR = 1
"""A statement that is wrong, of which sqlite3 makes an OperationalError as well. https://www.sqlite.org/rescode.html#error"""


class EffectFailed(Exception):
    """The application's own side effect raised; the cause says what."""


class Effects:
    """Which effects ran, and which are owed. `ordinary` says what a row comes to that something else than a correction wrote: "owed" or "done"."""

    def __init__(self, inbox: Inbox, *, ordinary: str, seconds: float, clock: Clock) -> None:
        if ordinary not in ORDINARY:
            msg = f'ordinary is "owed" (a correction that finds its state there has its effect) or "done" (it has none), not {ordinary!r}'
            raise ValueError(msg)
        self._inbox = inbox
        self._ordinary = ordinary
        self._window = timedelta(seconds=seconds)
        self._clock = clock

    def of_event(
        self, connection: Connection, case: "Case", event: Event, answer: Applied, effect: Effect, *, replayed: bool = False
    ) -> Applied:
        """A correction's: it runs where something was changed, or where what was there already owes it; once."""
        if answer.kind not in CHANGING:
            return answer
        already, now = answer.kind is AppliedKind.ALREADY, self._clock.now()
        if self._inbox.has(connection, event.id):
            return replace(answer, kind=AppliedKind.SEEN) if already else answer
        if already and (self._ordinary == "done" or replayed or event.recorded < now - self._window):
            return answer
        had = self._had(connection, case)
        if not had:
            effect(connection, event)
        self._inbox.put(connection, event.id, now)
        return replace(answer, effect=not had)

    def of_webhook(self, connection: Connection, case: "Case", answer: Applied, effect: DoorEffect) -> Applied:
        """An ordinary webhook's: likewise, by item and version."""
        if answer.kind not in CHANGING or self._had(connection, case):
            return answer
        fact, now = case.fact, self._clock.now()
        moment = moment_of(fact.version)
        if answer.kind is AppliedKind.ALREADY and moment is not None and moment < now - self._window:
            return answer
        if effect != "done":
            effect(connection)
        self._inbox.put(connection, names_of(fact.change.key, fact.version)[0], now)
        return replace(answer, effect=effect != "done")

    def _had(self, connection: Connection, case: "Case") -> bool:
        """Whether that of this fact ran for somebody else: an ordinary webhook, or an earlier correction that left the row as it still is."""
        guard, fact, key = case.guard, case.fact, case.fact.change.key
        names = names_of(key, fact.version)
        if case.taken.ruling is Ruling.ALREADY:
            row, mark = case.taken.row, case.taken.mark
            names += names_of(key, None if row is None or guard.version is None else row[guard.version])
            if mark is not None and fact.deletes:
                names += names_of(key, mark.told_version)
            by_correction = mark is not None and (
                mark.deleted and mark.told is None if fact.deletes else guard.untouched(connection, key, mark)
            )
            if mark is not None and mark.event is not None and by_correction:
                names.append(mark.event)
        return bool(names) and self._inbox.has(connection, *names)


@dataclass(frozen=True, slots=True)
class Case:
    """What was ruled on a fact, through which guard."""

    guard: Guard
    fact: Fact
    taken: Taken


def names_of(key: str, version: Any) -> list[str]:
    """What a fact is called in the inbox, by its version, and by what that may have been cut to."""
    if version is None:
        return []
    moment = moment_of(version)
    if moment is None:
        return [f"item:{key}@{version}"]
    cuts: list[datetime] = [moment, moment.replace(microsecond=moment.microsecond // 1000 * 1000), moment.replace(microsecond=0)]
    return list(dict.fromkeys(f"item:{key}@{iso(one)}" for one in cuts))


def named(effect: Effect) -> Effect:
    """The same effect; what it raises is EffectFailed, but where the database is gone or busy."""

    def run(connection: Connection, event: Event) -> None:
        try:
            effect(connection, event)
        except Exception as error:
            if isinstance(error, exc.SQLAlchemyError) and _of_the_database(connection, error):
                raise
            raise EffectFailed from error

    return run


def _of_the_database(connection: Connection, error: exc.SQLAlchemyError) -> bool:
    """Whether it is gone or busy; else the effect's own statement is wrong."""
    if connection.invalidated or not isinstance(error, exc.OperationalError | exc.InterfaceError):
        return connection.invalidated
    number = code(error)
    if number is not None:  # MySQL's drivers call a wrong column operational as well.
        return number in PASSING
    sqlite = getattr(error.orig, "sqlite_errorcode", None)
    return sqlite is None or sqlite & 0xFF != SQLITE_ERROR


def words_about(error: Exception) -> str:
    """Without the statement and its values."""
    cause = error.__cause__ if isinstance(error, EffectFailed) and error.__cause__ is not None else error
    said = getattr(cause, "orig", None) or cause
    lines = str(said).splitlines() or [""]
    return f"{type(cause).__name__}: {lines[0][:300]}"
