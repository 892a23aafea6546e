"""A subscription in memory, and its readers: a broker's part in tests of whoever consumes."""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from recon.consume.reader import Received
from recon.errors import DeliveryError
from recon.event.cloudevents import STRUCTURED


@dataclass(slots=True, eq=False)
class Kept:
    """One message of a subscription; `holder` is the reader that has it in hand."""

    number: int
    key: str
    body: bytes
    headers: Mapping[str, str]
    attempts: int = 0
    holder: object | None = None
    done: bool = False


class MemorySubscription:
    """Messages in memory, in the order in which they were put; it outlives its readers, as a broker does.

    `down = True` plays a broker that cannot be reached. `messages` is all there ever was, `given_back` how many came back by `again`.
    """

    def __init__(self) -> None:
        self.messages: list[Kept] = []
        self.down = False
        self.given_back = 0
        self._changed = threading.Condition()

    def put(self, body: bytes, *, key: str = "", headers: Mapping[str, str] | None = None) -> None:
        """Brings a message in; those of one `key` keep their order. `headers` by lower-case names, by default those of a structured event."""
        with self._changed:
            named = {"content-type": STRUCTURED} if headers is None else headers
            self.messages.append(Kept(len(self.messages), key, body, named))
            self._changed.notify_all()

    @property
    def left(self) -> int:
        """How many are not done."""
        with self._changed:
            return sum(not one.done for one in self.messages)

    def hand(self, reader: "MemoryReader", most: int, wait: float) -> list[Kept]:
        """Hands over up to `most`, as soon as there is one."""
        until = time.monotonic() + wait
        with self._changed:
            while not reader.closed:
                self._reachable(reader)
                found = self.waiting(reader, most)
                left = until - time.monotonic()
                if found or left <= 0:
                    for one in found:
                        one.holder, one.attempts = reader, one.attempts + 1
                    return found
                self._changed.wait(left)
        return []

    def finish(self, reader: "MemoryReader", kept: Iterable[Kept]) -> None:
        """They are done."""
        with self._changed:
            self._reachable(reader)
            for one in kept:
                one.done = True

    def give_back(self, reader: "MemoryReader", kept: Sequence[Kept]) -> None:
        """They come again, and with each what this reader has in hand behind it in its key."""
        with self._changed:
            self.given_back += len(kept)
            for given in kept:
                for one in self.messages[given.number :]:
                    if one.key == given.key and one.holder is reader:
                        one.holder = None
            self._changed.notify_all()

    def leave(self, reader: "MemoryReader") -> None:
        """Takes back all that this reader has in hand."""
        with self._changed:
            for one in self.messages:
                if one.holder is reader:
                    one.holder = None
            self._changed.notify_all()

    def waiting(self, reader: "MemoryReader", most: int) -> list[Kept]:
        """Those that nobody has, and none of whose key before them is with another reader."""
        found: list[Kept] = []
        elsewhere: set[str] = set()
        for one in self.messages:
            if one.done or one.holder is reader:
                continue
            if one.holder is not None:
                elsewhere.add(one.key)
            elif one.key not in elsewhere and len(found) < most:
                found.append(one)
        return found

    def _reachable(self, reader: "MemoryReader") -> None:
        if self.down:
            msg = f"reader {reader.name}: the subscription in memory plays a broker that is down"
            raise DeliveryError(msg, hint="set down = False")


class MemoryReader:
    """Reads a subscription in memory; given bodies, a subscription of its own with these structured events, all of one key."""

    prefix = "ce-"

    def __init__(self, source: MemorySubscription | Iterable[bytes] = (), *, name: str = "memory") -> None:
        self.name = name
        self.closed = False
        if isinstance(source, MemorySubscription):
            self.subscription = source
        else:
            self.subscription = MemorySubscription()
            for body in source:
                self.subscription.put(body)

    def receive(self, most: int, wait: float) -> Sequence[Received]:
        return [
            Received(body=one.body, headers=one.headers, place=f"{self.name}@{one.number}", attempt=one.attempts, handle=one)
            for one in self.subscription.hand(self, most, wait)
        ]

    def done(self, received: Sequence[Received]) -> None:
        self.subscription.finish(self, [one.handle for one in received])

    def again(self, received: Sequence[Received]) -> None:
        self.subscription.give_back(self, [one.handle for one in received])

    def close(self) -> None:
        self.closed = True
        self.subscription.leave(self)
