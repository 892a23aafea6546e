"""A listing that is fetched in ranges of when an item came into being."""

from recon.testing.simulation import World

WORLD = World(name="ranges", parts="ranges", newest_first=True, page_size=2, records=(8, 22), trouble=0.2)
