"""Two hosts on one state, with processes that die and stand still."""

from recon.testing.simulation import World

WORLD = World(name="two hosts", hosts=2, crashes=0.4, freezes=0.35, missed=0.15)
