"""What of the machine is put under the world's hand while it lasts: threads, chance, system calls."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self
from unittest.mock import patch

import duckdb

from recon.compare import diff, snapshot, union
from recon.compare.limits import small
from recon.errors import LostLease, ReconError
from recon.publishers import webhook
from recon.report import render
from recon.run import night, pages, sealing, shelf
from recon.state import lease as leases
from recon.state import runs
from recon.testing.simulation.posts import WorldPoster
from recon.testing.simulation.process import CURRENT, stepping

REPORTED = 8
"""One process in so many writes its reports."""


class AtJoin:
    """In a thread's place: what it was to do is done when it is joined, and so at the same place every time."""

    def __init__(self, *, target: Callable[[], None], name: str, daemon: bool) -> None:  # noqa: ARG002 - a thread's own signature
        self._target: Callable[[], None] | None = target

    def start(self) -> None:
        """Nothing yet."""

    def join(self) -> None:
        """Now."""
        target, self._target = self._target, None
        if target is not None:
            target()


class Beats(leases.Heartbeat):
    """The heartbeat without its thread: its process renews the lease as time goes by."""

    due: float

    def __enter__(self) -> Self:
        process = self._process = CURRENT[-1]
        self.due = process.universe.time.at + self.every
        process.beats.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.beats.remove(self)

    def beat(self) -> None:
        """One renewal, as the thread makes it."""
        self.due = self._process.universe.time.at + self.every
        if self.error is not None:
            return
        try:
            with self.state.begin() as conn:
                self.lease = leases.renew(self.state, conn, self.lease)
        except LostLease as error:
            self.error = error
        except ReconError:
            # Borne, as the thread bears it: the fence is what counts.
            return


def quick(*_: object) -> duckdb.DuckDBPyConnection:
    """A connection to this process's engine that takes queries as they are written: for a few records, planning costs more than it saves."""
    connection = small()
    connection.execute("pragma disable_optimizer")
    return connection


@contextmanager
def patched(reach: Callable[[str], None]) -> Iterator[None]:
    """Threads follow at their join, system calls are steps, ids come from the process's chance, transitions of runs are counted."""
    advance = runs.Runs.advance_in

    def observed(self: Any, conn: Any, claim: Any, to: Any, **facts: Any) -> Any:
        moved = advance(self, conn, claim, to, **facts)
        reach(f"{claim.run.state} -> {moved.run.state}")
        return moved

    def drawn(size: int | None = None) -> bytes:
        return CURRENT[-1].chance.randbytes(size or 32)

    def sometimes(write: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            # A report is written by a share of the processes: what it costs is not what is looked at here.
            return write(*args, **kwargs) if CURRENT[-1].number % REPORTED == 0 else None

        return call

    changes: list[tuple[Any, str, Any]] = [
        (sealing, "Thread", AtJoin),
        (leases, "Heartbeat", Beats),
        (runs.Runs, "advance_in", observed),
        (night, "gethostname", lambda: CURRENT[-1].host),
        (pages, "gethostname", lambda: CURRENT[-1].host),
        (secrets, "token_bytes", drawn),
        (secrets, "token_hex", lambda size=None: drawn(size).hex()),
        (webhook, "Poster", WorldPoster),
        (render, "write_run", sometimes(render.write_run)),
        (render, "write_index", sometimes(render.write_index)),
        (shelf, "domains", sometimes(shelf.domains)),
        # An engine is opened once for all, and connected to: every night's tables are temporary, and its connection's own.
        (snapshot, "connect", quick),
        (diff, "connect", quick),
        (union, "connect", quick),
        (os, "write", stepping("write", os.write)),
        (os, "fsync", stepping("fsync", lambda _: None)),
        (os, "replace", stepping("rename", os.replace)),
        (os, "unlink", stepping("unlink", os.unlink)),
    ]
    with ExitStack() as stack:
        for thing, name, made in changes:
            stack.enter_context(patch.object(thing, name, made))
        yield
