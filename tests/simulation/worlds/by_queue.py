"""A broker before a consumer that has no help of recon's and looks at the row before it writes."""

from recon.testing.simulation import World
from recon.testing.simulation.broker import BROKER_MOODS

WORLD = World(name="by queue", broker=True, moods=BROKER_MOODS)
