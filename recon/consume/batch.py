"""Many events in one transaction, each with the answer that it would have by itself.

Without side effects the items that differ are looked at and written together; with them, and wherever that is not plain, each event has
a savepoint of its own, so that one that fails costs only itself. Where the database refuses the whole, each is tried in a transaction of
its own.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, exc

from recon.consume.applied import Applied, AppliedKind
from recon.consume.effects import Effect, EffectFailed, named, words_about
from recon.consume.facts import prints_of
from recon.consume.setwise import Asked, Setwise
from recon.consume.taking import KINDS, Taking
from recon.event import Event
from recon.upsert.fault import unfit
from recon.upsert.many import Unclear
from recon.upsert.savepoint import savepoint

log = logging.getLogger(__name__)

CHUNK = 500
"""Events in one transaction at the most: their locks are held until it ends."""
Transaction = Callable[[Callable[[Connection], Any]], Any]


@dataclass(frozen=True, slots=True)
class Item:
    """An event; `replayed` says that it was sent again on demand."""

    event: Event
    replayed: bool = False

    @property
    def key(self) -> str:
        """The item that it is about, in one spelling for all that a database may take for the same key."""
        return str(self.event.data.get("key")).strip().casefold().lstrip("0")


class Batch:
    """Several events of one applier."""

    def __init__(self, taking: Taking, transaction: Transaction) -> None:
        self._taking = taking
        self._transaction = transaction

    def some(
        self, items: Sequence[Item], *, stuck: set[str], effect: Effect | None, within: float | None, enough: Callable[[], bool]
    ) -> list[Applied]:
        """Answers for the first of them, at least for one."""
        one = Singly(self._taking, stuck, None if effect is None else named(effect))
        chunk = items[:CHUNK]
        begun = False

        def work(connection: Connection) -> list[Applied]:
            nonlocal begun
            one.stuck = set(stuck)
            guard = self._taking.guard_of(connection)
            guard.begin(connection)
            begun = True
            together = Setwise(guard)
            if effect is None:
                return self._rounds(connection, together, chunk, one)
            if len(chunk) > 1:
                _locked(connection, together, chunk)
            return _in_turn(connection, chunk, one, within, enough)

        try:
            answers: list[Applied] = self._transaction(work)
        except exc.SQLAlchemyError as error:
            one.stuck = set(stuck)
            if not begun or len(chunk) == 1:
                answers = [one.failed(chunk[0], error), *map(one.behind, chunk[1:])]
            else:
                answers = self._apart(chunk, one)
        stuck |= one.stuck
        return answers

    def _rounds(self, connection: Connection, together: Setwise, chunk: Sequence[Item], one: "Singly") -> list[Applied]:
        """The first event of each item together, then the second of each, and so on."""
        rounds: dict[int, list[int]] = defaultdict(list)
        seen: dict[str, int] = defaultdict(int)
        for number, item in enumerate(chunk):
            rounds[seen[item.key]].append(number)
            seen[item.key] += 1
        found: dict[int, Applied] = {}
        for numbers in rounds.values():
            # What comes behind one that failed is not tried, together with others as little as by itself.
            free = {number: chunk[number] for number in numbers if chunk[number].event.partitionkey not in one.stuck}
            found |= self._at_once(connection, together, free) if len(free) > 1 else {}
            for number in numbers:
                if number not in found:
                    found[number] = one.take(connection, chunk[number])
        return [found[number] for number in range(len(chunk))]

    def _at_once(self, connection: Connection, together: Setwise, items: dict[int, Item]) -> dict[int, Applied]:
        """Answers for those of which it is plain what becomes of them."""
        guard = self._taking.guard_of(connection)
        asked: dict[int, tuple[Asked, str]] = {}
        for number, item in items.items():
            try:
                newest = self._taking.raised(item.event)
                fact = self._taking.fact(guard, newest)
            except Exception as error:  # noqa: BLE001 -- What an event holds may be anything; by itself it has the answer that is its own.
                log.debug("an event is taken by itself: %s", type(error).__name__)
                continue
            asked[number] = Asked(fact, prints_of(newest.raised.data)), newest.raised.partitionkey
        try:
            with savepoint(connection):
                ruled = together.take(connection, [one for one, _ in asked.values()], at=self._taking.clock.now()) if asked else []
        except exc.DBAPIError as error:
            if not unfit(error):
                raise
            return {}
        except Exception as error:  # noqa: BLE001 -- Whatever it is, one by one each has the answer that is its own.
            log.debug("%d events are taken one by one: %s", len(asked), type(error).__name__)
            return {}
        return {
            number: Applied(kind=KINDS[one[0]], id=items[number].event.id, key=key, reason=one[1])
            for (number, (_, key)), one in zip(asked.items(), ruled, strict=True)
            if one is not None
        }

    def _apart(self, chunk: Sequence[Item], one: "Singly") -> list[Applied]:
        """Each in a transaction of its own; the first that the database does not take ends it.

        A constraint may be looked at as late as at the commit, and what breaks it must not hold up the others.
        """
        answers: list[Applied] = []
        for item in chunk:
            try:
                answers.append(self._transaction(partial(_one, one, item)))
            except exc.SQLAlchemyError as error:
                answers.append(one.failed(item, error))
                if refused(answers[-1]):
                    return [*answers, *map(one.behind, chunk[len(answers) :])]
        return answers


@dataclass
class Singly:
    """One event after the other: an effect that raises holds up its own key."""

    taking: Taking
    stuck: set[str]
    effect: Effect | None

    def take(self, connection: Connection, item: Item) -> Applied:
        """Within a savepoint, unless it comes behind one that failed."""
        if item.event.partitionkey in self.stuck:
            return self.behind(item)
        try:
            with savepoint(connection):
                return self.taking.event(connection, item.event, effect=self.effect, replayed=item.replayed)
        except exc.SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001 -- An effect is the application's own code and may raise anything.
            return self.failed(item, error)

    def failed(self, item: Item, error: Exception) -> Applied:
        """It and what follows in its key comes again."""
        self.stuck.add(item.event.partitionkey)
        whose = "its effect raised " if isinstance(error, EffectFailed) else ""
        event = item.event
        return Applied(kind=AppliedKind.FAILED, id=event.id, key=event.partitionkey, reason=f"{whose}{words_about(error)}", error=error)

    def behind(self, item: Item) -> Applied:
        """Not tried."""
        self.stuck.add(item.event.partitionkey)
        return behind(item)


def behind(item: Item) -> Applied:
    """The answer for one that was not tried."""
    return Applied(kind=AppliedKind.FAILED, id=item.event.id, key=item.event.partitionkey, reason="it comes behind one that failed")


def refused(answer: Applied) -> bool:
    """Whether it was the database that did not take it: whatever follows would meet that too. What breaks a constraint fails by itself."""
    return isinstance(answer.error, exc.SQLAlchemyError) and not unfit(answer.error)


def _one(one: Singly, item: Item, connection: Connection) -> Applied:
    return one.take(connection, item)


def _locked(connection: Connection, together: Setwise, chunk: Sequence[Item]) -> None:
    """All rows in one order, so that two batches that share some do not lock each other out; without, they would be tried again."""
    keys = {key for item in chunk if isinstance(key := item.event.data.get("key"), str)}
    try:
        with savepoint(connection):
            together.lock(connection, keys)
    except Unclear:
        return
    except exc.DBAPIError as error:
        if not unfit(error):
            raise


def _in_turn(connection: Connection, chunk: Sequence[Item], one: Singly, within: float | None, enough: Callable[[], bool]) -> list[Applied]:
    """One after another, until the time is over."""
    until = None if within is None else time.monotonic() + within
    answers: list[Applied] = []
    for item in chunk:
        if answers and (enough() or (until is not None and time.monotonic() >= until)):
            break
        answers.append(one.take(connection, item))
    return answers
