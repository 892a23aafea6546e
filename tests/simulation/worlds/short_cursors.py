"""Cursors that live for a minute, as is declared of them."""

from recon.testing.simulation import World

WORLD = World(name="short cursors", paging="cursor", cursor_age=60.0, freezes=0.3)
