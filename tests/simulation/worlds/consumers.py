"""A destination that is hardly ever well."""

from recon.testing.simulation import World
from recon.testing.simulation.consumers import MOODS

WORLD = World(name="bad consumers", batch=1, lost=0.25, moods={**MOODS, "prompt": 2.0, "down": 3.0, "raising": 1.5})
