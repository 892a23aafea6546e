"""Union: pages that shift while items come and go hold some items twice, and the later page counts.

An item that stands twice on one and the same page is a duplicate of the third party's, and stays one.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from recon.compare.limits import Limits, connect
from recon.compare.snapshot import Pages
from recon.fetch.cut import key_of
from recon.fetch.page import Unread

BATCH = 50_000


class Union:
    """The pages of a fetch with every item that a later page has again left out. Raises what the pages raise."""

    def __init__(self, pages: Pages, key_path: str, folder: Path, limits: Limits) -> None:
        self._pages = pages
        self._keep, self._items = _latest(pages, key_path, folder, limits)

    @property
    def finished(self) -> bool:
        return self._pages.finished

    @property
    def items(self) -> int:
        return self._items

    @property
    def unread(self) -> list[Unread]:
        return self._pages.unread

    @property
    def unread_items(self) -> int:
        return self._pages.unread_items

    def counted(self) -> Iterator[tuple[bytes, int]]:
        row = 0
        for frame, items in self._pages.counted():
            kept = self._keep[row : row + items]
            row += items
            count = sum(kept)
            if count == items:
                yield frame, items
            elif count:
                lines = frame.split(b"\n")
                yield b"\n".join(line for line, keep in zip(lines, kept, strict=False) if keep) + b"\n", count


def _latest(pages: Pages, key_path: str, folder: Path, limits: Limits) -> tuple[bytearray, int]:
    """A byte for each item, in the order of the pages: 1 where no later page has it again; and how many of these there are."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = connect(limits, folder)
    try:
        engine.execute("create temp table seen (key varchar, page bigint, item bigint)")
        total = 0
        rows = _keys(pages, key_path)
        while batch := list(islice(rows, BATCH)):
            keys, numbers = zip(*batch, strict=True)
            taken = pa.table({"key": pa.array(keys, pa.string()), "page": pa.array(numbers, pa.int64())})
            engine.register("taken", taken)
            engine.execute(f"insert into seen select key, page, {total} + row_number() over () - 1 from taken")
            engine.unregister("taken")
            total += len(batch)
        keep = bytearray(b"\x01") * total
        # Few items are on two pages where a listing shifts, and all where it was passed over twice.
        query = (
            "select item from seen s join (select key, max(page) as last from seen where key is not null group by key having min(page) < max(page)) l "
            "on s.key = l.key and s.page < l.last"
        )
        cursor: Any = engine.execute(query)
        while gone := cursor.fetchmany(BATCH):
            for (item,) in gone:
                keep[item] = 0
        return keep, sum(keep)
    finally:
        engine.close()


def _keys(pages: Pages, key_path: str) -> Iterator[tuple[str | None, int]]:
    """Each item's key, None where it has none that can be read, and the number of its page."""
    decode = _decoder(key_path)
    for number, (frame, items) in enumerate(pages.counted()):
        lines = frame.split(b"\n")
        for line in lines[:items]:
            yield decode(line), number


def _decoder(path: str) -> Any:
    """Reads the key of a line; quickly where it stands at the top and is what keys are."""
    if "." in path:
        return lambda line: key_of(line, path)
    shape = msgspec.defstruct("Keyed", [("key", str | int)], rename={"key": path})
    fast: Any = msgspec.json.Decoder(shape).decode

    def decode(line: bytes) -> str | None:
        try:
            key = fast(line).key
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return key_of(line, path)
        return None if key == "" or isinstance(key, bool) else str(key)

    return decode
