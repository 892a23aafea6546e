"""Sealing while the pages still arrive: the snapshot is made in a thread that follows the spool, and is nearly done when the fetch is."""

from collections.abc import Callable
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

from recon.compare import Snapshot
from recon.fetch.following import Following, Overtaken
from recon.fetch.spool import Spool
from recon.files import local_faults


class Sealing:
    """One seal beside one fetch. Left without `finish`, as a failed fetch leaves it, it stops and seals nothing."""

    def __init__(self, spool: Spool, seal: Callable[[Following], Snapshot], folder: Path) -> None:
        self._manifest = folder / "manifest.json"
        self._pages = Following(spool)
        self._seal = seal
        self._thread: Thread | None = None
        self._snapshot: Snapshot | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pages.abandon()
        self._join()

    def grown(self) -> None:
        """A page is on disk. The thread starts with the first: only then is it certain that the spool is not emptied to start anew."""
        self._pages.grown()
        if self._thread is None:
            # A page has come, so whatever was sealed here before was made of other pages.
            with local_faults(self._manifest, "removing"):
                self._manifest.unlink(missing_ok=True)
            self._thread = Thread(target=self._work, name="sealing", daemon=True)
            self._thread.start()

    def finish(self) -> Snapshot:
        """The sealed snapshot, now that the fetch is whole. Raises what sealing raised."""
        self._pages.end()
        if self._thread is None:
            # Nothing came in this process: the fetch was whole before.
            self._work()
        self._join()
        if self._error is not None:
            raise self._error
        assert self._snapshot is not None
        return self._snapshot

    def _work(self) -> None:
        try:
            while True:
                try:
                    self._snapshot = self._seal(self._pages)
                except Overtaken:
                    # A part of the listing was begun anew: what was made of its pages is void with them.
                    self._pages.again()
                else:
                    return
        except BaseException as error:  # noqa: BLE001 -- Raised again by `finish`, in the thread that the run lives in.
            self._error = error

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None
