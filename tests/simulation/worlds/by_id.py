"""A consumer that goes by the event's id alone."""

from recon.testing.simulation import World

WORLD = World(name="consumer by id", careful=False, late=0.2)
