"""The outbox on SQLite and PostgreSQL: committed with its run, delivered at least once under one id, in order per key, within its time."""

import logging
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from recon.clock import SystemClock
from recon.errors import LostLease
from recon.event import decode
from recon.outbox.dead import DeadLetters
from recon.outbox.delivery import LEASE_SECONDS, drain
from recon.outbox.standing import standings
from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
from recon.report.figures import DeliveryFigure
from recon.state import lease
from recon.state.confirmed import confirmed_at
from recon.state.database import State
from recon.state.runs import RunState
from recon.state.tables import events, ledger, outbox
from recon.testing.clock import FixedClock
from recon.testing.publisher import RecordingPublisher
from tests.integration.state.world import Nights, changed, missing

CHILD = Path(__file__).parent / "child.py"
RETRY = Outcome(kind=OutcomeKind.RETRY, reason="503")
UNKNOWN = Outcome(kind=OutcomeKind.UNKNOWN, reason="timed out")
REJECTED = Outcome(kind=OutcomeKind.REJECTED, reason="400 no such field")
CONFIRMED = Outcome(kind=OutcomeKind.CONFIRMED)


def deliver(nights: Nights, publisher, **options) -> DeliveryFigure:
    """A drain on the test's clock."""
    return drain(nights.state, publisher, **{"name": "bus", "domain": "orders", "clock": nights.clock, "deadline": 30.0, **options})


def sent(nights: Nights, *keys: str) -> None:
    """A night that enqueued these keys."""
    nights.look([changed(key) for key in keys])
    nights.send()
    nights.end()


def states(state: State) -> dict[str, str]:
    """Key to what became of its newest row."""
    with state.read() as conn:
        return {row.partitionkey: row.state for row in conn.execute(select(outbox).order_by(outbox.c.seq))}


class Scripted:
    """Answers what a function says about each call; keeps the batches."""

    name = "scripted"

    def __init__(self, answer: Callable[[Sequence[Message]], Sequence[Outcome]], capabilities: Capabilities | None = None) -> None:
        self.answer = answer
        self.capabilities = capabilities or Capabilities(batch=100)
        self.batches: list[list[str]] = []

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        self.batches.append([message.partitionkey for message in batch])
        return self.answer(batch)


def test_events_commit_with_their_run_or_not_at_all(nights: Nights) -> None:
    """A crash before the commit leaves neither the state nor a row; after it, both."""
    nights.look([changed("1")])
    with nights.state.begin() as conn:
        nights.plans.make_in(conn, nights.claim.run, nights.job)
        nights.plans.judge_in(conn, nights.claim.run, (), expires_at=nights.clock.now())
    with pytest.raises(KeyboardInterrupt), nights.state.begin() as conn:
        nights.outbox.enqueue_in(conn, nights.claim, nights.claim.run.id, "bus")
        nights.runs.advance_in(conn, nights.claim, RunState.EMITTED)
        raise KeyboardInterrupt
    assert states(nights.state) == {}
    assert nights.runs.get(nights.claim.run.id).state is RunState.CONFIRMING

    with nights.state.begin() as conn:
        assert nights.outbox.enqueue_in(conn, nights.claim, nights.claim.run.id, "bus") == 1
        nights.runs.advance_in(conn, nights.claim, RunState.EMITTED)
    assert states(nights.state) == {"1": "waiting"}


def test_a_zombie_enqueues_nothing(nights: Nights, clock: FixedClock) -> None:
    """A stale holder cannot write."""
    nights.look([changed("1")])
    with nights.state.begin() as conn:
        nights.plans.make_in(conn, nights.claim.run, nights.job)
        nights.plans.judge_in(conn, nights.claim.run, (), expires_at=clock.now())
    clock.advance(61)
    nights.runs.resume(nights.claim.run.id, "host:2")

    with pytest.raises(LostLease), nights.state.begin() as conn:
        nights.outbox.enqueue_in(conn, nights.claim, nights.claim.run.id, "bus")
    assert states(nights.state) == {}


