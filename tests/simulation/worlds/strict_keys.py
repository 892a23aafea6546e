"""A listing by last id that does not go on from an item that is gone."""

from recon.testing.simulation import World

WORLD = World(name="strict keys", strict_keys=True, page_size=2, newest_first=True, changes=(8, 20))
