"""Calls of several events at once: whatever the answers, the laws of a batch hold."""

import threading
import time
from collections import defaultdict
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from recon.publishers.base import Message, Outcome, OutcomeKind
from recon.publishers.keyed import Keyed, Parcel

MOST, LIMIT = 3, 100
KINDS = (OutcomeKind.CONFIRMED, OutcomeKind.CONFIRMED, OutcomeKind.CONFIRMED, OutcomeKind.RETRY, OutcomeKind.UNKNOWN, OutcomeKind.REJECTED)
EVENTS = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("xy"), st.integers(1, 60), st.sampled_from(KINDS)), max_size=25)


def parcel(number: int, key: str, place: str, size: int) -> Parcel:
    """An event as a publisher makes it ready."""
    message = Message(id=str(number), type="t", subject=key, partitionkey=key, body=b"")
    return Parcel(message=message, place=place, entry=number, size=size)


@settings(max_examples=60, deadline=None)
@given(wanted=EVENTS)
def test_whatever_fails_nothing_is_overtaken_and_each_has_its_outcome(wanted: list[tuple[str, str, int, OutcomeKind]]) -> None:
    """One outcome each, its own; no call with two events of a key or beyond its limits; nothing of a key sent after one that did not arrive."""
    parcels = [parcel(n, key, place, size) for n, (key, place, size, _) in enumerate(wanted)]
    said = [Outcome(kind=kind, reason=str(n)) for n, (*_, kind) in enumerate(wanted)]
    sent: list[int] = []
    under_way: set[str] = set()
    wrong: list[str] = []
    lock = threading.Lock()

    def call(place: str, some: Sequence[Parcel]) -> Sequence[Outcome]:
        keys = {one.message.partitionkey for one in some}
        with lock:
            if len(keys) < len(some) or keys & under_way or {one.place for one in some} != {place}:
                wrong.append(f"{place}: {some}")
            if len(some) > MOST or (len(some) > 1 and sum(one.size for one in some) > LIMIT):
                wrong.append(f"too much: {some}")
            under_way.update(keys)
            sent.extend(one.entry for one in some)
        time.sleep(0)
        with lock:
            under_way.difference_update(keys)
        return [said[one.entry] for one in some]

    keyed = Keyed("test", most=MOST, limit=LIMIT, at_once=3)
    outcomes = keyed.send(parcels, time.monotonic() + 10, call)
    keyed.close()

    assert wrong == []
    assert len(outcomes) == len(parcels)
    assert len(set(sent)) == len(sent)
    assert all(outcomes[n] is said[n] for n in sent)
    assert all(outcomes[n].kind is OutcomeKind.RETRY and outcomes[n].reason for n in set(range(len(parcels))) - set(sent))
    by_key: dict[str, list[int]] = defaultdict(list)
    for n, one in enumerate(parcels):
        by_key[one.message.partitionkey].append(n)
    for numbers in by_key.values():
        arrived = [outcomes[n].kind in {OutcomeKind.CONFIRMED, OutcomeKind.REJECTED} for n in numbers]
        assert arrived == sorted(arrived, reverse=True)
        assert [n for n in sent if n in numbers] == sorted(set(sent) & set(numbers))