def test_what_is_confirmed_is_marked_and_counted(nights: Nights) -> None:
    """In the order of the plan; the receiver's duplicates are counted among the confirmed."""
    sent(nights, "b", "a", "c")
    publisher = RecordingPublisher([CONFIRMED, Outcome(kind=OutcomeKind.CONFIRMED, duplicate=True), CONFIRMED], batch=2)
    seen: list[DeliveryFigure] = []

    figure = deliver(nights, publisher, on_batch=seen.append)

    assert figure == DeliveryFigure(publisher="bus", confirmed=3, duplicates=1)
    assert [message.partitionkey for message in publisher.messages] == ["b", "a", "c"]
    assert nights.outbox.figure(nights.claim.run.id, "bus") == figure
    assert seen[-1] == figure
    assert [event.id for event in publisher.events] == [nights.event(key) for key in "bac"]
    assert deliver(nights, publisher).confirmed == 0


def test_detected_again_it_is_the_same_event_with_the_same_bytes_and_another_token(nights: Nights) -> None:
    """First bytes win: what the record shows beside the compared values may have changed, the event of that id has not."""
    publisher = RecordingPublisher()
    nights.night([changed("1", amount=1)])
    deliver(nights, publisher)
    nights.night([changed("1", amount=2)])
    deliver(nights, publisher)

    first, second = publisher.messages
    assert (first.id, first.body) == (second.id, second.body)
    assert (first.emission, second.emission) == (1, 2)
    assert first.dedupe != second.dedupe
    with nights.state.read() as conn:
        assert conn.execute(select(ledger.c.emissions)).scalar_one() == 2
        assert conn.execute(select(events.c.emissions)).scalar_one() == 2


def test_confirmed_and_still_there_it_gets_a_new_id_after_two_nights(nights: Nights) -> None:
    """The whole way round: the third detection after a confirmation sends an event that names the one it supersedes."""
    publisher = RecordingPublisher()
    for _ in range(4):
        nights.night([changed("1")])
        deliver(nights, publisher)

    ids = [message.id for message in publisher.messages]
    assert ids[0] == ids[1] != ids[2] == ids[3]
    assert decode(publisher.messages[2].body).data["supersedes"] == ids[0]


def test_delivered_while_a_night_was_looking_it_was_not_unheeded_by_it(nights: Nights) -> None:
    """What was confirmed after the watermark cannot have been seen to fail; patience begins with the next night."""
    sent(nights, "1")
    first = nights.event("1")
    nights.begin()
    nights.clock.advance(1)
    assert deliver(nights, RecordingPublisher()).confirmed == 1
    nights.look([changed("1")], begin=False)
    nights.send()
    nights.end()

    nights.night([changed("1")])
    assert nights.event("1") == first
    nights.night([changed("1")])
    assert nights.event("1") != first


def test_one_that_still_waits_is_taken_over_and_sent_once(nights: Nights) -> None:
    """Two nights with a dead destination make one row, which answers for the newer run."""
    sent(nights, "1")
    first = nights.claim.run.id
    sent(nights, "1")

    publisher = RecordingPublisher()
    assert deliver(nights, publisher).confirmed == 1
    assert [message.emission for message in publisher.messages] == [2]
    assert nights.outbox.figure(first, "bus").confirmed == 0
    assert nights.outbox.figure(nights.claim.run.id, "bus").confirmed == 1


def test_retry_and_unknown_wait_and_the_same_id_goes_again(nights: Nights) -> None:
    """The pause is kept, and nothing is lost or renamed."""
    sent(nights, "1", "2")
    publisher = RecordingPublisher([Outcome(kind=OutcomeKind.RETRY, reason="429", after=7.0), UNKNOWN])

    figure = deliver(nights, publisher)

    assert (figure.confirmed, figure.waiting) == (2, 0)
    ids = [message.id for message in publisher.messages]
    assert sorted(ids[:2]) == sorted(ids[2:])
    assert sum(nights.clock.slept) >= 7.0


