"""A host on which processes are killed over and over."""

from recon.testing.simulation import World

WORLD = World(name="killed", crashes=0.8, freezes=0.05)
