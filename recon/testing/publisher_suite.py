"""What every publisher must keep to, as checks against a real destination: ours pass them, and yours can be held to them.

```python
import pytest
from recon.testing import publisher_suite

@pytest.mark.parametrize("check", publisher_suite.CHECKS, ids=publisher_suite.name_of)
def test_keeps_the_contract(check, tmp_path):
    with MyBench(tmp_path) as bench:
        check(bench)
```

A check raises AssertionError in words. Those that a destination cannot be made to show (`down`, `refused` is None) say so by `Skipped`,
which pytest shows as a skip.
"""

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from recon.errors import DeliveryError
from recon.event import Event, decode
from recon.publishers.base import Message, Outcome, OutcomeKind, Publisher

SECONDS = 45.0
SLACK = 3.0
"""What a call may take beyond its deadline: the machine that runs the tests is busy."""


class Skipped(Exception):
    """This destination cannot be made to show it; the words say what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """One event as the destination holds it."""

    id: str
    key: str
    body: bytes


class Bench(Protocol):
    """A destination of its own for one check, and a publisher that sends there.

    One that takes few events a second may have an attribute `many`: how many are sent at once at most, by default 600.
    """

    def publisher(self) -> Publisher:
        """A new publisher to this destination; the check closes it."""
        ...

    def arrived(self) -> Sequence[Arrived]:
        """What the destination holds now, in its order."""
        ...

    def refused(self) -> Message | None:
        """An event that this destination refuses for good; None where it takes anything."""
        ...

    def stop(self) -> bool:
        """Ends the server without warning; False where there is none that could be."""
        ...

    def start(self) -> None:
        """Starts it again, with what it held."""
        ...


def messages(count: int, *, keys: int | None = None, pad: int = 0) -> list[Message]:
    """Events of `keys` items in turn (by default each of an item of its own), of about `pad` bytes more than they need."""
    made = []
    for number in range(count):
        key = f"k{number % keys}" if keys else f"k{uuid.uuid4().hex[:12]}"
        event = Event(
            id=str(uuid.uuid4()),
            type="order.updated",
            source="/recon/shop/orders",
            subject=f"order/{key}",
            time=datetime(2026, 11, 25, 3, 0, number % 60, tzinfo=UTC),
            recorded=datetime(2026, 11, 25, 3, tzinfo=UTC),
            dataversion=1,
            partitionkey=key,
            run="01M835H6W3SC1M85WSM3FJ364Y",
            generation=1,
            data={"op": "updated", "key": key, "state": {"number": number, "note": "é\u2028" + "x" * pad}},
        )
        made.append(message_of(event))
    return made


def message_of(event: Event) -> Message:
    """An event as a publisher is handed it."""
    return Message(
        id=event.id, type=event.type, subject=event.subject, partitionkey=event.partitionkey, body=event.encode(), domain="orders"
    )


def every_event_has_one_outcome_and_arrives_as_it_is(bench: Bench) -> None:
    """As many outcomes as events, all confirmed; the destination holds the same ids and bytes, in order within each key."""
    batch = messages(60, keys=7)
    with _open(bench) as publisher:
        outcomes = _published(publisher, batch)
        ordered = publisher.capabilities.ordered
    _all(outcomes, OutcomeKind.CONFIRMED)
    held = _settled(bench, len(batch))
    assert {one.id: one.body for one in held} == {one.id: one.body for one in batch}, (
        "the destination holds other ids or bytes than were sent"
    )
    if ordered:
        _in_order(held, batch)


def an_empty_batch_is_nothing(bench: Bench) -> None:
    """No events, no outcomes, nothing sent."""
    with _open(bench) as publisher:
        assert list(publisher.publish([], SECONDS)) == []
    assert not bench.arrived()


def a_repeat_is_the_same_event(bench: Bench) -> None:
    """Sent again, an event is confirmed again; the destination holds it once, or twice under the same id and bytes."""
    batch = messages(5)
    with _open(bench) as publisher:
        _all(_published(publisher, batch), OutcomeKind.CONFIRMED)
    with _open(bench) as publisher:
        _all(_published(publisher, batch), OutcomeKind.CONFIRMED)
    held = _settled(bench, len(batch))
    assert {one.id: one.body for one in held} == {one.id: one.body for one in batch}, "a repeat brought another id or other bytes"


def an_older_version_is_a_message_of_its_own(bench: Bench) -> None:
    """The same event in an older version, under the same id, is no repeat: the destination holds both, and calls neither a duplicate."""
    newest = messages(4)
    with _open(bench) as publisher:
        if not publisher.capabilities.versions:
            raise Skipped("this destination is sent the newest version only")
        _all(_published(publisher, newest), OutcomeKind.CONFIRMED)
        older = [_lowered(one) for one in newest]
        outcomes = _published(publisher, older)
    _all(outcomes, OutcomeKind.CONFIRMED)
    assert not any(outcome.duplicate for outcome in outcomes), "an older version was taken for a repeat of the newest"
    held = _settled(bench, len(newest) + len(older))
    assert {one.body for one in held} == {one.body for one in (*newest, *older)}, "the destination does not hold both versions"


def _lowered(message: Message) -> Message:
    event = decode(message.body)
    return replace(message, body=replace(event, sunset="2999-12-31", data={**event.data, "lowered": True}).encode(), version=1)


def a_refused_event_costs_itself_alone(bench: Bench) -> None:
    """What the destination refuses for good is REJECTED with a reason; its neighbours arrive."""
    bad = bench.refused()
    if bad is None:
        raise Skipped("this destination takes anything")
    batch = messages(4)
    with _open(bench) as publisher:
        outcomes = _published(publisher, [*batch[:2], bad, *batch[2:]])
        if outcomes[2].kind is OutcomeKind.RETRY:
            outcomes = [*outcomes[:2], *_published(publisher, [bad, *batch[2:]])]
    assert outcomes[2].kind is OutcomeKind.REJECTED, f"it was {outcomes[2].kind}: {outcomes[2].reason}"
    assert outcomes[2].reason, "REJECTED says why: a person reads it in the list of dead letters"
    _all([*outcomes[:2], *outcomes[3:]], OutcomeKind.CONFIRMED)
    assert {one.id for one in _settled(bench, 4)} == {one.id for one in batch}


def nothing_is_confirmed_by_a_server_that_is_gone(bench: Bench) -> None:
    """With the server gone every outcome is RETRY or UNKNOWN, within the deadline, and health says what is wrong; once back, all arrive."""
    batch = messages(6)
    with _open(bench) as publisher:
        _all(_published(publisher, batch[:2]), OutcomeKind.CONFIRMED)
        _stopped(bench)
        try:
            begun = time.monotonic()
            outcomes = list(publisher.publish(batch[2:], 2.0))
            took = time.monotonic() - begun
            assert took < 2.0 + SLACK, f"a deadline of 2 s took {took:.1f} s"
            assert len(outcomes) == 4
            kinds = {outcome.kind for outcome in outcomes}
            assert kinds <= {OutcomeKind.RETRY, OutcomeKind.UNKNOWN}, f"with no server the outcomes were {kinds}"
            assert all(outcome.reason for outcome in outcomes), "an outcome that is not CONFIRMED says why"
            _ill(publisher)
        finally:
            bench.start()
        _until_confirmed(publisher, batch[2:])
        ordered = publisher.capabilities.ordered
    held = _settled(bench, len(batch))
    assert {one.id for one in held} == {one.id for one in batch}
    if ordered:
        _in_order(held, batch)


def a_server_that_dies_in_the_middle_loses_nothing(bench: Bench) -> None:
    """The server is killed while many events are on their way, and comes back: whatever was confirmed is there, and in the end all is."""
    batch = messages(_many(bench), keys=40, pad=2000)
    confirmed: set[str] = set()
    with _open(bench) as publisher:
        _all(_published(publisher, messages(1)), OutcomeKind.CONFIRMED)
        killer = threading.Timer(0.02, bench.stop)
        killer.start()
        outcomes = list(publisher.publish(batch, 5.0))
        killer.join()
        if not bench.stop():
            raise Skipped("there is no server that could be killed")
        confirmed |= {one.id for one, outcome in zip(batch, outcomes, strict=True) if outcome.kind is OutcomeKind.CONFIRMED}
        bench.start()
        held = {one.id for one in bench.arrived()}
        assert confirmed <= held, f"{len(confirmed - held)} of {len(confirmed)} confirmed events are not there"
        _until_confirmed(publisher, [one for one in batch if one.id not in confirmed])
    held_now = _settled(bench, len(batch))
    assert {one.id for one in batch} <= {one.id for one in held_now}


def closed_while_it_sends_it_answers_for_all(bench: Bench) -> None:
    """`close` from another thread in the middle of a call: the call still answers one outcome for each event, and none is a lie."""
    batch = messages(_many(bench) // 2, pad=2000)
    publisher = bench.publisher()
    closer = threading.Timer(0.01, publisher.close)
    closer.start()
    outcomes = list(publisher.publish(batch, SECONDS))
    closer.join()
    publisher.close()
    assert len(outcomes) == len(batch)
    confirmed = {one.id for one, outcome in zip(batch, outcomes, strict=True) if outcome.kind is OutcomeKind.CONFIRMED}
    held = {one.id for one in _settled(bench, len(confirmed))}
    assert confirmed <= held, f"{len(confirmed - held)} confirmed events are not there"


def an_event_larger_than_it_takes_is_refused(bench: Bench) -> None:
    """An event beyond `capabilities.max_bytes` is REJECTED if it is handed over all the same; its neighbours arrive."""
    with _open(bench) as publisher:
        limit = publisher.capabilities.max_bytes
        if limit is None or limit > 16 * 1024 * 1024:
            raise Skipped("this destination names no limit that could be gone beyond")
        small, (large,) = messages(2), messages(1, pad=limit + 1)
        outcomes = _published(publisher, [small[0], large, small[1]])
    assert outcomes[1].kind is OutcomeKind.REJECTED, f"{limit + 1:,} bytes and more were {outcomes[1].kind}: {outcomes[1].reason}"
    _all([outcomes[0], outcomes[2]], OutcomeKind.CONFIRMED)


CHECKS: tuple[Callable[[Bench], None], ...] = (
    every_event_has_one_outcome_and_arrives_as_it_is,
    an_empty_batch_is_nothing,
    a_repeat_is_the_same_event,
    an_older_version_is_a_message_of_its_own,
    a_refused_event_costs_itself_alone,
    an_event_larger_than_it_takes_is_refused,
    nothing_is_confirmed_by_a_server_that_is_gone,
    a_server_that_dies_in_the_middle_loses_nothing,
    closed_while_it_sends_it_answers_for_all,
)


def name_of(check: Callable[[Bench], None]) -> str:
    """A check by its name, for pytest's ids."""
    return check.__name__


