"""A broker between the outbox and an application that consumes as the docs advise, with people who replay."""

from recon.testing.simulation import World
from recon.testing.simulation.broker import BROKER_MOODS

WORLD = World(
    name="brokered",
    broker=True,
    applier=True,
    handler="door",
    moods=BROKER_MOODS,
    replays=0.3,
    lost=0.3,
    consumer_crashes=0.4,
    nights=12,
    edits=0.0,
)
