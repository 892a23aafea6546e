"""Nights that go wrong, from one seed: a world with a third party, an application, consumers and people, that drives the real code.

`run_world` lives one world and has an oracle judge it; `campaign` lives many; `main` is a command over both. See docs/simulation.md.
"""

from recon.testing.simulation.campaign import Campaign, campaign
from recon.testing.simulation.command import main
from recon.testing.simulation.oracle import LAWS, Violation
from recon.testing.simulation.own import simulate
from recon.testing.simulation.run import Result, run_world
from recon.testing.simulation.shrink import shrink
from recon.testing.simulation.world import World

__all__ = ["LAWS", "Campaign", "Result", "Violation", "World", "campaign", "main", "run_world", "shrink", "simulate"]
