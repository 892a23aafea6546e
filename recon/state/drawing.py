"""The states of a run, drawn from the table of transitions, so that a page cannot say otherwise than the code.

`python -m recon.state.drawing docs/state.md` draws it anew between the page's two marks.
"""

import sys
from pathlib import Path

from recon.state.run import EARLY, OPEN, TRANSITIONS, RunState

BEGIN = "<!-- drawn from recon/state/run.py: python -m recon.state.drawing docs/state.md -->"
END = "<!-- end of the drawing -->"


def mermaid() -> str:
    """A `stateDiagram-v2`: every move of `TRANSITIONS` once; a move to `failed` only where the state can end in no other way by itself.

    Every state of a run that has sent nothing may fail, so those moves stand in one note instead of five arrows.
    """
    lines = ["stateDiagram-v2", f"    [*] --> {RunState.PLANNED}"]
    for state in RunState:
        after = TRANSITIONS[state]
        lines += [f"    {state} --> {to}" for to in RunState if to in after and not (to is RunState.FAILED and state in EARLY)]
        if not after:
            lines.append(f"    {state} --> [*]")
    every = ", ".join(state for state in RunState if state in EARLY and RunState.FAILED in TRANSITIONS[state])
    waiting = ", ".join(state for state in RunState if state in OPEN)
    lines += [
        f"    note right of {RunState.FAILED}",
        f"        also from {every}",
        "    end note",
        f"    note right of {RunState.PLANNED}",
        f"        goes on by itself from {waiting}",
        "    end note",
    ]
    return "\n".join(lines)


def drawn(page: str) -> str:
    """The page with the drawing between its marks; ValueError for a page without them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        msg = f"the page lacks the marks: {BEGIN} … {END}"
        raise ValueError(msg)
    return f"{before}{BEGIN}\n\n```mermaid\n{mermaid()}\n```\n\n{END}{after}"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        Path(name).write_text(drawn(Path(name).read_text()))
