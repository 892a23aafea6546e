"""A listing that lags behind what a read by id says, and an application that goes by versions."""

from recon.testing.simulation import World

WORLD = World(name="lagging listing", listing_lag=100.0, handler="guarded", changes=(4, 12))
