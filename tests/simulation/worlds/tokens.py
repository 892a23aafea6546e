"""Cursor tokens that expire, and a marker on what was deleted."""

from recon.testing.simulation import World

WORLD = World(name="cursor tokens", paging="cursor", absence="marker")