def test_a_later_event_of_a_key_waits_behind_an_earlier_one(nights: Nights) -> None:
    """Of one key only the oldest goes; another key is not held up by it."""
    sent(nights, "k", "other")
    with nights.state.begin() as conn:
        row = conn.execute(select(outbox).where(outbox.c.partitionkey == "k")).mappings().one()
        event = conn.execute(select(events).where(events.c.id == row["event_id"])).mappings().one()
        conn.execute(events.insert().values({**event, "id": "second"}))
        conn.execute(outbox.insert().values({**{n: v for n, v in row.items() if n != "seq"}, "event_id": "second"}))
    stuck = True

    def answer(batch: Sequence[Message]) -> list[Outcome]:
        return [RETRY if message.partitionkey == "k" and stuck else CONFIRMED for message in batch]

    publisher = Scripted(answer)
    assert deliver(nights, publisher, deadline=3.0).waiting == 2
    assert publisher.batches[0] == ["k", "other"]
    assert all(batch == ["k"] for batch in publisher.batches[1:])
    stuck = False
    nights.clock.advance(1000)
    assert deliver(nights, publisher).confirmed == 2
    assert publisher.batches[-2:] == [["k"], ["k"]]


def test_each_of_a_window_gets_its_own_outcome(nights: Nights) -> None:
    """Every third is confirmed, refused or put off, each with its own reason: what is written down for many at once mixes none of them up."""
    keys = [f"k{n:02}" for n in range(30)]
    sent(nights, *keys)

    def answer(batch: Sequence[Message]) -> list[Outcome]:
        kinds = [OutcomeKind.CONFIRMED, OutcomeKind.REJECTED, OutcomeKind.RETRY]
        numbers = [int(message.partitionkey[1:]) for message in batch]
        return [Outcome(kind=kinds[n % 3], reason="" if n % 3 == 0 else f"of {n}", after=1000.0 if n % 3 == 2 else None) for n in numbers]

    figure = deliver(nights, Scripted(answer), deadline=5.0)

    assert (figure.confirmed, figure.dead, figure.waiting) == (10, 10, 10)
    with nights.state.read() as conn:
        rows = {row.partitionkey: row for row in conn.execute(select(outbox))}
        confirmed = set(conn.execute(select(events.c.key).where(confirmed_at().is_not(None))).scalars())
    assert [rows[key].state for key in keys] == ["sent", "dead", "waiting"] * 10
    assert all(rows[key].reason == (None if n % 3 == 0 else f"of {n}") for n, key in enumerate(keys))
    assert {row.attempts for row in rows.values()} == {1}
    assert confirmed == set(keys[::3])


def test_many_that_wait_behind_stuck_ones_are_found(nights: Nights) -> None:
    """Six hundred stand first and are not due: what is due behind them goes all the same, and of a stuck key nothing does."""
    stuck, due = [f"a{n:03}" for n in range(600)], [f"b{n:03}" for n in range(600)]
    sent(nights, *stuck, *due)
    later = nights.clock.now() + timedelta(hours=1)
    with nights.state.begin() as conn:
        conn.execute(outbox.update().where(outbox.c.partitionkey.in_(stuck)).values(due_at=later))
        conn.execute(outbox.update().where(outbox.c.partitionkey == due[-1]).values(partitionkey=stuck[0]))

    begun = nights.clock.monotonic()
    figure = deliver(nights, RecordingPublisher(batch=100), deadline=5.0)

    assert (figure.confirmed, figure.waiting) == (599, 601)
    # The one behind is due and may not go: there is nothing to stay for.
    assert nights.clock.monotonic() - begun < 1.0


