"""A listing in shards whose pages shift while items come and go: each shard is passed over twice."""

from recon.testing.simulation import World

WORLD = World(name="shifting parts", parts="shards", paging="offset", page_size=3, changes=(4, 12), trouble=0.2)
