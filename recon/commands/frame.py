"""What every command stands in: the project it works on, how much it says, and its clock."""

import functools
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recon.clock import Clock, SystemClock
from recon.commands.console import Console

if TYPE_CHECKING:
    from recon.project import Project
    from recon.state.database import State


@dataclass(frozen=True, slots=True)
class Frame:
    """One command's surroundings."""

    folder: Path | None
    console: Console
    clock: Clock

    @contextmanager
    def project(self, *, reports: str | None = None) -> Iterator["Project"]:
        """The project, open; closed at the end."""
        from recon.project import Project

        with Project.find(self.folder, reports=reports) as project:
            yield project

    @contextmanager
    def state(self, project: "Project") -> Iterator["State"]:
        """The state database, open and migrated."""
        from recon.state.database import State

        # What runs leave on disk holds records of customers: for this user only, whatever the shell's own mask says.
        before = os.umask(0o077)
        try:
            state = State.open(project.state_url)
            try:
                yield state
            finally:
                state.close()
        finally:
            os.umask(before)

    @contextmanager
    def both(self) -> Iterator[tuple["Project", "State"]]:
        """Project and state."""
        with self.project() as project, self.state(project) as state:
            yield project, state


def known(project: "Project", state: "State", domain: str) -> None:
    """That this is a domain of the project, or one that once ran; raises UnknownName with the near miss, so that a typo never reads as all well."""
    from difflib import get_close_matches

    from recon.errors import UnknownName
    from recon.state.runs import Runs

    if domain in project.domains or Runs(state).recent(domain, 1):
        return
    near = get_close_matches(domain, project.domains, 1)
    msg = f"no job declares the domain {domain!r}, and none of that name ever ran"
    raise UnknownName(msg, hint=f"did you mean {near[0]!r}?" if near else f"domains are {', '.join(project.domains) or 'none yet'}")


def framed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command its `Frame`, and the options that all commands have: --project, -q and -v."""

    @click.option("--project", "folder", metavar="DIR", help="The project's folder [RECON_PROJECT, else the nearest recon.toml upward].")
    @click.option("-q", "--quiet", is_flag=True, help="Print nothing on success; no progress.")
    @click.option("-v", "--verbose", count=True, help="Log what happens on stderr; -vv in every detail.")
    @functools.wraps(command)
    def inner(folder: str | None, quiet: bool, verbose: int, **options: Any) -> Any:
        from recon.redact import install

        install({0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG))
        above = click.get_current_context().find_root().obj
        named = folder or (above if isinstance(above, str) else None)
        frame = Frame(folder=Path(named) if named else None, console=Console(quiet=quiet), clock=SystemClock())
        return command(frame, **options)

    return inner
