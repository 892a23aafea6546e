"""A lease whose holder was killed: taken over at once by who can prove that, and by nobody else; on SQLite and PostgreSQL, with real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from recon.errors import LeaseHeld, LostLease
from recon.run.outlook import outlook
from recon.state import lease
from recon.state.database import State
from recon.state.process import Mark, ended, mark
from recon.state.runs import Runs
from tests.integration.state.test_outbox import CHILD


@contextmanager
def holder(url: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that holds `orders` for ten minutes, and its run."""
    child = subprocess.Popen([sys.executable, CHILD, "start", url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "ready\n"
        child.stdin.write("go\n")
        child.stdin.flush()
        yield child, child.stdout.readline().split()[2]
    finally:
        child.kill()
        child.communicate(timeout=30)


def test_a_killed_holder_is_taken_over_at_once_and_a_stopped_one_is_not(state_url: str) -> None:
    """While it is there, also stopped, it is named with when it was last heard of; killed, its run is nobody's and the next fence is given."""
    with holder(state_url) as (child, run), State.open(state_url) as state:
        runs = Runs(state)
        child.send_signal(signal.SIGSTOP)
        with pytest.raises(LeaseHeld, match=r"at work on it since .*; last renewed .* ago; its lease ends at .* unless renewed"):
            runs.resume(run, lease.owner())
        seen = outlook(state, runs.get(run))
        assert seen is not None
        assert (seen.at_work, "last renewed" in seen.lines()[0]) == (True, True)

        # Killed, and not yet asked after by its parent, as by a supervisor that is slow.
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        after = outlook(state, runs.get(run))
        assert after is not None
        assert (after.at_work, after.lease_until, "nobody is at work on it" in after.lines()[0]) == (False, None, True)
        claim = runs.resume(run, lease.owner())
        assert claim.lease.fence == 2
        late = replace(claim.lease, owner=f"{lease.owner().rpartition(':')[0]}:{child.pid}", fence=1)
        with pytest.raises(LostLease), state.begin() as conn:
            lease.check(conn, late)


def test_what_cannot_be_seen_counts_as_alive() -> None:
    """This process is alive; another boot, host or container proves nothing; a pid that was given to another process since proves an end."""
    mine = mark()
    assert mine is not None
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    gone = Mark(place=mine.place, pid=child.pid, started=mine.started)
    child.communicate(timeout=30)

    assert not ended(mine)
    assert ended(replace(mine, started=mine.started - 1))
    assert not ended(replace(mine, started=mine.started - 1, place="another"))
    assert ended(gone)
    assert not ended(replace(gone, place="another"))


def test_a_mark_of_an_earlier_claim_says_nothing_of_a_later_one(state_url: str) -> None:
    """A holder that wrote none, of an earlier version or on another system, keeps its lease though the one before it is dead."""
    with holder(state_url) as (child, _), State.open(state_url) as state:
        child.kill()
        child.communicate(timeout=30)
        with state.begin() as conn:
            conn.execute(lease.leases.update().values(owner="old:7", fence=5))
        with pytest.raises(LeaseHeld, match="old:7 is at work"), state.begin() as conn:
            lease.acquire(state, conn, "orders", "db8:1")
