"""What a fetch left on disk, for whoever only reads it: the pages that count, each with its part, its number and its time."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import zstandard

from recon.clock import parse_iso
from recon.fetch.cut import key_of
from recon.fetch.frames import Damaged, unpacked
from recon.fetch.journal import Note, PageLine, read_lines
from recon.fetch.partition import Partition
from recon.fetch.spool import DATA, PAGES, local_fault


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRecord:
    """A record as the third party wrote it; `page` counts within its part, from 1."""

    raw: bytes
    part: str
    page: int
    at: datetime | None


def records_of(folder: Path, key: str, key_path: str) -> Iterator[KeptRecord]:
    """The records with this key on the pages that lie in a folder, in the order in which they came; void pages are passed over.

    Nothing is changed, so the fetch may still be going on. A page is decoded only where the key's text stands in it. Raises LocalFault.
    """
    try:
        with (folder / PAGES).open("rb") as index, (folder / DATA).open("rb") as data:
            yield from _found(index.read(), data.fileno(), (folder / DATA).stat().st_size, key, key_path)
    except (OSError, Damaged) as error:
        raise local_fault(folder, error if isinstance(error, OSError) else OSError(0, "a page is damaged")) from error


def _found(index: bytes, data: int, size: int, key: str, key_path: str) -> Iterator[KeptRecord]:
    lines = [line for line, _ in read_lines(index, size)]
    names, last, dropped = _parts(lines)
    wanted = key.encode()
    unpacker = zstandard.ZstdDecompressor()
    era: dict[int, int] = {}
    pages: dict[int, int] = {}
    for line in lines:
        if isinstance(line, Note):
            if line.note == "anew":
                era[line.part] = era.get(line.part, 0) + 1
                pages[line.part] = 0
            continue
        number = pages[line.part] = pages.get(line.part, 0) + 1
        if not line.size or line.part in dropped or era.get(line.part, 0) != last.get(line.part, 0):
            continue
        text = unpacked(unpacker, os.pread(data, line.size, line.offset), line.raw)
        # A key may be written with escapes; then only the slow way finds it.
        if wanted not in text and b"\\" not in text:
            continue
        for raw in text.split(b"\n"):
            if raw and (wanted in raw or b"\\" in raw) and key_of(raw, key_path) == key:
                yield KeptRecord(raw=raw, part=names.get(line.part, "whole"), page=number, at=parse_iso(line.at) if line.at else None)


def _parts(lines: list[PageLine | Note]) -> tuple[dict[int, str], dict[int, int], set[int]]:
    """Each part's name, how often it was begun anew in the end, and which were given up for others."""
    names: dict[int, str] = {}
    anew: dict[int, int] = {}
    dropped: set[int] = set()
    for line in lines:
        if not isinstance(line, Note):
            continue
        match line.note:
            case "begin":
                names[line.part] = (line.partition or Partition()).name
            case "anew":
                anew[line.part] = anew.get(line.part, 0) + 1
            case "drop":
                dropped.add(line.part)
            case "serial":
                dropped |= set(names)
            case "planned":
                pass
    return names, anew, dropped
