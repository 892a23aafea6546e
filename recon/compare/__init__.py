"""The comparison: both sides made canonical and joined, in the engine, in bulk and in bounded memory.

`seal` makes the provider's spooled records a snapshot, `compare` streams the store past it, `second_look` reads the few
suspects again. Importing this loads DuckDB and Arrow: import it where it is used.
"""

from recon.compare.diff import CONTROLS, Comparison, compare
from recon.compare.kept import drop, keep, kept, mark_of
from recon.compare.limits import Limits, engine_faults
from recon.compare.look import Look, listed, listed_look, second_look, unreadable
from recon.compare.snapshot import Snapshot, seal

__all__ = [
    "CONTROLS",
    "Comparison",
    "Limits",
    "Look",
    "Snapshot",
    "compare",
    "drop",
    "engine_faults",
    "keep",
    "kept",
    "listed",
    "listed_look",
    "mark_of",
    "seal",
    "second_look",
    "unreadable",
]
