"""Requests signed with tokens that end, now and then before their time, in the middle of a fetch."""

from recon.testing.simulation import World

WORLD = World(name="signed", token_life=20.0, page_size=2, trouble=0.2)
