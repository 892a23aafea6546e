"""A world in which little goes wrong by itself: what is amiss there is of a safeguard that was taken out, or of what a test adds."""

from recon.testing.simulation import World

CALM = World(
    name="calm",
    records=(10, 14),
    domains=(1, 1),
    changes=(5, 8),
    lost=0.5,
    floor=50,
    handler="door",
    trouble=0.0,
    item_trouble=0.0,
    troubles={},
    crashes=0.0,
    freezes=0.0,
    by_hand=0.0,
    acks=0.0,
    edits=0.0,
    missed=0.0,
    stepped_clock=0.0,
)
