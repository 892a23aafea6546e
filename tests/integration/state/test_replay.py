"""Replays and dead letters on SQLite and PostgreSQL: the same ids and bytes, in order, once more; refused events sent again or let go."""

from datetime import timedelta

import pytest

from recon.errors import BadRequest
from recon.outbox import Choice, DeadLetters, Replays
from recon.publishers.base import Outcome, OutcomeKind
from recon.testing.publisher import RecordingPublisher
from tests.integration.state.test_outbox import deliver, sent, states
from tests.integration.state.world import Nights, changed

REJECTED = Outcome(kind=OutcomeKind.REJECTED, reason="422 no such field")


def told(nights: Nights) -> list[RecordingPublisher]:
    """Two nights: item 1 changes twice, item 2 once; all of it delivered."""
    publishers = []
    for status, keys in (("paid", "12"), ("refunded", "1")):
        nights.look([changed(key, source=status) for key in keys])
        nights.send()
        nights.end()
        publishers.append(RecordingPublisher())
        deliver(nights, publishers[-1])
        nights.clock.advance(86_400)
    return publishers


def test_a_replay_sends_the_same_bytes_in_order_to_whoever_asks(nights: Nights) -> None:
    """Another destination gets every event, oldest first, with its id and bytes, another dedupe token and the replay's id."""
    first, second = told(nights)
    before = [*first.messages, *second.messages]

    replay, count = Replays(nights.state).begin(Choice(domain="orders"), "lake")
    lake = RecordingPublisher()
    deliver(nights, lake, name="lake")

    assert count == 3
    assert [(m.id, m.body) for m in lake.messages if m.partitionkey == "1"] == [(m.id, m.body) for m in before if m.partitionkey == "1"]
    assert {m.id for m in lake.messages} == {m.id for m in before}
    assert {m.replay for m in lake.messages} == {replay}
    assert not {m.dedupe for m in lake.messages} & {m.dedupe for m in before}
    assert Replays(nights.state).standing(replay) == {"sent": 3}
    assert all(m.replay is None for m in before)


def test_only_what_was_asked_for_is_chosen(nights: Nights) -> None:
    """Domain, key, type, run and time each narrow it; what fits nothing is refused in words."""
    told(nights)
    replays, now = Replays(nights.state), nights.clock.now()

    def count(**asked: object) -> int:
        return sum(one.count for one in replays.chosen(Choice(**asked)))  # type: ignore[arg-type] -- the test names the fields by word

    assert (count(), count(domain="orders"), count(domain="refunds")) == (3, 3, 0)
    assert (count(key="1"), count(key="2"), count(type="order.updated"), count(type="order.deleted")) == (2, 1, 3, 0)
    assert (count(since=now - timedelta(hours=30)), count(until=now - timedelta(hours=30))) == (1, 2)
    assert count(run=nights.claim.run.id) == 1
    with pytest.raises(BadRequest, match="no event was ever emitted"):
        replays.begin(Choice(key="9"), "lake")


def test_a_replay_outlives_the_discrepancy(nights: Nights) -> None:
    """What a later night finds resolved is withdrawn where it waits for its correction, and stays where it is a replay."""
    sent(nights, "1")
    replay, _ = Replays(nights.state).begin(Choice(), "lake")

    nights.look([])
    nights.send()

    assert states(nights.state) == {"1": "waiting"}
    assert Replays(nights.state).standing(replay) == {"waiting": 1}
    bus, lake = RecordingPublisher(), RecordingPublisher()
    deliver(nights, bus)
    deliver(nights, lake, name="lake")
    assert ([m.partitionkey for m in bus.messages], [m.partitionkey for m in lake.messages]) == ([], ["1"])


def test_a_night_that_tells_what_a_replay_waits_with_makes_it_its_own(nights: Nights) -> None:
    """It is sent once, counts in the night's figures, and is withdrawn with its discrepancy like all that the night told."""
    sent(nights, "1")
    deliver(nights, RecordingPublisher())
    replay, _ = Replays(nights.state).begin(Choice(), "bus")

    nights.look([changed("1")])
    nights.send()
    assert nights.outbox.figure(nights.claim.run.id, "bus").waiting == 1
    assert Replays(nights.state).standing(replay) == {}
    nights.end()
    nights.look([])
    nights.send()

    assert deliver(nights, RecordingPublisher()).confirmed == 0
    assert states(nights.state) == {"1": "withdrawn"}


@pytest.mark.parametrize("as_stored", [False, True])
def test_what_stands_behind_a_replay_s_parked_event_is_counted(nights: Nights, as_stored: bool) -> None:
    """One line of a key, whether it is told as it is stored or in the newest version: what a later night adds waits behind it."""
    sent(nights, "1")
    deliver(nights, RecordingPublisher())
    Replays(nights.state).begin(Choice(), "bus", as_stored=as_stored)
    deliver(nights, RecordingPublisher([Outcome(kind=OutcomeKind.RETRY, reason="503", after=500_000.0)]), deadline=1.0)
    nights.look([changed("1", source="refunded")])
    nights.send()

    parked = deliver(nights, RecordingPublisher(), deadline=1.0).parked

    assert parked is not None
    assert (parked.keys, parked.behind, parked.attempts) == (1, 1, 1)


def test_a_dead_letter_goes_out_again_once_its_reason_is_mended(nights: Nights) -> None:
    """Redriven, it has the same id and bytes, is delivered, and is a dead letter no more."""
    sent(nights, "1", "2")
    deliver(nights, RecordingPublisher([REJECTED, REJECTED]))
    letters = DeadLetters(nights.state)
    one, two = (nights.event(key) for key in "12")
    assert {letter.event for letter in letters.list()} == {one, two}

    done = letters.redrive(event=one[:8])

    assert (done.again, done.stale) == (1, 0)
    publisher = RecordingPublisher()
    deliver(nights, publisher)
    assert [event.id for event in publisher.events] == [one]
    assert [letter.event for letter in letters.list()] == [two]
    with pytest.raises(BadRequest, match=f"no dead letter of event {one[:8]}"):
        letters.redrive(event=one[:8])


def test_a_stale_dead_letter_is_left_unless_it_is_asked_for(nights: Nights) -> None:
    """Once its discrepancy is resolved, sending it late would undo what is right: only `stale` does it."""
    sent(nights, "1")
    deliver(nights, RecordingPublisher([REJECTED]))
    nights.look([])
    nights.send()
    nights.end()
    letters = DeadLetters(nights.state)

    assert [letter.current for letter in letters.list()] == [False]
    assert letters.redrive(domain="orders").stale == 1
    assert states(nights.state) == {"1": "dead"}
    assert letters.redrive(domain="orders", stale=True).again == 1
    assert states(nights.state) == {"1": "waiting"}


def test_a_discarded_letter_says_by_whom_and_why(nights: Nights) -> None:
    """It is gone from the list, its reason holds both words, and a night that finds the item again tells it anew."""
    sent(nights, "1")
    deliver(nights, RecordingPublisher([REJECTED]))
    letters = DeadLetters(nights.state)

    with pytest.raises(BadRequest, match="wants a reason"):
        letters.discard(by="ana", reason=" ", domain="orders")
    assert letters.discard(by="ana", reason="a test order", domain="orders") == 1

    assert letters.list() == []
    (tale,) = nights.ledger.story("orders", "1").sent
    assert (tale.state, tale.reason) == ("withdrawn", "discarded by ana: a test order; it was refused: 422 no such field")
    nights.look([changed("1")])
    nights.send()
    assert states(nights.state) == {"1": "waiting"}
