"""Offsets, oldest first, beside a total that is declared: deletions make pages drift, and the second pass asks by ETag."""

from recon.testing.simulation import World

WORLD = World(name="offsets", paging="offset", declares_total=True, etags=True, changes=(4, 12))
