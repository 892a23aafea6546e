"""The store is a replica that is behind its primary, though less than the settle time."""

from recon.testing.simulation import World

WORLD = World(name="lagging replica", replica_lag=45.0, changes=(4, 12))
