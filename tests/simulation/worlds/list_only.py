"""An API that lists and reads nothing by id: absence is believed after a second listing only. An end said too soon is told apart by nobody."""

from recon.testing.simulation import World

WORLD = World(name="list only", list_only=True, trouble=0.2, weights={"early end": 0.0})
