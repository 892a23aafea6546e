"""From the outbox over a broker to a reader: what is decoded at the end is what was emitted."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from recon.consume.reader import Reader
from recon.event import decode
from recon.event.cloudevents import of_wire
from recon.outbox.delivery import drain
from recon.publishers.base import Publisher
from recon.state.database import State
from recon.state.tables import events, outbox
from recon.testing.clock import FixedClock
from tests.integration.state.world import START, Nights, changed, migrated_file, missing

__all__ = ["goes_all_the_way", "migrated_file", "nights", "stored"]

NIGHTS = 3
KEYS = 12


@pytest.fixture
def nights(migrated_file: Path, tmp_path: Path) -> Iterator[Nights]:
    """Nights on a fresh SQLite state."""
    clock = FixedClock(START)
    shutil.copy(migrated_file, tmp_path / "state.db")
    with State.open(f"sqlite:///{tmp_path}/state.db", clock=clock) as state:
        yield Nights(state, clock)


def stored(nights: Nights) -> list[bytes]:
    """What the outbox was given, in its order."""
    line = select(events.c.body).join(outbox, outbox.c.event_id == events.c.id).order_by(outbox.c.seq)
    with nights.state.read() as conn:
        return [bytes(body) for body in conn.execute(line).scalars()]


def goes_all_the_way(nights: Nights, publisher: Publisher, reader: Callable[[], Reader]) -> None:
    """Three nights' events are drained, read by two readers one after another, and equal to the stored ones, in order within each key."""
    for night in range(NIGHTS):
        nights.night([changed(f"é {key}", source=f"paid-{night}") for key in range(KEYS)] + [missing(f"new-{night}")])
        figure = drain(nights.state, publisher, name="bus", domain="orders", clock=nights.clock, deadline=30.0)
        assert (figure.confirmed, figure.waiting, figure.dead) == (KEYS + 1, 0, 0), figure
    publisher.close()
    emitted = stored(nights)
    assert len(emitted) == NIGHTS * (KEYS + 1)

    read: list[bytes] = []
    for part in (len(emitted) // 2, len(emitted)):
        one = reader()
        while len(read) < part:
            came = one.receive(min(7, part - len(read)), 5.0)
            assert came, f"{len(read)} of {len(emitted)} came"
            read += [event.encode() for received in came for event in of_wire(received.headers, received.body, prefix=one.prefix)]
            one.done(came)
        assert part < len(emitted) or not one.receive(1, 0.1)
        one.close()

    assert sorted(read) == sorted(emitted)
    for key in {decode(body).partitionkey for body in emitted}:
        assert [body for body in read if decode(body).partitionkey == key] == [body for body in emitted if decode(body).partitionkey == key]
