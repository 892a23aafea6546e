"""A project's own handler of events, and a world of its own, as docs/simulation.md shows them."""

import re
import sqlite3
from pathlib import Path
from typing import Any

from recon.testing.simulation import World, run_world

DOC = Path(__file__).parent.parent.parent / "docs/simulation.md"


def test_the_example_of_the_docs_runs() -> None:
    """The handler in docs/simulation.md lives through its nights without a law being violated."""
    code = next(block for block in re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL) if "run_world" in block)
    names: dict[str, Any] = {}
    exec(compile(code, str(DOC), "exec"), names)

    names["test_my_handler"]()

    # It is the example's own handler that wrote, and not a consumer of the simulation.
    assert any("handler" in line for line in run_world(names["WORLD"], 1, nights=2).trace)


def careless(event: dict[str, Any], database: sqlite3.Connection) -> None:
    """A handler that forgets deletions."""
    data = event["data"]
    if data["op"] != "deleted":
        state = data["state"]
        row = (data["key"], state["status"], state["amount"], state["currency"], state["version"])
        database.execute("insert or replace into orders values (?, ?, ?, ?, ?)", row)


def test_a_handler_that_forgets_deletions_is_found() -> None:
    """Of a handler that never deletes it is said that both sides do not come together."""
    world = World(
        name="careless", handle=careless, careful=False, domains=(1, 1), lost=0.8, crashes=0.0, freezes=0.0, nights=2, by_hand=0.0
    )
    found = [violation for seed in range(1, 4) for violation in run_world(world, seed).violations]

    assert any(violation.law.startswith("5 ") for violation in found)