def test_how_a_destination_stood_is_remembered_until_it_answers(nights: Nights) -> None:
    """Down at the end of one drain, the next begins with one event, of any domain; once it answers, everything goes."""
    sent(nights, *[str(n) for n in range(20)])
    down = Scripted(lambda batch: [RETRY] * len(batch), Capabilities(batch=5))
    deliver(nights, down, deadline=60.0)
    (stood,) = standings(nights.state).values()
    assert (stood.publisher, stood.reason, stood.failures >= 3) == ("bus", "503", True)

    nights.clock.advance(3600)
    again = Scripted(lambda batch: [RETRY] * len(batch), Capabilities(batch=5))
    deliver(nights, again, deadline=60.0)
    nights.clock.advance(3600)
    back = Scripted(lambda batch: [CONFIRMED] * len(batch), Capabilities(batch=5))
    assert deliver(nights, back, deadline=60.0).confirmed == 20
    assert [len(batch) for batch in again.batches] == [1]
    assert [len(batch) for batch in back.batches][:2] == [1, 5]
    assert standings(nights.state) == {}


def test_what_waits_behind_a_parked_event_is_not_asked_for_again_and_again(nights: Nights) -> None:
    """An event that is due, behind one of its key that is not: the drain ends, or sleeps until the first one is due, and looks no oftener."""
    sent(nights, "k")
    with nights.state.begin() as conn:
        row = conn.execute(select(outbox)).mappings().one()
        event = conn.execute(select(events)).mappings().one()
        conn.execute(events.insert().values({**event, "id": "second"}))
        conn.execute(outbox.insert().values({**{n: v for n, v in row.items() if n != "seq"}, "event_id": "second"}))
    nights.clock.advance(600)
    begun, slept = nights.clock.monotonic(), len(nights.clock.slept)

    assert deliver(nights, RecordingPublisher([RETRY], batch=10), deadline=60.0).waiting == 2
    assert nights.clock.monotonic() - begun < 1
    assert deliver(nights, RecordingPublisher(batch=10), deadline=600.0).confirmed == 2
    assert len(nights.clock.slept) - slept <= 2


def test_rejected_becomes_a_dead_letter_with_its_reason(nights: Nights) -> None:
    """It is not tried again, and does not hold up what comes after."""
    sent(nights, "1", "2")

    figure = deliver(nights, RecordingPublisher([REJECTED]))

    assert (figure.confirmed, figure.dead, figure.waiting, figure.last_reason) == (1, 1, 0, "400 no such field")
    (letter,) = DeadLetters(nights.state).list(domain="orders")
    assert (letter.key, letter.reason, letter.publisher, letter.run) == ("1", "400 no such field", "bus", nights.claim.run.id)
    assert nights.outbox.figure(nights.claim.run.id, "bus").last_reason == "400 no such field"


