"""Dead letters sent again at the moment in which somebody else tells the same event, on SQLite and PostgreSQL."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import event, select

from recon.outbox import Choice, Replays
from recon.outbox.dead import DeadLetters, Redriven
from recon.publishers.base import Outcome, OutcomeKind
from recon.state.database import State
from recon.state.tables import outbox
from recon.testing.clock import FixedClock
from recon.testing.publisher import RecordingPublisher
from tests.integration.state.test_outbox import deliver, sent
from tests.integration.state.test_rolling import blocked
from tests.integration.state.world import Nights, changed

REJECTED = Outcome(kind=OutcomeKind.REJECTED, reason="422 no such field")


def night(nights: Nights) -> None:
    """Tells the first of the two again."""
    nights.send()


def replay(nights: Nights) -> None:
    """Tells it again too, by a person's wish."""
    Replays(nights.state).begin(Choice(key="1"), "bus")


@pytest.mark.parametrize("telling", [night, replay])
def test_what_is_told_in_that_moment_waits_once(state_url: str, clock: FixedClock, telling: Callable[[Nights], None]) -> None:
    """Two dead letters; one is enqueued, uncommitted, while both are redriven: that ends without an error, and each of them waits once."""
    with State.open(state_url, clock=clock) as one, State.open(state_url, clock=clock) as two:
        nights = Nights(one, clock)
        sent(nights, "1", "2")
        deliver(nights, RecordingPublisher([REJECTED, REJECTED]))
        nights.look([changed("1")], unknown_keys=["2"])
        told, go_on = threading.Event(), threading.Event()
        done: list[Redriven] = []

        def hold(_conn: object) -> None:
            told.set()
            assert go_on.wait(30)

        def redrive() -> None:
            done.append(DeadLetters(two).redrive(publisher="bus"))

        event.listen(one.engine, "commit", hold)
        threads = [threading.Thread(target=telling, args=[nights]), threading.Thread(target=redrive)]
        threads[0].start()
        assert told.wait(30)
        threads[1].start()
        waits = blocked(state_url)
        go_on.set()
        for thread in threads:
            thread.join(30)

        with two.read() as conn:
            rows = conn.execute(select(outbox.c.partitionkey).where(outbox.c.state == "waiting").order_by(outbox.c.partitionkey)).scalars()
            assert list(rows) == ["1", "2"]
        assert DeadLetters(two).list() == []
    assert waits
    assert [type(one) for one in done] == [Redriven]
