"""Every world there is: each file in worlds/ declares one, as WORLD."""

import importlib
from pathlib import Path

from recon.testing.simulation import World

WORLDS: list[World] = [
    importlib.import_module(f"tests.simulation.worlds.{path.stem}").WORLD
    for path in sorted((Path(__file__).parent / "worlds").glob("*.py"))
]
