"""Every rendering by name, and the files of a run: figures and items in, bytes out."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from recon.errors import BadRequest
from recon.files import private_folder, write_atomically
from recon.report import csv_, html, index, json_, jsonl, junit, markdown, text
from recon.report.figures import Item, RunFigures

Items = Callable[[], Iterator[Item]]
Pieces = Callable[[RunFigures, Items], Iterator[bytes]]


def _text(figures: RunFigures, items: Items) -> Iterator[bytes]:
    yield text.plain(text.summary(figures, items())).encode()


FORMATS: dict[str, Pieces] = {
    "html": html.pieces,
    "json": json_.pieces,
    "jsonl": jsonl.pieces,
    "csv": csv_.pieces,
    "md": markdown.pieces,
    "junit": junit.pieces,
    "text": _text,
}
CSV_NAME = "discrepancies.csv"


def pieces(figures: RunFigures, items: Items, form: str) -> Iterator[bytes]:
    """The run in one format, piece by piece; raises BadRequest for a format that is none of `FORMATS`."""
    if form not in FORMATS:
        msg = f"no report format {form!r}; there are {', '.join(FORMATS)}"
        raise BadRequest(msg)
    return FORMATS[form](figures, items)


def write(figures: RunFigures, items: Items, target: Path | BinaryIO | TextIO, form: str) -> None:
    """Writes the run to a file, whole or not at all, or to a stream.

    Raises LocalFault where the file cannot be written, with the way out; a stream's own errors come through.
    """
    made = pieces(figures, items, form)
    if isinstance(target, Path):
        write_atomically(target, made)
        return
    # A text stream such as stdout has the bytes below it; a report is UTF-8 whatever the terminal is.
    raw: Any = getattr(target, "buffer", target)
    for piece in made:
        raw.write(piece)


def path_of(folder: Path, figures: RunFigures) -> Path:
    """Where a run's HTML report lies in the reports' folder: `reports/<run>/index.html`."""
    return folder / figures.run / index.REPORT_NAME


def write_run(figures: RunFigures, items: Items, folder: Path) -> Path:
    """Writes the run's HTML report, and beside it the CSV that it points to; answers the report's path. Raises LocalFault."""
    path = path_of(folder, figures)
    private_folder(path.parent)
    write_atomically(path.with_name(CSV_NAME), csv_.pieces(figures, items))
    write_atomically(path, html.pieces(figures, items, csv=CSV_NAME))
    return path


def write_index(domains: Iterable[index.Domain], folder: Path) -> Path:
    """Writes `reports/index.html` over all runs of these domains; answers its path. Raises LocalFault."""
    private_folder(folder)
    path = folder / index.REPORT_NAME
    write_atomically(path, index.pieces(domains, folder=folder))
    return path
