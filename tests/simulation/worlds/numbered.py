"""Numbered pages, newest first: they drift while items come and go."""

from recon.testing.simulation import World

WORLD = World(name="numbered pages", paging="page", newest_first=True, changes=(4, 14))
