"""Nights of a shop in this process, on a clock of the test's own: many nights in a second, through the same doors as the command line."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recon.progress import Silent
from recon.project import Project
from recon.report.figures import RunFigures
from recon.run import Order, approve, run_domain
from recon.state.database import State
from recon.testing.clock import FixedClock
from tests.acceptance.shop import Shop

DAY = 86_400.0


class House:
    """One host: a shop's project and its state, open, with time that only `later` moves."""

    def __init__(self, project: Project, state: State, clock: FixedClock) -> None:
        self.project = project
        self.state = state
        self.clock = clock

    def night(self, domain: str = "bad", **order: Any) -> RunFigures:
        """A day later, one run of the domain."""
        self.later(DAY)
        return run_domain(self.project, self.state, Order(domain=domain, **order), clock=self.clock, progress=Silent())

    def approve(self, figures: RunFigures) -> RunFigures:
        """Somebody approves what is held."""
        assert figures.plan is not None
        words = {"plan": figures.plan.checksum[:8], "reason": "seen", "by": "alice"}
        return approve(self.project, self.state, figures.run, clock=self.clock, progress=Silent(), **words)

    def later(self, seconds: float) -> None:
        """Time goes by."""
        self.clock.advance(seconds)


@contextmanager
def house(shop: Shop, clock: FixedClock | None = None) -> Iterator[House]:
    """The shop's project on this host; several may be open at once, as hosts with one state."""
    clock = clock or FixedClock()
    environ: Mapping[str, str] = {**shop.env, "HOME": str(shop.folder)}
    with Project.find(shop.folder, environ=environ) as project, State.open(project.state_url, clock=clock) as state:
        yield House(project, state, clock)


def settings(shop: Shop, text: str) -> None:
    """More lines for recon.toml."""
    file = Path(shop.folder / "recon.toml")
    file.write_text(f"{file.read_text()}\n{text}\n")


def tripped(figures: RunFigures) -> list[str]:
    """The guards that tripped, by name."""
    return [guard.name for guard in figures.guards if guard.tripped]
