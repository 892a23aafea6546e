"""The loop between a reader and an applier: receive, apply, done; what cannot be taken now is given back, and nothing is lost on the way.

What the reader has in hand is applied together, in one transaction or a few (`Applier.apply_many`), and settled after they are committed.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import exc

from recon.consume.applied import Applied, AppliedKind
from recon.consume.applier import Applier
from recon.consume.batch import Item, refused
from recon.consume.effects import Effect, words_about
from recon.consume.failing import Failures
from recon.consume.incoming import REPLAY, events_of
from recon.consume.lines import named, outcome, place_of, veiled
from recon.consume.reader import Reader, Received
from recon.duration import seconds_of, words_of
from recon.errors import DeliveryError
from recon.event import Event

log = logging.getLogger(__name__)

LONGEST_PAUSE = 30.0
FIRST_PAUSE = 0.2
MESSAGE_PAUSE = 5.0
"""Where messages fail and not the database, and nothing else is there to be taken meanwhile."""

Stop = threading.Event | Callable[[], bool]
Told = Callable[[Received, Applied], Any]


class Counts(Counter[AppliedKind]):
    """How many events came to what; `untold` is how often `told` raised."""

    untold: int = 0


def consume(
    reader: Reader,
    applier: Applier,
    *,
    stop: Stop,
    effect: Effect | None = None,
    told: Told | None = None,
    most: int = 100,
    wait: float = 1.0,
    within: str | float = "1s",
    patience: str | float = "15m",
    log_keys: bool = True,
) -> Counts:
    """Brings what a reader has into the applier's table until `stop`; answers how many events came to what.

    What the reader hands over at once, up to `most`, is applied in one transaction, which with an effect takes no more once `within` is over.
    A database or a broker that is down is waited for, up to half a minute from try to try, and for ever; meanwhile nothing is settled. A message
    whose effect fails, or that raises anything else, is given back, with those that follow in its key; after `patience` of that it is kept among
    the dead letters, so that it holds up nothing for good. `told` is called with every event's answer, after its commit; what it raises is
    logged and counted. `log_keys=False` keeps the items' keys out of the log. Signals are the caller's: set `stop`, and the transaction in hand is
    finished. Raises StoreMismatch where a table or column is not there.
    """
    options = Options(effect=effect, told=told, most=most, wait=wait, within=seconds_of(within), log_keys=log_keys)
    return Consuming(reader, applier, stop=stop, options=options, patience=seconds_of(patience)).run()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """As they are given to `consume`."""

    effect: Effect | None
    told: Told | None
    most: int
    wait: float
    within: float
    log_keys: bool


@dataclass(slots=True)
class Message:
    """One message in hand: its events, and what has become of them so far."""

    received: Received
    events: list[Event]
    answers: list[Applied] = field(default_factory=list)
    #: Kept among the dead letters, whatever its events came to.
    buried: bool = False

    @property
    def done(self) -> bool:
        """Whether it is taken in for good."""
        taken = len(self.answers) == len(self.events) and all(one.kind is not AppliedKind.FAILED for one in self.answers)
        return self.buried or (bool(self.events) and taken)

    @property
    def failed(self) -> tuple[Event, Exception] | None:
        """The event that failed by itself, and what was raised."""
        for event, answer in zip(self.events, self.answers, strict=False):
            if answer.error is not None and not refused(answer):
                return event, answer.error
        return None


class Consuming:
    """One run of the loop."""

    def __init__(self, reader: Reader, applier: Applier, *, stop: Stop, options: Options, patience: float) -> None:
        self.reader = reader
        self.applier = applier
        self.counts = Counts()
        self._options = options
        self._stop = stop
        self._pause = 0.0
        self._failures = Failures(patience)

    def run(self) -> Counts:
        """Until it is stopped."""
        ready = False
        while not self._stopped():
            try:
                if not ready:
                    self.applier.check()
                    ready = True
                received = list(self.reader.receive(self._options.most, self._options.wait))
            except (DeliveryError, exc.SQLAlchemyError) as error:
                self._rest(words_about(error))
                continue
            if received:
                self._batch(received)
        if self.counts.untold:
            log.warning("%s: told= raised for %d of the events that were taken in", self.reader.name, self.counts.untold)
        return self.counts

    def _batch(self, received: Sequence[Received]) -> None:
        """Every message of a batch: done, or given back."""
        messages = [Message(one, self._events(one)) for one in received]
        trouble = self._unreadable(messages) or self._applied(messages)
        failed: list[str] = []
        for message in messages:
            if message.failed is not None and not message.done:
                failed += self._failed(message, *message.failed)
        done = [one.received for one in messages if one.done]
        for one in done:
            self._failures.forget(one)
        self._settle(received, done)
        if trouble is not None:
            left = f"{len(received) - len(done)} of {len(received)} messages given back"
            self._rest(f"the database: {words_about(trouble)}; {left}")
        elif failed and not done:
            self._rest(f"{len(received)} messages given back, since {'; '.join(failed[:3])}", MESSAGE_PAUSE)
        elif not failed:
            self._pause = 0.0

    def _unreadable(self, messages: Sequence[Message]) -> Exception | None:
        """What is no event of ours is kept."""
        for message in messages:
            if message.events or self._stopped():
                continue
            one = message.received
            try:
                answers = self.applier.apply_all(one.body, headers=one.headers, prefix=self.reader.prefix)
            except exc.SQLAlchemyError as error:
                return error
            message.buried = True
            for answer in answers:
                self._tell(one, None, answer)
        return None

    def _applied(self, messages: Sequence[Message]) -> Exception | None:
        """Their events, in as few transactions as may be; the error where the database does not take them."""
        waiting = [(one, Item(event, REPLAY in one.received.headers)) for one in messages for event in one.events]
        stuck: set[str] = set()
        while waiting and not self._stopped():
            options = self._options
            answers = self.applier.take_some(
                [item for _, item in waiting], stuck=stuck, effect=options.effect, within=options.within, enough=self._stopped
            )
            for (message, item), answer in zip(waiting, answers, strict=False):
                message.answers.append(answer)
                if answer.kind is not AppliedKind.FAILED:
                    self._tell(message.received, item.event, answer)
            waiting = waiting[len(answers) :]
            for answer in answers:
                if refused(answer):
                    return answer.error
        return None

    def _failed(self, message: Message, event: Event, error: Exception) -> list[str]:
        """It failed once more: given back, and answered in words; or, after so long, kept among the dead letters."""
        one, keys = message.received, self._options.log_keys
        failure = self._failures.more(one)
        words = f"{named(event, one, keys=keys)}: {veiled(words_about(error), event, keys=keys)}{place_of(error)}"
        if not failure.over:
            log.log(logging.WARNING if failure.telling else logging.DEBUG, "%s: %s; %s", self.reader.name, words, failure.words)
            return [f"{event.id} failed"]
        lasted = f"it failed for {words_of(failure.last - failure.since)}, {failure.times} times, last with {words_about(error)}"
        try:
            answer = self.applier.bury(one.body, one.headers, lasted)
        except exc.SQLAlchemyError:
            return [f"{event.id} failed, and could not be kept as a dead letter"]
        message.buried = True
        self._tell(one, event, answer)
        return []

    def _tell(self, one: Received, event: Event | None, answer: Applied) -> None:
        """Counted, logged, and told. It is committed by now: what `told` raises changes nothing of it."""
        self.counts[answer.kind] += 1
        level = {AppliedKind.DEAD: logging.ERROR, AppliedKind.CONFLICT: logging.WARNING}.get(answer.kind, logging.DEBUG)
        if log.isEnabledFor(level):
            log.log(level, "%s: %s", self.reader.name, outcome(event, one, answer, keys=self._options.log_keys))
        if self._options.told is None:
            return
        try:
            self._options.told(one, answer)
        except Exception as error:  # noqa: BLE001 -- The application's own code may raise anything.
            self.counts.untold += 1
            keys = self._options.log_keys
            said = veiled(words_about(error), event, keys=keys)
            words = named(event, one, keys=keys), answer.kind.value, f"{said}{place_of(error)}"
            # Without a traceback, which may quote the data.
            log.log(logging.ERROR, "%s: %s is %s, and stays so; told= raised %s", self.reader.name, *words)

    def _settle(self, received: Sequence[Received], done: Sequence[Received]) -> None:
        """What cannot be settled comes again, and is so already then."""
        finished = {id(one) for one in done}
        back = [one for one in received if id(one) not in finished]
        try:
            if done:
                self.reader.done(done)
        except DeliveryError as error:
            back = list(received)
            self._rest(words_about(error))
        try:
            if back:
                self.reader.again(back)
        except DeliveryError as error:
            self._rest(words_about(error))

    def _events(self, one: Received) -> list[Event]:
        """None where it is no message of ours."""
        try:
            return events_of(one.body, one.headers, prefix=self.reader.prefix)
        except ValueError:
            return []

    def _rest(self, words: str, longest: float = LONGEST_PAUSE) -> None:
        """Longer each time, until everything goes well again."""
        self._pause = min(longest, max(FIRST_PAUSE, 2 * self._pause))
        log.warning("%s: %s; trying again in %.1f s", self.reader.name, words, self._pause)
        if isinstance(self._stop, threading.Event):
            self._stop.wait(self._pause)
            return
        until = threading.Event()
        left = self._pause
        while left > 0 and not self._stop():
            until.wait(min(0.2, left))
            left -= 0.2

    def _stopped(self) -> bool:
        return self._stop.is_set() if isinstance(self._stop, threading.Event) else self._stop()
