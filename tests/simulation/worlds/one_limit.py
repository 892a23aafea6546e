"""Two domains with one limit over both: a bad day goes past it."""

from recon.testing.simulation import World

WORLD = World(name="one limit", domains=(2, 2), total=4, lost=0.3, changes=(4, 12))
