"""The loop between a reader and an applier: receive, apply, done; what cannot be taken now is given back, and nothing is lost on the way."""

import hashlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import exc

from recon.consume.applied import Applied, AppliedKind
from recon.consume.applier import Applier, Effect
from recon.consume.effects import named, words_about
from recon.consume.incoming import events_of
from recon.consume.reader import Reader, Received
from recon.duration import seconds_of, words_of
from recon.errors import DeliveryError

log = logging.getLogger(__name__)

LONGEST_PAUSE = 30.0
FIRST_PAUSE = 0.2
MESSAGE_PAUSE = 5.0
"""Where messages fail and not the database, and nothing else is there to be taken meanwhile."""
FORGOTTEN = 4
"""After so many times `patience` without failing, a message's failures count no more."""

Stop = threading.Event | Callable[[], bool]
Told = Callable[[Received, Applied], Any]


def consume(
    reader: Reader,
    applier: Applier,
    *,
    stop: Stop,
    effect: Effect | None = None,
    told: Told | None = None,
    most: int = 100,
    wait: float = 1.0,
    patience: str | float = "15m",
) -> Counter[AppliedKind]:
    """Brings what a reader has into the applier's table until `stop`; answers how many events came to what.

    A database or a broker that is down is waited for, up to half a minute from try to try, and for ever; meanwhile nothing is settled. A message
    whose effect fails, or that raises anything else, is given back, with those that follow in its key; after `patience` of that it is kept among
    the dead letters, so that it holds up nothing for good. `told` is called with every event's answer. Signals are the caller's:
    set `stop`, and the message in hand is finished. Raises StoreMismatch where a table or column is not there.
    """
    return Consuming(reader, applier, stop=stop, effect=effect, told=told, most=most, wait=wait, patience=seconds_of(patience)).run()


class Consuming:
    """One run of the loop."""

    def __init__(
        self,
        reader: Reader,
        applier: Applier,
        *,
        stop: Stop,
        effect: Effect | None,
        told: Told | None,
        most: int,
        wait: float,
        patience: float,
    ) -> None:
        self.reader = reader
        self.applier = applier
        self.told = told
        self.most, self.wait, self.patience = most, wait, patience
        self.counts: Counter[AppliedKind] = Counter()
        self._stop = stop
        self._effect = None if effect is None else named(effect)
        self._pause = 0.0
        #: Of messages that fail: since when, and when last.
        self._failing: dict[str, tuple[float, float]] = {}

    def run(self) -> Counter[AppliedKind]:
        """Until it is stopped."""
        ready = False
        while not self._stopped():
            try:
                if not ready:
                    self.applier.check()
                    ready = True
                received = list(self.reader.receive(self.most, self.wait))
            except (DeliveryError, exc.SQLAlchemyError) as error:
                self._rest(error)
                continue
            if received:
                self._batch(received)
        return self.counts

    def _batch(self, received: Sequence[Received]) -> None:
        """Every message of a batch: done, or given back."""
        done: list[Received] = []
        stuck: set[str] = set()
        trouble: Exception | None = None
        for one in received:
            keys = self._keys(one)
            if self._stopped():
                break
            if keys & stuck:
                continue
            try:
                self._take(one)
            except exc.SQLAlchemyError as error:
                # The database, not the message: whatever follows would meet it too.
                trouble = error
                break
            except Exception as error:  # noqa: BLE001 -- An effect is the application's own code and may raise anything.
                if not self._buried(one, error):
                    trouble = error
                    stuck |= keys
                    continue
            done.append(one)
        self._settle(received, done)
        if isinstance(trouble, exc.SQLAlchemyError):
            self._rest(trouble)
        elif trouble is not None and not done:
            self._rest(trouble, MESSAGE_PAUSE)
        elif trouble is None:
            self._pause = 0.0

    def _take(self, one: Received) -> None:
        for answer in self.applier.apply_all(one.body, headers=one.headers, effect=self._effect, prefix=self.reader.prefix):
            self._tell(one, answer)
        self._failing.pop(_digest(one), None)

    def _buried(self, one: Received, error: Exception) -> bool:
        """A message that has failed for so long is a dead letter."""
        digest, now = _digest(one), time.monotonic()
        # What has not failed for long was taken in elsewhere: it is forgotten, and begins anew should it fail once more.
        self._failing = {key: found for key, found in self._failing.items() if now - found[1] <= FORGOTTEN * self.patience}
        since, _ = self._failing.get(digest, (now, now))
        self._failing[digest] = since, now
        if now - since < self.patience:
            return False
        reason = f"it failed for {words_of(now - since)}, last with {words_about(error)}"
        try:
            answer = self.applier.bury(one.body, one.headers, reason)
        except exc.SQLAlchemyError:
            return False
        del self._failing[digest]
        self._tell(one, answer)
        return True

    def _tell(self, one: Received, answer: Applied) -> None:
        self.counts[answer.kind] += 1
        if self.told is not None:
            self.told(one, answer)

    def _settle(self, received: Sequence[Received], done: Sequence[Received]) -> None:
        """What cannot be settled comes again, and is so already then."""
        finished = {id(one) for one in done}
        back = [one for one in received if id(one) not in finished]
        try:
            if done:
                self.reader.done(done)
        except DeliveryError as error:
            back = list(received)
            self._rest(error)
        try:
            if back:
                self.reader.again(back)
        except DeliveryError as error:
            self._rest(error)

    def _keys(self, one: Received) -> set[str]:
        try:
            return {event.partitionkey for event in events_of(one.body, one.headers, prefix=self.reader.prefix)}
        except ValueError:
            return set()

    def _rest(self, error: Exception, longest: float = LONGEST_PAUSE) -> None:
        """Longer each time, until everything goes well again."""
        self._pause = min(longest, max(FIRST_PAUSE, 2 * self._pause))
        log.warning("%s: %s; trying again in %.1f s", self.reader.name, words_about(error), self._pause)
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


def _digest(one: Received) -> str:
    return hashlib.sha256(one.body + repr(sorted(one.headers.items())).encode()).hexdigest()
