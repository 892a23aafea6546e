"""Newest items first, and 410 for what was deleted."""

from recon.testing.simulation import World

WORLD = World(name="newest first", newest_first=True, absence="410")
