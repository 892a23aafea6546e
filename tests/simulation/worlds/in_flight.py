"""Records that say when they changed, now and then a day ahead: what changed just now is in flight, and nothing is said of it."""

from recon.testing.simulation import World

WORLD = World(name="in flight", updated=True, changes=(4, 12), late=0.2)
