"""Whose pages lie on this host's disk: those of the fetch that the run's watermark was taken before, or of one that is past.

A run whose host died is fetched again on another host, under a newer watermark. Should it ever come back to the first, the pages
there are older than the watermark, and what moved in between would pass for standing still: they are not gone on from. Hosts'
names say nothing of it (containers share them), so the pages carry the watermark itself.
"""

from datetime import datetime
from pathlib import Path
from socket import gethostname

from recon.clock import iso
from recon.fetch.spool import Spool
from recon.files import write_atomically
from recon.state.run import Run

MARK = "watermark"


def usable(spool: Spool, run: Run, now: datetime) -> bool:
    """Whether pages lie here that the run's present fetch may go on from; `now` is the database's.

    A watermark that lies ahead was taken before the clock was set back: what moved since would pass for older than it.
    """
    if spool.pages == 0 or run.watermark is None or run.watermark > now:
        return False
    return _mark_of(spool.folder) == iso(run.watermark)


def begin(spool: Spool, watermark: datetime) -> None:
    """Empties the spool for a fetch after this watermark. Raises LocalFault.

    To be called once the watermark is committed with the run: a process that was fenced off must not empty what another one fills.
    """
    # In this order: pages of an earlier fetch never lie beside the mark of a later one, whatever is killed in between.
    spool.reset()
    write_atomically(spool.folder / MARK, [iso(watermark).encode()])


def abroad(run: Run, spool: Spool) -> str:
    """What the certificate says of a fetch that another host, or another folder, had begun; nothing where none had."""
    begun = run.watermark is not None and run.host is not None
    if not begun or (run.host, run.folder) == (gethostname(), str(spool.folder)):
        return ""
    return f"; fetched again, what {run.host} had fetched lies on its disk"


def _mark_of(folder: Path) -> str | None:
    try:
        return (folder / MARK).read_text()
    except (OSError, UnicodeDecodeError):
        return None
