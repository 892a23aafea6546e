"""A host of its own, for the tests of several hosts on one database: `python host.py NAME STAGE WORDS…` runs `recon WORDS` as host NAME.

It dies, as by kill -9 or a power cut, right after the transaction that brought a run to STAGE was committed; with `pages:N`, right
after page N was written to its disk; with `-`, not at all.
"""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Another checkout where a released version is to be run: see released/make.py.
sys.path.insert(0, os.environ.get("RECON_CHECKOUT", str(Path(__file__).parents[3])))
NAME, STAGE, *WORDS = sys.argv[1:]
# Before anything of recon is imported, some of which takes the function by its name.
socket.gethostname = lambda: NAME

import cli  # noqa: E402 - after the name of the host, as said above
from recon.fetch.spool import Spool  # noqa: E402 - likewise
from recon.state.database import State  # noqa: E402 - likewise
from recon.state.runs import Runs  # noqa: E402 - likewise

DEAD = 137


def die_after_commit(stage: str) -> None:
    """The process ends when a transaction that moved a run to this state is through."""
    reached: list[str] = []
    begin, advance, start = State.begin, Runs.advance_in, Runs.start

    @contextmanager
    def beginning(self: State) -> Iterator[object]:
        with begin(self) as conn:
            yield conn
        if stage in reached:
            os._exit(DEAD)

    def advancing(self, conn, claim, to, **facts):
        moved = advance(self, conn, claim, to, **facts)
        reached.append(str(to))
        return moved

    def starting(self, *words, **options):
        claim = start(self, *words, **options)
        if stage == "planned":
            os._exit(DEAD)
        return claim

    State.begin, Runs.advance_in, Runs.start = beginning, advancing, starting


def die_after_page(number: int) -> None:
    """The process ends when so many pages lie on its disk."""
    append = Spool.append

    def appending(self: Spool, page, **options) -> None:
        append(self, page, **options)
        if self.pages == number:
            os._exit(DEAD)

    Spool.append = appending


if STAGE.startswith("pages:"):
    die_after_page(int(STAGE.removeprefix("pages:")))
elif STAGE != "-":
    die_after_commit(STAGE)
sys.argv[1:] = WORDS
cli.main()
