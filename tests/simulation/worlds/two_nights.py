"""Deletions are told only when they were so on two nights."""

from recon.testing.simulation import World

WORLD = World(name="two nights", delete_nights=2, changes=(4, 12))