def _many(bench: Bench) -> int:
    return int(getattr(bench, "many", 600))


class _open:  # noqa: N801 - reads as the word it stands for: with _open(bench) as publisher
    """A publisher, closed after."""

    def __init__(self, bench: Bench) -> None:
        self._publisher = bench.publisher()

    def __enter__(self) -> Publisher:
        return self._publisher

    def __exit__(self, *_: object) -> None:
        self._publisher.close()


def _published(publisher: Publisher, batch: Sequence[Message]) -> list[Outcome]:
    """The outcomes, handed over in batches as large as the publisher takes."""
    size = max(1, publisher.capabilities.batch)
    outcomes: list[Outcome] = []
    for start in range(0, len(batch), size):
        part = batch[start : start + size]
        found = list(publisher.publish(part, SECONDS))
        assert len(found) == len(part), f"{len(found)} outcomes for {len(part)} events"
        outcomes += found
    return outcomes


def _until_confirmed(publisher: Publisher, batch: Sequence[Message]) -> None:
    """Sends what is left again and again, as the outbox does, until all of it is confirmed."""
    left, until = list(batch), time.monotonic() + 3 * SECONDS
    while left:
        outcomes = _published(publisher, left)
        refused = [outcome.reason for outcome in outcomes if outcome.kind is OutcomeKind.REJECTED]
        assert not refused, f"good events were refused after the server came back: {refused[0]}"
        left = [one for one, outcome in zip(left, outcomes, strict=True) if outcome.kind is not OutcomeKind.CONFIRMED]
        assert time.monotonic() < until, f"{len(left)} events were not confirmed after the server came back: {outcomes[-1].reason}"
        time.sleep(0.05 if left else 0)


