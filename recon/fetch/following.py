"""Following: a spool's pages handed to a reader in another thread as they arrive, so that what is made of them need not wait for the last.

The reader takes them from the disk, where they are safe already: nothing is held in memory for it, however far it is behind, and
what an interrupted fetch left there is read first, the same way.
"""

from collections.abc import Iterator
from threading import Condition

from recon.fetch.page import Unread
from recon.fetch.spool import Spool

STRIDE = 4096
"""Items that come together before the reader is woken for them: two threads that take turns at every page cost more than they gain."""


class Abandoned(Exception):
    """The fetch came to nothing, so there will be no last page."""


class Overtaken(Exception):
    """Pages that were handed over are void by now: whatever was made of them has to be made anew."""


class Following:
    """One reader of a spool that still grows. Its counts are those of the spool, and final only after the last page was read."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._changed = Condition()
        self._there = 0
        self._woken = 0
        self._ended = False
        self._abandoned = False
        self._voided = spool.voided

    @property
    def union(self) -> bool:
        """Whether an item may stand on two pages, so that the later one counts."""
        return self._spool.union

    @property
    def finished(self) -> bool:
        """Whether the page with the end's proof is on disk."""
        return self._spool.finished

    @property
    def items(self) -> int:
        """Readable items so far."""
        return self._spool.items

    @property
    def unread(self) -> list[Unread]:
        """What could not be read so far, the first 1,000."""
        return self._spool.unread

    @property
    def unread_items(self) -> int:
        """How many could not be read so far."""
        return self._spool.unread_items

    def grown(self) -> None:
        """Said by the fetch after each page that is on disk."""
        written = self._spool.written
        if self._spool.voided == self._voided and self._spool.items - self._woken < STRIDE:
            return
        with self._changed:
            self._there = written
            self._woken = self._spool.items
            self._changed.notify_all()

    def end(self) -> None:
        """Said by the fetch when no page will follow."""
        with self._changed:
            self._there = self._spool.written
            self._ended = True
            self._changed.notify_all()

    def again(self) -> None:
        """Said by the reader that was overtaken, before it begins anew."""
        with self._changed:
            self._voided = self._spool.voided

    def abandon(self) -> None:
        """Said by the fetch when it failed: the reader is stopped at its next step."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def counted(self) -> Iterator[tuple[bytes, int]]:
        """As of `Spool.counted`, waiting for each page.

        Raises Abandoned; Overtaken where pages that were handed over are void by now; LocalFault for a page that is not what was written.
        """
        done, ended = 0, False
        while not ended:
            there, ended = self._beyond(done)
            for page in self._spool.counted(done, there):
                self._look()
                yield page
            done = there
            self._look()

    def _beyond(self, done: int) -> tuple[int, bool]:
        """How many pages are there, once they are more than `done` or will be no more; and whether that is all."""
        with self._changed:
            self._changed.wait_for(lambda: self._abandoned or self._ended or self._there > done or self._spool.voided != self._voided)
            self._look()
            return self._there, self._ended

    def _look(self) -> None:
        if self._abandoned:
            raise Abandoned
        if self._spool.voided != self._voided:
            raise Overtaken
