"""An account that may ask less often than it is declared to, shared by two hosts."""

from recon.testing.simulation import World

WORLD = World(name="limited", allowed=12, hosts=2, page_size=3, lost=0.2, trouble=0.2)
