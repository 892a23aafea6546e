"""A job that raises the version of its events midway, for a consumer that knows both versions and one that knows the first only."""

from recon.testing.simulation import World
from recon.testing.simulation.broker import BROKER_MOODS

WORLD = World(
    name="versions",
    broker=True,
    applier=True,
    handler="door",
    moods=BROKER_MOODS,
    migrates=True,
    replays=0.2,
    consumer_crashes=0.4,
    nights=12,
    lost=0.5,
    floor=6,
    domains=(1, 1),
    edits=0.0,
)
