"""When an event counts as confirmed, on SQLite and PostgreSQL: by its first delivery that heals, whatever is told after."""

from datetime import datetime

from sqlalchemy import select, update

from recon.outbox import Choice, Replays
from recon.outbox.manner import Manner
from recon.state.confirmed import confirmed_at
from recon.state.tables import events
from recon.testing.publisher import RecordingPublisher
from tests.integration.state.test_outbox import deliver, sent
from tests.integration.state.world import Nights


def confirmed(nights: Nights) -> datetime | None:
    """When the only event was."""
    with nights.state.read() as conn:
        return conn.execute(select(confirmed_at())).scalar_one()


def replayed(nights: Nights) -> datetime:
    """Told again, to the destination that heals; answers when."""
    Replays(nights.state).begin(Choice(), "bus")
    deliver(nights, RecordingPublisher())
    return nights.clock.now()


def test_the_first_delivery_that_heals_is_the_confirmation(nights: Nights) -> None:
    """A destination that does not heal confirms nothing; of two deliveries by the one that does the first stands."""
    sent(nights, "1")
    deliver(nights, RecordingPublisher(), manners=lambda _: Manner(heals=False))
    assert confirmed(nights) is None

    first = replayed(nights)
    nights.clock.advance(3600)

    assert replayed(nights) > first
    assert confirmed(nights) == first


def test_a_confirmation_by_a_clock_that_was_ahead_does_not_last(nights: Nights) -> None:
    """The clock is set back an hour and the event told again: that is when it was confirmed, and nothing has to be waited for."""
    sent(nights, "1")
    deliver(nights, RecordingPublisher())
    nights.clock.advance(-3600)

    assert replayed(nights) == confirmed(nights)


def test_what_was_confirmed_before_the_outbox_said_so_still_is(nights: Nights) -> None:
    """The time that an older revision wrote beside the event stands, unless an earlier one is known since."""
    sent(nights, "1")
    old = nights.clock.now()
    with nights.state.begin() as conn:
        conn.execute(update(events).values(confirmed_at=old))
    assert confirmed(nights) == old

    nights.clock.advance(3600)
    replayed(nights)
    assert confirmed(nights) == old
    nights.clock.advance(-7200)
    assert replayed(nights) == confirmed(nights)
