"""Items are read by id by the handful, in answers that hold five of them at most."""

from recon.testing.simulation import World

WORLD = World(name="several by id", reads_at_once=8, records=(12, 30), changes=(6, 14), floor=12)
