"""An honest cursor: the last item's id asks for the page after it."""

from recon.testing.simulation import World

WORLD = World(name="keyset")
