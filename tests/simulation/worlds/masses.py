"""Accounts that are wiped, or somebody else's, and days without a webhook: much to be held, and decided."""

from recon.testing.simulation import World
from recon.testing.simulation.world import TROUBLES

WORLD = World(
    name="mass changes",
    troubles={**TROUBLES, "wiped": 0.2, "wrong tenant": 0.15, "outage": 0.4},
    # So few items and so many changes that a day without webhooks leaves most of them different in one and the same field.
    records=(5, 10),
    changes=(12, 30),
)
