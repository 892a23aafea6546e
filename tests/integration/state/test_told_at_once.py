"""One event told by two at the same moment, on SQLite and PostgreSQL: by a night, a replay, and dead letters that are sent again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event, select

from recon.outbox import Choice, Replays
from recon.outbox.dead import DeadLetters, Redriven
from recon.outbox.marking import Answered, mark
from recon.outbox.telling import DUE, due_of
from recon.publishers.base import Outcome, OutcomeKind
from recon.state import lease
from recon.state.database import State
from recon.state.tables import events, outbox
from recon.testing.clock import FixedClock
from recon.testing.publisher import RecordingPublisher
from tests.integration.state.test_outbox import deliver, sent
from tests.integration.state.test_rolling import blocked
from tests.integration.state.world import Nights, changed

REJECTED = Outcome(kind=OutcomeKind.REJECTED, reason="422 no such field")


def night(nights: Nights) -> None:
    """Tells what it found."""
    nights.send()


def replay(nights: Nights) -> None:
    """Tells the first event again, by a person's wish."""
    Replays(nights.state).begin(Choice(key="1"), "bus")


@contextmanager
def uncommitted(state: State, telling: Callable[[Nights], None], nights: Nights) -> Iterator[threading.Event]:
    """While `telling` has written and not committed; it commits once the event is set, and has ended afterwards."""
    told, go_on = threading.Event(), threading.Event()

    def hold(_conn: object) -> None:
        told.set()
        assert go_on.wait(30)

    event.listen(state.engine, "commit", hold)
    thread = threading.Thread(target=telling, args=[nights])
    thread.start()
    assert told.wait(30)
    yield go_on
    thread.join(30)
    event.remove(state.engine, "commit", hold)


def meanwhile(url: str, work: Callable[[], None], go_on: threading.Event) -> bool:
    """Does this work while the other has not committed; answers whether it waited for that."""
    thread = threading.Thread(target=work)
    thread.start()
    waits = blocked(url)
    go_on.set()
    thread.join(30)
    return waits


def waiting(state: State) -> list[tuple[str, str]]:
    """Key and run of what waits."""
    with state.read() as conn:
        rows = conn.execute(
            select(outbox.c.partitionkey, outbox.c.run_id).where(outbox.c.state == "waiting").order_by(outbox.c.partitionkey)
        )
        return [(row[0], row[1]) for row in rows]


@pytest.mark.parametrize("telling", [night, replay])
def test_a_dead_letter_that_is_told_in_that_moment_waits_once(state_url: str, clock: FixedClock, telling: Callable[[Nights], None]) -> None:
    """Two dead letters; one is enqueued, uncommitted, while both are redriven: that ends without an error, and each of them waits once."""
    done: list[Redriven] = []
    with State.open(state_url, clock=clock) as one, State.open(state_url, clock=clock) as two:
        nights = Nights(one, clock)
        sent(nights, "1", "2")
        deliver(nights, RecordingPublisher([REJECTED, REJECTED]))
        nights.look([changed("1")], unknown_keys=["2"])
        letters = DeadLetters(two)
        with uncommitted(one, telling, nights) as go_on:
            assert meanwhile(state_url, lambda: done.append(letters.redrive(publisher="bus")), go_on)

        assert [key for key, _ in waiting(two)] == ["1", "2"]
        assert letters.list() == []
    assert len(done) == 1


def test_a_night_makes_its_own_what_a_replay_tells_in_that_moment(state_url: str, clock: FixedClock) -> None:
    """The replay is not committed when the night enqueues the same event and another: each waits once, and both are the night's."""
    with State.open(state_url, clock=clock) as one, State.open(state_url, clock=clock) as two:
        other, nights = Nights(one, clock), Nights(two, clock)
        sent(nights, "1")
        deliver(nights, RecordingPublisher())
        nights.look([changed("1"), changed("2")])
        with uncommitted(one, replay, other) as go_on:
            assert meanwhile(state_url, nights.send, go_on)  # type: ignore[arg-type]  # its count is not wanted

        assert waiting(one) == [("1", nights.claim.run.id), ("2", nights.claim.run.id)]


def hurries(nights: Nights) -> None:
    """A person publishes by hand."""
    nights.outbox.hurry("orders")


def withdraws(nights: Nights) -> None:
    """A night finds that nothing of what waits is so any more."""
    nights.look([])


def tells_anew(nights: Nights) -> None:
    """A night finds the same as the one before, and makes its own what waits."""
    nights.look([changed("1"), changed("2")])
    nights.send()


# SQLite has one writer at a time.
@pytest.mark.parametrize("state_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("work", [hurries, withdraws, tells_anew])
def test_who_writes_to_what_waits_waits_for_a_delivery(state_url: str, clock: FixedClock, work: Callable[[Nights], None]) -> None:
    """A delivery has written down the second event's answer, and comes to the first one's: whoever writes to both waits, and nobody is ended for it."""
    failed: list[Exception] = []

    def beside() -> None:
        try:
            work(other)
        except Exception as error:  # Whatever it is, the test tells it.
            failed.append(error)

    with State.open(state_url, clock=clock) as one, State.open(state_url, clock=clock) as two:
        nights, other = Nights(one, clock), Nights(two, clock)
        sent(nights, "1", "2")
        with one.begin() as conn:
            held = lease.acquire(one, conn, f"{lease.DELIVERY}bus:orders", "host:2")
        with one.begin() as conn:
            lease.check(conn, held)
            query = select(*DUE).join(events, events.c.id == outbox.c.event_id).order_by(outbox.c.seq)
            first, second = (Answered(row, Outcome(kind=OutcomeKind.RETRY, reason="503")) for row in due_of(conn.execute(query)))
            mark(conn, [second], one.now(conn), heals=True)
            thread = threading.Thread(target=beside)
            thread.start()
            assert blocked(state_url)
            mark(conn, [first], one.now(conn), heals=True)
        thread.join(30)
    assert failed == []
