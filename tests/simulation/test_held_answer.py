"""What the simulation found, held by a test of its own."""

from contextlib import closing
from pathlib import Path

import pytest

from recon.progress import Silent
from recon.run import Order, run_domain
from recon.run.night import Night
from recon.testing.simulation import World
from recon.testing.simulation.clock import SLOT, moment
from recon.testing.simulation.patches import patched
from recon.testing.simulation.process import Crash
from recon.testing.simulation.run import template
from recon.testing.simulation.world import Universe


def test_a_run_killed_just_after_it_was_held_answers_for_its_slot_as_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the commit of the hold and its report, the run is told as held with exit 4, not 0, when its slot is asked for again."""
    world = World(name="held", records=(10, 10), domains=(1, 1), trouble=0.0, troubles={"wiped": 1.0}, crashes=0.0, freezes=0.0)
    order = Order(domain="orders", trigger="due", slot=moment(SLOT))
    with closing(Universe(world, 1, tmp_path, template())) as universe, patched(universe.chance.reach):
        universe.time.go_on(SLOT + 1)
        with monkeypatch.context() as killing:

            def killed(*_: object) -> None:
                raise Crash

            killing.setattr(Night, "_written", killed)
            with universe.hosts.working("h1") as work:
                run_domain(work.project, work.state, order, clock=work.process.clock, progress=Silent())
        universe.time.go_on(universe.time.at + 3600)
        with universe.hosts.working("h1") as work:
            figures = run_domain(work.project, work.state, order, clock=work.process.clock, progress=Silent())

    assert (figures.verdict, figures.exit_code) == ("held", 4)