def _settled(bench: Bench, count: int) -> Sequence[Arrived]:
    """What arrived, once there are `count` events, in one version or another, or the time is over."""
    until = time.monotonic() + SECONDS
    held = bench.arrived()
    while len({(one.id, one.body) for one in held}) < count and time.monotonic() < until:
        time.sleep(0.02)
        held = bench.arrived()
    return held


def _in_order(held: Sequence[Arrived], batch: Sequence[Message]) -> None:
    """Within each key the first arrivals are in the order in which they were sent."""
    wanted: dict[str, list[str]] = defaultdict(list)
    for one in batch:
        wanted[one.partitionkey].append(one.id)
    got: dict[str, list[str]] = defaultdict(list)
    for arrived in held:
        if arrived.id not in got[arrived.key]:
            got[arrived.key].append(arrived.id)
    mixed = [key for key, ids in wanted.items() if got[key] != ids]
    assert not mixed, f"of {len(wanted)} keys {len(mixed)} arrived in another order than they were sent in, such as {mixed[0]}"


def _all(outcomes: Sequence[Outcome], kind: OutcomeKind) -> None:
    other = [outcome for outcome in outcomes if outcome.kind is not kind]
    assert not other, f"{len(other)} of {len(outcomes)} were not {kind}: {other[0].kind}: {other[0].reason}"


def _stopped(bench: Bench) -> None:
    if not bench.stop():
        raise Skipped("there is no server that could be stopped")


def _ill(publisher: Publisher) -> None:
    hint: str | None = None
    try:
        said = publisher.health()
    except DeliveryError as error:
        said, hint = "", error.hint or ""
    assert hint is not None, f"health found nothing wrong with a server that is gone: {said}"
    assert hint, "what is wrong with a destination comes with the way out"
