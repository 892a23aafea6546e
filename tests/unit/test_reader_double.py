"""The reader in memory keeps the contract of every reader, and the suite notices one that does not."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from recon.consume.reader import Reader, Received
from recon.publishers.base import Message
from recon.testing import reader_suite
from recon.testing.reader import MemoryReader, MemorySubscription


class MemoryBench:
    """A subscription in memory."""

    patience = 0.0

    def __init__(self, make: Callable[[MemorySubscription], Reader] = MemoryReader) -> None:
        self.subscription = MemorySubscription()
        self.make = make

    def reader(self) -> Reader:
        return self.make(self.subscription)

    def put(self, batch: Sequence[Message]) -> None:
        for one in batch:
            headers = {"content-type": "application/cloudevents+json"} | ({"recon-replay-id": one.replay} if one.replay else {})
            self.subscription.put(one.body, key=one.partitionkey, headers=headers)

    def lose(self, reader: Reader) -> bool:
        reader.close()
        return True

    def stop(self) -> bool:
        self.subscription.down = True
        return True

    def start(self) -> None:
        self.subscription.down = False


@pytest.mark.parametrize("check", reader_suite.CHECKS, ids=reader_suite.name_of)
def test_keeps_the_contract(check: Any) -> None:
    """Every check of the suite passes against the reader in memory."""
    check(MemoryBench())


class Forgetful(MemoryReader):
    """Settles what it hands over by itself."""

    def receive(self, most: int, wait: float) -> Sequence[Received]:
        found = super().receive(most, wait)
        super().done(found)
        return found


class Deaf(MemoryReader):
    """Never settles anything."""

    def done(self, received: Sequence[Received]) -> None:
        pass


class Backwards(MemoryReader):
    """Hands over the last one first."""

    def receive(self, most: int, wait: float) -> Sequence[Received]:
        return list(super().receive(most, wait))[::-1]


class Greedy(MemoryReader):
    """Hands over more than was asked for."""

    def receive(self, most: int, wait: float) -> Sequence[Received]:
        return super().receive(most + 1, wait)


class Steps(MemoryReader):
    """Like an offset that steps over a gap: whatever came before the last one that is done is done as well."""

    def done(self, received: Sequence[Received]) -> None:
        super().done(received)
        last = max(one.handle.number for one in received)
        for one in self.subscription.messages[:last]:
            one.done = True


@pytest.mark.parametrize(
    ("reader", "check"),
    [
        (Forgetful, reader_suite.done_is_done_and_the_rest_comes_again),
        (Forgetful, reader_suite.a_reader_that_dies_loses_nothing),
        (Deaf, reader_suite.done_is_done_and_the_rest_comes_again),
        (Backwards, reader_suite.everything_arrives_in_order),
        (Greedy, reader_suite.everything_arrives_in_order),
        (Steps, reader_suite.a_gap_is_not_stepped_over),
    ],
)
def test_the_suite_notices(reader: Any, check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that loses, repeats, reorders, hands over too much or steps over a gap fails its check."""
    monkeypatch.setattr(reader_suite, "SECONDS", 0.5)
    with pytest.raises(AssertionError):
        check(MemoryBench(reader))
