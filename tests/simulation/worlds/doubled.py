"""A table without a unique index, in which a key may stand twice."""

from recon.testing.simulation import World

WORLD = World(name="doubled keys", doubles=True)
