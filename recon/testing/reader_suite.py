"""What every reader must keep to, as checks against a real broker: ours pass them, and yours can be held to them.

```python
import pytest
from recon.testing import reader_suite

@pytest.mark.parametrize("check", reader_suite.CHECKS, ids=reader_suite.name_of)
def test_keeps_the_contract(check, tmp_path):
    with MyBench(tmp_path) as bench:
        check(bench)
```

A check raises AssertionError in words. Those that a broker cannot be made to show (`stop`, `lose` answer False) say so by `Skipped`.
A message may come more than once; what is held here is that none is lost, that `done` is the end of it, and that order within a key stands.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from recon.consume.reader import Reader, Received
from recon.errors import DeliveryError
from recon.event.cloudevents import of_wire
from recon.publishers.base import Message
from recon.testing.publisher_suite import SECONDS, SLACK, Skipped, messages, name_of

__all__ = ["CHECKS", "Bench", "Skipped", "messages", "name_of"]

QUIET_SECONDS = 0.3
"""How long nothing has to come for a subscription to be called empty, where the bench says nothing else."""


class Bench(Protocol):
    """A subscription of its own for one check, and what is brought into it."""

    #: How long a reader may take to see again what another one left behind: a lock, a lease, a timeout of the broker's.
    patience: float

    def reader(self) -> Reader:
        """A new reader of this subscription; the check closes it. What readers before it did not finish comes to it."""
        ...

    def put(self, batch: Sequence[Message]) -> None:
        """Brings these in, in this order, as the publisher of this broker does."""
        ...

    def lose(self, reader: Reader) -> bool:
        """Ends a reader as the death of its process would: no word to the broker. False where that cannot be played."""
        ...

    def stop(self) -> bool:
        """Ends the server without warning; False where there is none that could be."""
        ...

    def start(self) -> None:
        """Starts it again, with what it held."""
        ...


@dataclass(frozen=True, slots=True)
class Came:
    """One message that came, with what it says."""

    received: Received
    id: str
    key: str


def everything_arrives_in_order(bench: Bench) -> None:
    """All events arrive, as they were sent, in order within each key; nothing is handed over beyond what was asked for."""
    batch = messages(60, keys=7)
    bench.put(batch)
    with _open(bench) as reader:
        _in_order(_taken(reader, _ids(batch), most=9), batch)
        _empty(bench, reader)


def headers_come_along(bench: Bench) -> None:
    """The replay that sent an event is in `recon-replay-id`; names of headers are lower case; the place says where it was."""
    ordinary, again = messages(2)
    bench.put([ordinary, replace(again, replay="replay-7")])
    with _open(bench) as reader:
        came = {one.id: one.received for one in _taken(reader, {ordinary.id, again.id})}
    assert came[again.id].headers.get("recon-replay-id") == "replay-7", f"its headers are {dict(came[again.id].headers)}"
    assert "recon-replay-id" not in came[ordinary.id].headers
    assert all(name == name.lower() for one in came.values() for name in one.headers)
    assert all(one.place for one in came.values()), "a person has to find the message again: place is empty"


def an_empty_subscription_is_waited_for(bench: Bench) -> None:
    """Nothing comes, after about the time that was asked for; and what comes in the middle of a wait is handed over at once."""
    batch = messages(1)
    with _open(bench) as reader:
        begun = time.monotonic()
        assert not list(reader.receive(10, QUIET_SECONDS))
        assert time.monotonic() - begun < QUIET_SECONDS + SLACK
        putter = threading.Timer(0.05, bench.put, [batch])
        putter.start()
        begun = time.monotonic()
        _taken(reader, _ids(batch), wait=SECONDS)
        assert time.monotonic() - begun < SECONDS / 2, "a message that is there is not handed over before the wait is over"
        putter.join()


def done_is_done_and_the_rest_comes_again(bench: Bench) -> None:
    """After a restart what was done is not seen again, and what was in hand and not done is."""
    batch = messages(20, keys=5)
    bench.put(batch)
    with _open(bench) as reader:
        hand = _in_hand(reader, batch)
        first = hand[: (len(hand) + 1) // 2]
        _settle(reader, first)
    rest = [one for one in batch if one.id not in {two.id for two in first}]
    with _open(bench) as reader:
        again = _taken(reader, _ids(rest), seconds=SECONDS + bench.patience)
        seen = {one.id for one in first} & {one.id for one in again}
        assert not seen, f"{len(seen)} of {len(first)} that were done came again"
        _in_order(again, rest)
    with _open(bench) as reader:
        _empty(bench, reader)


def a_gap_is_not_stepped_over(bench: Bench) -> None:
    """Everything in hand is done but one in the middle: after a restart that one comes, whatever comes beside it."""
    batch = messages(12, keys=12)
    bench.put(batch)
    with _open(bench) as reader:
        hand = _in_hand(reader, batch)
        left = hand[len(hand) // 3]
        _settle(reader, [one for one in hand if one is not left])
    with _open(bench) as reader:
        _taken(reader, {left.id}, seconds=SECONDS + bench.patience)


def given_back_it_comes_again_in_order(bench: Bench) -> None:
    """Given back, events come again, those that follow in their key after them; other keys go on."""
    batch = messages(16, keys=2)
    bench.put(batch)
    with _open(bench) as reader:
        hand = _in_hand(reader, batch)
        mine = [one for one in hand if one.key == hand[0].key]
        stuck = mine[len(mine) // 2 :]
        finished = [one for one in hand if one not in stuck]
        _settle(reader, finished)
        reader.again([one.received for one in stuck])
        rest = [one for one in batch if one.id not in {two.id for two in finished}]
        _in_order(_taken(reader, _ids(rest), seconds=SECONDS + bench.patience), rest)
    with _open(bench) as reader:
        _empty(bench, reader)


def what_is_stuck_holds_up_no_other_key(bench: Bench) -> None:
    """Given back again and again, the events of one key keep those of no other from coming."""
    batch = messages(16, keys=4)
    bench.put(batch[:8])
    with _open(bench) as reader:
        hand = _in_hand(reader, batch[:8])
        stuck = hand[0].key
        until = time.monotonic() + SECONDS + bench.patience
        wanted = {one.id for one in batch if one.partitionkey != stuck}
        bench.put(batch[8:])
        while True:
            reader.again([one.received for one in hand if one.key == stuck])
            _settle(reader, [one for one in hand if one.key != stuck])
            wanted -= {one.id for one in hand}
            if not wanted:
                break
            assert time.monotonic() < until, f"{len(wanted)} events of other keys never came while those of one key were given back"
            hand = _some(reader, 100, 0.5)
        _taken(reader, {one.id for one in batch if one.partitionkey == stuck}, seconds=SECONDS + bench.patience)


def a_reader_that_dies_loses_nothing(bench: Bench) -> None:
    """A reader dies with messages in hand, some of them done: the next one has all the others."""
    batch = messages(15, keys=4)
    bench.put(batch)
    reader = bench.reader()
    finished = _in_hand(reader, batch)[:5]
    _settle(reader, finished)
    if not bench.lose(reader):
        reader.close()
        raise Skipped("the death of a reader cannot be played here")
    with _open(bench) as other:
        _taken(other, _ids(batch) - {one.id for one in finished}, seconds=SECONDS + bench.patience)


def a_server_that_dies_loses_nothing(bench: Bench) -> None:
    """The server is killed with messages in hand, and comes back: in the end all are done.

    What is in hand is settled after: done, or given back where that fails, or it comes by itself.
    """
    batch = messages(40, keys=6)
    bench.put(batch)
    with _open(bench) as reader:
        hand = _in_hand(reader, batch, most=20)
        _settle(reader, hand[:5])
        left = _ids(batch) - {one.id for one in hand[:5]}
        if not bench.stop():
            raise Skipped("there is no server that could be killed")
        try:
            hand = [*hand[5:], *_nothing_comes(reader)]
        finally:
            bench.start()
        _all_done(reader, hand, left, SECONDS + bench.patience)


def closed_while_it_waits_it_comes_back(bench: Bench) -> None:
    """`close` from another thread in the middle of a wait ends the wait; a second `close` does nothing."""
    reader = bench.reader()
    closer = threading.Timer(0.1, reader.close)
    closer.start()
    begun = time.monotonic()
    with suppress(DeliveryError):  # Closed, and said so.
        assert not list(reader.receive(10, 5.0))
    assert time.monotonic() - begun < 5.0 + SLACK
    closer.join()
    reader.close()


CHECKS: tuple[Callable[[Bench], None], ...] = (
    everything_arrives_in_order,
    headers_come_along,
    an_empty_subscription_is_waited_for,
    done_is_done_and_the_rest_comes_again,
    a_gap_is_not_stepped_over,
    given_back_it_comes_again_in_order,
    what_is_stuck_holds_up_no_other_key,
    a_reader_that_dies_loses_nothing,
    a_server_that_dies_loses_nothing,
    closed_while_it_waits_it_comes_back,
)


class _open:  # noqa: N801 - reads as the word it stands for: with _open(bench) as reader
    """A reader, closed after."""

    def __init__(self, bench: Bench) -> None:
        self._reader = bench.reader()

    def __enter__(self) -> Reader:
        return self._reader

    def __exit__(self, *_: object) -> None:
        self._reader.close()


def _came(reader: Reader, received: Iterable[Received]) -> list[Came]:
    """What the messages say."""
    found = []
    for one in received:
        (event,) = of_wire(one.headers, one.body, prefix=reader.prefix)
        found.append(Came(one, event.id, event.partitionkey))
    return found


def _taken(reader: Reader, wanted: set[str], *, most: int = 100, wait: float = 0.5, seconds: float | None = None) -> list[Came]:
    """Receives, and settles each time, until all the wanted ids came; AssertionError when the time is over."""
    came: list[Came] = []
    seconds = SECONDS if seconds is None else seconds
    until = time.monotonic() + seconds
    while left := wanted - {one.id for one in came}:
        assert time.monotonic() < until, f"{len(left)} of {len(wanted)} messages did not come in {seconds:.0f} s"
        part = _some(reader, most, wait)
        _settle(reader, part)
        came += part
    return came


def _in_hand(reader: Reader, batch: Sequence[Message], *, most: int = 100) -> list[Came]:
    """What a reader hands over while nothing is settled: all, or as much as its broker gives out so."""
    came: list[Came] = []
    until = time.monotonic() + SECONDS
    while len(came) < min(most, len(batch)) and time.monotonic() < until:
        part = _some(reader, most - len(came), 0.5)
        if came and not part:
            break
        came += part
    assert came, f"not one of {len(batch)} messages came in {SECONDS:.0f} s"
    return came


def _some(reader: Reader, most: int, wait: float) -> list[Came]:
    part = list(reader.receive(most, wait))
    assert len(part) <= most, f"{len(part)} messages were handed over where at most {most} were asked for"
    return _came(reader, part)


def _all_done(reader: Reader, hand: Sequence[Came], wanted: set[str], seconds: float) -> None:
    """Settles what is in hand, receives and settles the rest, over whatever the broker does meanwhile."""
    finished: set[str] = set()
    until = time.monotonic() + seconds
    while not wanted <= finished:
        assert time.monotonic() < until, f"{len(wanted - finished)} of {len(wanted)} messages were lost with the server"
        try:
            hand = hand or _came(reader, reader.receive(100, 0.2))
            _settle(reader, hand)
        except DeliveryError as error:
            _says_the_way_out(error)
            with suppress(DeliveryError):  # Then they come by themselves.
                reader.again([one.received for one in hand])
            time.sleep(0.05)
        else:
            finished |= {one.id for one in hand}
        hand = []


def _nothing_comes(reader: Reader) -> list[Came]:
    """With the server gone: what a client had fetched before, then nothing or DeliveryError, in bounded time."""
    begun = time.monotonic()
    came: list[Came] = []
    try:
        came = _came(reader, reader.receive(10, 1.0))
    except DeliveryError as error:
        _says_the_way_out(error)
    assert time.monotonic() - begun < 1.0 + 2 * SLACK
    return came


def _says_the_way_out(error: DeliveryError) -> None:
    assert error.hint, f"what is wrong with a broker comes with the way out: {error}"


def _ids(batch: Iterable[Message]) -> set[str]:
    return {one.id for one in batch}


def _settle(reader: Reader, came: Sequence[Came]) -> None:
    if came:
        reader.done([one.received for one in came])


def _empty(bench: Bench, reader: Reader) -> None:
    """Nothing is left, for as long as something left behind would need to come."""
    late = list(reader.receive(10, max(QUIET_SECONDS, bench.patience)))
    assert not late, f"{len(late)} messages came again after they were done: {late[0].place}"


def _in_order(came: Sequence[Came], batch: Sequence[Message]) -> None:
    """Within each key they came in the order in which they were sent, each for the first time."""
    wanted: dict[str, list[str]] = defaultdict(list)
    got: dict[str, list[str]] = defaultdict(list)
    for one in batch:
        wanted[one.partitionkey].append(one.id)
    known = {one.id for one in batch}
    for each in came:
        if each.id in known and each.id not in got[each.key]:
            got[each.key].append(each.id)
    mixed = [key for key, ids in wanted.items() if got[key] != ids]
    assert not mixed, f"of {len(wanted)} keys {len(mixed)} came in another order than they were sent in, such as {mixed[0]}"
