"""Offsets, oldest first, beside a total that is declared: deletions make pages drift."""

from recon.testing.simulation import World

WORLD = World(name="offsets", paging="offset", declares_total=True, changes=(4, 12))
