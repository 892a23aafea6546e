"""The crew: parts of a listing walked side by side, their pages handed over one by one to the one who writes them down.

With one hand there are no threads: the parts take turns, a page each, so that the same third party always gives the same order.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from queue import Full, Queue
from typing import Protocol

from recon.clock import Clock, SystemClock
from recon.fetch.page import Checkpoint, Page
from recon.fetch.partition import Partition

AHEAD = 2
"""Pages waiting for the disk, for each hand: memory is that many pages, however long the listing."""

JOIN_SECONDS = 2.0
"""How long a hand is waited for that is to stop; one in the middle of a request ends with it, and hands nothing over any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One part to walk: from where, and after how many seconds of waiting."""

    part: int
    partition: Partition
    resume: Checkpoint | None = None
    after: float = 0.0


Walk = Callable[[Errand, Clock], Iterator[Page]]
Brought = tuple[int, Page | BaseException | None]
"""The part's number, and a page, or what ended the walk: an error, or None where it ended by itself."""


class Crew(Protocol):
    """Parts on their way."""

    #: The numbers of the parts that are being walked.
    busy: set[int]

    def send(self, errand: Errand) -> None:
        """Begins to walk a part."""
        ...

    def bring(self) -> Brought:
        """The next page, or the end of a walk; after that the part is not busy any more. To be asked only while one is."""
        ...

    def recall(self, part: int) -> None:
        """Ends the walk of a part: nothing more of it is brought."""
        ...

    def stop(self) -> None:
        """Ends every walk; nothing is brought after it."""
        ...


def crew(walk: Walk, width: int, clock: Clock) -> Crew:
    """A crew of so many hands."""
    return Hands(walk, width, clock) if width > 1 else Turns(walk, clock)


class Turns:
    """One hand: the parts take turns."""

    def __init__(self, walk: Walk, clock: Clock) -> None:
        self.busy: set[int] = set()
        self._walk = walk
        self._clock = clock
        self._walks: list[tuple[int, Iterator[Page]]] = []

    def send(self, errand: Errand) -> None:
        self.busy.add(errand.part)
        if errand.after:
            self._clock.sleep(errand.after)
        self._walks.append((errand.part, self._begun(errand)))

    def bring(self) -> Brought:
        part, pages = self._walks.pop(0)
        try:
            page = next(pages)
        except StopIteration:
            self.busy.discard(part)
            return part, None
        except Exception as error:  # noqa: BLE001 - whoever writes the pages down decides what it means
            self.busy.discard(part)
            return part, error
        if page.end is not None:
            self.busy.discard(part)
            _close(pages)
        else:
            self._walks.append((part, pages))
        return part, page

    def _begun(self, errand: Errand) -> Iterator[Page]:
        """The walk; what it raises before its first page is brought like what it raises after it."""
        yield from self._walk(errand, self._clock)

    def recall(self, part: int) -> None:
        for number, pages in self._walks:
            if number == part:
                _close(pages)
        self._walks = [one for one in self._walks if one[0] != part]
        self.busy.discard(part)

    def stop(self) -> None:
        for part in list(self.busy):
            self.recall(part)


class Hands:
    """Several hands, each a thread for one part, with a bounded queue to the one who writes."""

    def __init__(self, walk: Walk, width: int, clock: Clock) -> None:
        self.busy: set[int] = set()
        self._walk = walk
        self._stopping = threading.Event()
        self._clock = Stoppable(clock, self._stopping)
        self._queue: Queue[tuple[int, Brought]] = Queue(AHEAD * width)
        self._threads: list[threading.Thread] = []
        self._tickets = count()
        #: Part to the ticket of its walk: what comes under another one is of a walk that was ended.
        self._valid: dict[int, int] = {}

    def send(self, errand: Errand) -> None:
        ticket = self._valid[errand.part] = next(self._tickets)
        self.busy.add(errand.part)
        thread = threading.Thread(target=self._work, args=(errand, ticket), name=f"recon-fetch-{errand.part}", daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()]
        self._threads.append(thread)
        thread.start()

    def bring(self) -> Brought:
        while True:
            ticket, (part, brought) = self._queue.get()
            if self._valid.get(part) != ticket:
                continue
            if not isinstance(brought, Page) or brought.end is not None:
                self.recall(part)
            return part, brought

    def recall(self, part: int) -> None:
        self._valid.pop(part, None)
        self.busy.discard(part)

    def stop(self) -> None:
        self._stopping.set()
        self._valid.clear()
        self.busy.clear()
        until = time.monotonic() + JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._threads.clear()

    def _work(self, errand: Errand, ticket: int) -> None:
        ended: BaseException | None = None
        try:
            if errand.after:
                self._clock.sleep(errand.after)
            pages = self._walk(errand, self._clock)
            try:
                for page in pages:
                    if not self._put(ticket, (errand.part, page)) or page.end is not None:
                        return
            finally:
                _close(pages)
        except Stopped:
            return
        except BaseException as error:  # noqa: BLE001 - raised again, or judged, by the one who writes the pages down
            ended = error
        self._put(ticket, (errand.part, ended))

    def _put(self, ticket: int, brought: Brought) -> bool:
        """Hands over; False where nothing of this walk is wanted any more."""
        while not self._stopping.is_set() and self._valid.get(brought[0]) == ticket:
            try:
                self._queue.put((ticket, brought), timeout=SLICE_SECONDS)
            except Full:
                continue
            return True
        return False


SLICE_SECONDS = 0.2
"""How often a sleeper looks whether the whole process is asked to stop."""


class Stopped(BaseException):
    """The crew is to stop: whoever waits need not wait any longer."""


class Stoppable:
    """A clock whose sleepers are woken when the crew stops."""

    def __init__(self, clock: Clock, stopping: threading.Event) -> None:
        self._clock = clock
        self._stopping = stopping
        self.now = clock.now
        self.monotonic = clock.monotonic

    def sleep(self, seconds: float) -> None:
        """Sleeps, or raises Stopped."""
        if isinstance(self._clock, SystemClock):
            until = time.monotonic() + seconds
            while not self._clock.stop.is_set() and not self._stopping.is_set() and (left := until - time.monotonic()) > 0:
                self._stopping.wait(min(SLICE_SECONDS, left))
        elif not self._stopping.is_set():
            self._clock.sleep(seconds)
        if self._stopping.is_set():
            raise Stopped


def _close(pages: Iterator[Page]) -> None:
    close = getattr(pages, "close", None)
    if close is not None:
        close()
