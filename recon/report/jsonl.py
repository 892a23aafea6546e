"""JSON lines: every discrepancy, one a line, complete; what programs read."""

from collections.abc import Callable, Iterator

from recon.inert import json_bytes
from recon.report.figures import Item, RunFigures
from recon.report.json_ import item_document


def pieces(figures: RunFigures, items: Callable[[], Iterator[Item]]) -> Iterator[bytes]:
    """One line per item; each names its run and domain, so that files can be put together."""
    for item in items():
        yield json_bytes({"run": figures.run, "domain": figures.domain, **item_document(item)}) + b"\n"
