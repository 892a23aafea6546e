"""The page on the state says what the code does: its table of states is the table of transitions."""

import re
from pathlib import Path

from recon.job import Guard, Job
from recon.ledger.life import PATIENCE
from recon.outbox.marking import FIRST_PAUSE, LONGEST_PAUSE
from recon.plan.plan import LIMIT, SHORT
from recon.state import drawing
from recon.state.run import TRANSITIONS, RunState

DOCS = Path(__file__).parent.parent.parent / "docs"
ROW = re.compile(r"^\| ([a-z]+) \| [^|]+ \| ([a-z, ]*)\|$", re.MULTILINE)


def test_the_page_draws_the_states_as_the_code_has_them() -> None:
    """Every state with every state that may follow it, no more and no less."""
    drawn = {
        name: {word.strip() for word in after.split(",") if word.strip()} for name, after in ROW.findall((DOCS / "state.md").read_text())
    }

    del drawn["state"]  # The head of the table.
    assert drawn == {state.value: {after.value for after in TRANSITIONS[state]} for state in RunState}


def test_the_drawing_is_the_one_that_the_code_gives() -> None:
    """The diagram on the page is what `python -m recon.state.drawing docs/state.md` would draw now."""
    page = (DOCS / "state.md").read_text()

    assert drawing.drawn(page) == page


def test_the_drawing_has_every_move_and_no_other() -> None:
    """Read back out of the diagram: the arrows, and the note in place of those to `failed`, are the table of transitions."""
    text = drawing.mermaid()
    arrows = {tuple(move) for move in re.findall(r"^    ([a-z]+) --> ([a-z]+)$", text, re.MULTILINE)}
    noted = re.search(r"also from ([a-z, ]+)", text)

    assert noted is not None
    assert arrows | {(state, "failed") for state in noted[1].split(", ")} == {
        (state.value, after.value) for state in RunState for after in TRANSITIONS[state]
    }


def test_the_pages_figures_are_the_codes() -> None:
    """Defaults and limits that a reader relies on."""
    state, guards = (DOCS / "state.md").read_text(), (DOCS / "guards.md").read_text()
    g = Guard()

    assert (
        f"Guard(missing={g.missing}, extra={g.extra}, changed={g.changed}, floor={g.floor}, same_field={g.same_field}, shrunken={g.shrunken}, week={g.week})"
        in guards
    )
    assert f"at most {LIMIT:,} events" in guards
    assert (SHORT, PATIENCE) == (8, 2)
    assert f"({FIRST_PAUSE:g} s to {LONGEST_PAUSE / 60:g} min)" in state
    assert f"{Job.__dataclass_fields__['hold_expires'].default[:-1]} hours by default" in guards
