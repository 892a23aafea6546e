"""The whole path of an event: planned and enqueued in a night, drained to a broker, read back, decoded."""

import time
from pathlib import Path

from sqlalchemy import select

from recon.clock import SystemClock
from recon.consume.reader import Reader
from recon.event import Event, decode
from recon.event.cloudevents import of_wire
from recon.outbox.delivery import drain
from recon.publishers.base import Publisher
from recon.state.database import State
from recon.state.tables import events
from recon.testing.clock import FixedClock
from tests.integration.state.world import START, Nights, changed, missing

SECONDS = 20.0
KEYS = [f"ord {number}/é" for number in range(20)]


def emitted_and_read(folder: Path, publisher: Publisher, reader: Reader) -> tuple[list[Event], list[Event]]:
    """The events of a night as they are stored, and as they came out of the broker, both by key."""
    clock = FixedClock(START)
    with State.open(f"sqlite:///{folder}/state.db", clock=clock) as state:
        nights = Nights(state, clock)
        nights.night([*(changed(key) for key in KEYS), missing("new")])
        figure = drain(state, publisher, name="bus", domain="orders", clock=SystemClock(), deadline=SECONDS)
        assert (figure.confirmed, figure.waiting, figure.dead) == (len(KEYS) + 1, 0, 0), figure.last_reason
        with state.read() as conn:
            stored = [decode(body) for body in conn.execute(select(events.c.body)).scalars()]
    came: list[Event] = []
    until = time.monotonic() + SECONDS
    while len(came) < len(stored):
        assert time.monotonic() < until, f"{len(came)} of {len(stored)} events came back"
        received = reader.receive(7, 1.0)
        for one in received:
            came += of_wire(one.headers, one.body, prefix=reader.prefix)
        reader.done(received)
    return sorted(stored, key=lambda event: event.partitionkey), sorted(came, key=lambda event: event.partitionkey)
