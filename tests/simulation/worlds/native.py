"""Corrections as the third party's own webhooks, to an endpoint that goes by versions, of a third party that says what it deleted."""

from recon.testing.simulation import World
from recon.testing.simulation.posts import ENDPOINT_MOODS

WORLD = World(
    name="native",
    native="versions",
    handler="door",
    absence="marker",
    moods=ENDPOINT_MOODS,
    rotates=0.15,
    moves=0.15,
    domains=(2, 2),
    replays=0.25,
    lost=0.3,
    nights=9,
)
