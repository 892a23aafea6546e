"""`recon demo`: a third party, an application and five nights, for real over loopback, in a few seconds."""

from pathlib import Path
from typing import TextIO

__all__ = ["run_demo"]


def run_demo(folder: Path | None = None, out: TextIO | None = None) -> Path:
    """Play five nights in `folder` (empty or not there; by default a new temporary one), told to `out` (standard output).

    Answers the path of the HTML index of their reports. Raises BadRequest for a folder that is not empty, and ReconError where a
    night does not end as it must: the demo checks each of them by reading both sides itself.
    """
    from recon.demo.demo import play_demo

    return play_demo(folder, out)
