"""The oracle: what must hold of every night, judged from plain facts alone. It shares no code with what it judges (a test holds that)."""

from recon.testing.simulation.oracle.facts import Facts
from recon.testing.simulation.oracle.judge import LAWS, Violation, judge

__all__ = ["LAWS", "Facts", "Violation", "judge"]
