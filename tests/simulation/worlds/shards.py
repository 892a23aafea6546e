"""A listing that is fetched by the regions that its items belong to."""

from recon.testing.simulation import World

WORLD = World(name="shards", parts="shards", page_size=3, trouble=0.2)