def test_an_event_too_large_for_the_destination_is_refused_with_its_figures(nights: Nights) -> None:
    """Before it is sent, and without holding up the others."""
    small, large = changed("small"), changed("large")
    large.source["status"] = "x" * 5000
    nights.look([large, small])
    nights.send()
    publisher = Scripted(lambda batch: [CONFIRMED] * len(batch), Capabilities(batch=10, max_bytes=4096))

    figure = deliver(nights, publisher)

    assert (figure.confirmed, figure.dead) == (1, 1)
    assert publisher.batches == [["small"]]
    assert DeadLetters(nights.state).list()[0].reason.endswith("bytes, bus takes at most 4,096")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda batch: 1 / 0, "publisher bus raised ZeroDivisionError"),
        (lambda batch: [CONFIRMED], "publisher bus answered 1 outcomes for 2 events"),
        (lambda batch: [True, True], "publisher bus answered 2 outcomes for 2 events"),
        (lambda batch: [CONFIRMED] * 3, "publisher bus answered 3 outcomes for 2 events"),
    ],
)
def test_a_publisher_that_breaks_its_protocol_has_said_nothing(
    nights: Nights, answer, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its events may or may not have arrived: they wait, and the fault is loud."""
    sent(nights, "1", "2")

    with caplog.at_level(logging.ERROR):
        figure = deliver(nights, Scripted(answer), deadline=0.5)

    assert (figure.confirmed, figure.waiting, figure.dead) == (0, 2, 0)
    assert words in figure.last_reason
    assert any(words in message for message in caplog.messages)


def test_a_dead_destination_does_not_hang_the_night(nights: Nights) -> None:
    """The deadline is kept, the breaker keeps the tries few, and everything stays waiting."""
    sent(nights, *[str(n) for n in range(50)])
    publisher = Scripted(lambda batch: [UNKNOWN] * len(batch), Capabilities(batch=1))
    begun = nights.clock.monotonic()

    figure = deliver(nights, publisher, deadline=60.0)

    assert (figure.confirmed, figure.waiting, figure.last_reason) == (0, 50, "timed out")
    assert nights.clock.monotonic() - begun <= 60.0
    assert len(publisher.batches) <= 12
    (waiting,) = nights.outbox.waiting("orders")
    assert (waiting.count, waiting.publisher, waiting.reason) == (50, "bus", "timed out")


def test_after_an_outage_one_probe_goes_first(nights: Nights) -> None:
    """The breaker lets one event through, and the rest only when that one was taken."""
    sent(nights, *[str(n) for n in range(20)])
    down = 4

    def answer(batch: Sequence[Message]) -> list[Outcome]:
        nonlocal down
        down -= 1
        return [RETRY if down >= 0 else CONFIRMED] * len(batch)

    publisher = Scripted(answer, Capabilities(batch=5))
    figure = deliver(nights, publisher, deadline=600.0)

    assert figure.confirmed == 20
    assert [len(batch) for batch in publisher.batches[:5]] == [5, 5, 5, 1, 1]


def test_one_event_that_is_never_taken_does_not_keep_the_others_of_a_destination_that_was_down(nights: Nights) -> None:
    """An outage is remembered, and then ends but for one event, the oldest: the next delivery asks with another one, and all others arrive."""
    sent(nights, "odd", *[str(n) for n in range(20)])
    deliver(nights, Scripted(lambda batch: [RETRY] * len(batch)), deadline=600.0)
    nights.clock.advance(3600)

    def answer(batch: Sequence[Message]) -> list[Outcome]:
        return [RETRY if message.partitionkey == "odd" else CONFIRMED for message in batch]

    deliver(nights, Scripted(lambda batch: [RETRY] * len(batch)), deadline=60.0)
    assert standings(nights.state)["bus"].failures > 9
    nights.clock.advance(3600)
    figure = deliver(nights, Scripted(answer), deadline=60.0)
    assert (figure.confirmed, figure.waiting) == (20, 1)


def test_a_process_that_is_asked_to_stop_stops_waiting(nights: Nights) -> None:
    """A sleep that ends early ends the drain; nothing is lost."""

    class Woken(FixedClock):
        def sleep(self, seconds: float) -> None:
            self.slept.append(seconds)

    sent(nights, "1")
    woken = Woken()

    figure = deliver(nights, RecordingPublisher([RETRY]), clock=woken, deadline=1000.0)

    assert (figure.waiting, len(woken.slept)) == (1, 1)


def test_all_domains_of_a_destination_are_drained_and_others_left_alone(nights: Nights) -> None:
    """Without a domain everything that waits for this destination goes, and nothing of another."""
    sent(nights, "1")
    with nights.state.begin() as conn:
        row = dict(conn.execute(select(outbox)).mappings().one())
        for n, values in enumerate(({"domain": "refunds"}, {"publisher": "other"})):
            event = dict(conn.execute(select(events).where(events.c.id == row["event_id"])).mappings().one())
            conn.execute(events.insert().values({**event, "id": f"copy{n}"}))
            conn.execute(outbox.insert().values({**{k: v for k, v in row.items() if k != "seq"}, **values, "event_id": f"copy{n}"}))

    assert deliver(nights, RecordingPublisher(), domain=None).confirmed == 2
    assert [waiting.publisher for waiting in nights.outbox.waiting()] == ["other"]


@pytest.mark.parametrize("after", [None, 25.0])
def test_a_domain_whose_event_is_put_off_keeps_no_time_from_the_others(nights: Nights, after: float | None) -> None:
    """One domain's event is asked for again within the time: another domain of the destination has its turn before that, as soon as it may."""
    sent(nights, "1")
    with nights.state.begin() as conn:
        row = dict(conn.execute(select(outbox)).mappings().one())
        event = dict(conn.execute(select(events)).mappings().one())
        conn.execute(events.insert().values({**event, "id": "copy", "domain": "refunds"}))
        conn.execute(
            outbox.insert().values(
                {**{k: v for k, v in row.items() if k != "seq"}, "domain": "refunds", "event_id": "copy", "partitionkey": "2"}
            )
        )
    began = nights.clock.monotonic()
    arrived: list[float] = []

    def answer(batch: Sequence[Message]) -> list[Outcome]:
        if batch[0].partitionkey == "1":
            return [Outcome(kind=OutcomeKind.RETRY, reason="busy", after=after)]
        arrived.append(nights.clock.monotonic() - began)
        return [CONFIRMED]

    figure = deliver(nights, Scripted(answer), domain=None, deadline=60.0)

    assert (figure.confirmed, figure.waiting, arrived) == (1, 1, [after or 0.0])


def test_a_second_deliverer_waits_and_then_says_who_delivers(nights: Nights) -> None:
    """One process per destination and domain, so that no two can overtake each other on a key."""
    sent(nights, "1")
    with nights.state.begin() as conn:
        other = lease.acquire(nights.state, conn, "delivery:bus:orders", "db7:99", 600)
    publisher = RecordingPublisher()
    said: list[str] = []

    figure = deliver(nights, publisher, deadline=5.0, on_wait=said.append)

    assert (figure.waiting, publisher.messages) == (1, [])
    assert "delivery of orders to bus: db7:99 is at work on it" in figure.last_reason
    (once,) = said
    assert (
        "waiting: delivery of orders to bus: db7:99 is at work on it since 2026-01-04T03:00:00Z; last renewed 0.0s ago; its lease ends"
        in once
    )
    with nights.state.begin() as conn:
        lease.release(nights.state, conn, other)
    assert deliver(nights, publisher).confirmed == 1


def test_a_deliverer_that_was_overtaken_marks_nothing(nights: Nights, clock: FixedClock) -> None:
    """It slept through its lease while a call hung: what it did not mark is sent again by the other, under the same id."""
    sent(nights, "1", "2")
    other = RecordingPublisher()

    def sleepy(batch: Sequence[Message]) -> list[Outcome]:
        clock.advance(LEASE_SECONDS + 1)
        assert deliver(nights, other).confirmed == 2
        return [CONFIRMED] * len(batch)

    with pytest.raises(LostLease):
        deliver(nights, Scripted(sleepy), deadline=10_000.0)

    assert states(nights.state) == {"1": "sent", "2": "sent"}
    assert [message.id for message in other.messages] == [nights.event("1"), nights.event("2")]


def test_withdrawn_on_its_way_it_is_said_to_have_gone_out(nights: Nights) -> None:
    """The next night found it gone just while it was being sent."""
    sent(nights, "1")

    def meanwhile(batch: Sequence[Message]) -> list[Outcome]:
        nights.look([])
        return [CONFIRMED] * len(batch)

    assert deliver(nights, Scripted(meanwhile)).confirmed == 1
    assert states(nights.state) == {"1": "sent"}


def test_killed_between_publish_and_mark_it_goes_again_under_the_same_id(state_url: str, tmp_path: Path) -> None:
    """A real kill -9: the receiver sees every event again, with the same id, and in the end each is marked once."""
    with State.open(state_url) as state:
        nights = Nights(state, FixedClock())
        nights.look([changed(str(n)) for n in range(4)])
        nights.send()
        seen = tmp_path / "seen"
        child = subprocess.Popen(
            [sys.executable, CHILD, "deliver", state_url, seen, "hang"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "ready\n"
        child.stdin.write("go\n")
        child.stdin.flush()
        assert child.stdout.readline() == "published\n"
        child.kill()
        child.communicate(timeout=30)
        before = seen.read_text().splitlines()
        assert len(before) == 2
        assert set(states(state).values()) == {"waiting"}

        # The dead one's lease has two minutes to run; that it is dead can be seen.
        figure = drain(state, RecordingPublisher(), name="bus", clock=SystemClock(), deadline=20)

        assert figure.confirmed == 4
        assert [line.split()[1] for line in before] == [nights.event("0"), nights.event("1")]
        assert set(states(state).values()) == {"sent"}


def test_two_real_deliverers_at_once_keep_the_order_of_each_key(state_url: str, tmp_path: Path) -> None:
    """Both run the whole drain over the same rows: every event once, each key's events in their order."""
    with State.open(state_url) as state:
        nights = Nights(state, FixedClock())
        nights.look([changed(f"k{n}") for n in range(10)])
        nights.send()
        with state.begin() as conn:
            rows = [dict(row) for row in conn.execute(select(outbox)).mappings()]
            for number in range(1, 6):
                for row in rows:
                    event = dict(conn.execute(select(events).where(events.c.id == row["event_id"])).mappings().one())
                    name = f"{row['partitionkey']}-{number}"
                    conn.execute(events.insert().values({**event, "id": name}))
                    conn.execute(
                        outbox.insert().values({**{k: v for k, v in row.items() if k != "seq"}, "event_id": name, "emission": number + 1})
                    )
        seen = tmp_path / "seen"
        words = [sys.executable, CHILD, "deliver", state_url, seen, "go on"]
        children = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        answers = [child.communicate("go\n", timeout=90)[0] for child in children]

        assert all("done" in answer for answer in answers), answers
        order: dict[str, list[int]] = defaultdict(list)
        for line in seen.read_text().splitlines():
            key, _, emission = line.split()
            order[key].append(int(emission))
        assert order == {f"k{n}": [1, 2, 3, 4, 5, 6] for n in range(10)}


@pytest.mark.parametrize("batch", [1, 7])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), count=st.integers(1, 40))
def test_whatever_a_destination_answers_each_event_ends_once(tmp_path_factory, migrated_file, batch: int, seed: int, count: int) -> None:
    """Random outcomes, nights and pauses: every event is confirmed or dead in the end, after a last try that said so, and no other."""
    chance = Random(seed)
    clock = FixedClock()
    path = tmp_path_factory.mktemp("walk") / "state.db"
    path.write_bytes(Path(migrated_file).read_bytes())
    last: dict[str, OutcomeKind] = {}

    def answer(messages: Sequence[Message]) -> list[Outcome]:
        assert len(messages) <= batch
        outcomes = [Outcome(kind=chance.choice(list(OutcomeKind)), after=chance.choice([None, 3.0])) for _ in messages]
        for message, outcome in zip(messages, outcomes, strict=True):
            assert last.get(message.id) not in {OutcomeKind.CONFIRMED, OutcomeKind.REJECTED}
            last[message.id] = outcome.kind
        return outcomes

    with State.open(f"sqlite:///{path}", clock=clock) as state:
        nights = Nights(state, clock)
        nights.look([missing(f"{n}") for n in range(count)])
        nights.send()
        publisher = Scripted(answer, Capabilities(batch=batch))
        figures = [deliver(nights, publisher, deadline=40.0)]
        while figures[-1].waiting:
            clock.advance(1000)
            figures.append(deliver(nights, publisher, deadline=40.0))

        assert sum(figure.confirmed for figure in figures) == sum(kind is OutcomeKind.CONFIRMED for kind in last.values())
        assert sum(figure.dead for figure in figures) == sum(kind is OutcomeKind.REJECTED for kind in last.values())
        assert sum(figure.confirmed + figure.dead for figure in figures) == count
