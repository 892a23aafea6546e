"""A process of its own for the tests of the state: opens, claims, or delivers and stands still where it is told to.

`python child.py VERB URL …`; each line it prints is something that the test waits for or counts.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from recon.clock import SystemClock
from recon.errors import LeaseHeld, ReconError
from recon.outbox.delivery import drain
from recon.publishers.base import Capabilities, Outcome, OutcomeKind
from recon.state import lease
from recon.state.database import State
from recon.state.runs import Runs


def say(text: str) -> None:
    """Prints a line at once."""
    print(text, flush=True)


class Writer:
    """Writes every event's id and emission into a file, and then stands still for ever when `hang` is set."""

    name = "bus"
    capabilities = Capabilities(batch=2)

    def __init__(self, path: Path, *, hang: bool) -> None:
        self.path = path
        self.hang = hang

    def publish(self, batch, deadline):
        with self.path.open("a") as file:
            file.writelines(f"{message.partitionkey} {message.id} {message.emission}\n" for message in batch)
        if self.hang:
            say("published")
            time.sleep(600)
        return [Outcome(kind=OutcomeKind.CONFIRMED)] * len(batch)

    def close(self) -> None:
        """Nothing to let go of."""


def main(verb: str, url: str, *rest: str) -> None:
    """One verb."""
    if verb == "open":
        say("ready")
        sys.stdin.readline()
        State.open(url).close()
        say("opened")
        return
    with State.open(url) as state:
        say("ready")
        sys.stdin.readline()
        if verb == "claim":
            for _ in range(int(rest[0])):
                claim_once(state)
        elif verb == "start":
            try:
                claim = Runs(state).start("orders", trigger="due", owner=lease.owner(), ttl=600)
                say(f"won {claim.lease.fence} {claim.run.id}")
            except LeaseHeld as error:
                say(f"lost {error}")
            # It stays, since what a process has that is there no more is another one's to take.
            sys.stdin.readline()
        elif verb == "deliver":
            try:
                figure = drain(state, Writer(Path(rest[0]), hang=rest[1] == "hang"), name="bus", clock=SystemClock(), deadline=20)
                say(f"done {figure.confirmed} {figure.waiting}")
            except ReconError as error:
                say(f"error {type(error).__name__}")


def claim_once(state: State) -> None:
    """Takes the lease of `contended` when it is free, and gives it back."""
    while True:
        try:
            with state.begin() as conn:
                mine = lease.acquire(state, conn, "contended", lease.owner(), 60)
        except LeaseHeld:
            time.sleep(0.001)
            continue
        say(f"fence {mine.fence}")
        with state.begin() as conn:
            lease.check(conn, mine)
            lease.release(state, conn, mine)
        return


main(*sys.argv[1:])
