"""Whose pages lie on this host's disk: those of the fetch that the run's watermark was taken before, or of one that is past.

A run whose host died is fetched again on another host, under a newer watermark. Should it ever come back to the first, the pages
there are older than the watermark, and what moved in between would pass for standing still: they are not gone on from. Hosts'
names say nothing of it (containers share them), so the pages carry the watermark itself.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from socket import gethostname

from recon.clock import iso
from recon.fetch.spool import Spool
from recon.files import write_atomically
from recon.state.run import Run

MARK = "watermark"


def ready(spool: Spool, run: Run, now: Callable[[], datetime]) -> tuple[datetime, str]:
    """The spool, ready to be gone on with, or emptied where its pages are not of the run's present fetch.

    Answers the watermark, which is taken before the first page: what moved after it was not seen whole; and what the certificate
    says where another host had begun this fetch. Raises LocalFault.
    """
    if spool.pages and run.watermark is not None and _mark_of(spool.folder) == iso(run.watermark):
        return run.watermark, ""
    if spool.pages:
        spool.reset()
    taken = now()
    write_atomically(spool.folder / MARK, [iso(taken).encode()])
    here = (run.host, run.folder) == (gethostname(), str(spool.folder))
    abroad = run.watermark is not None and run.host is not None and not here
    return taken, f"; fetched again, what {run.host} had fetched lies on its disk" if abroad else ""


def _mark_of(folder: Path) -> str | None:
    try:
        return (folder / MARK).read_text()
    except (OSError, UnicodeDecodeError):
        return None
