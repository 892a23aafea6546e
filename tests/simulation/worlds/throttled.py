"""An API that throttles, and fails, all the time."""

from recon.testing.simulation import World

WORLD = World(name="throttled", trouble=0.7, item_trouble=0.4, weights={"429": 6.0, "503": 3.0, "500": 3.0})
