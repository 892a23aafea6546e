"""The lines of a spool's index: a line for each page, and notes on the parts of the listing; and the parts as these lines leave them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

import msgspec

from recon.clock import parse_iso
from recon.fetch.page import Checkpoint, Unread
from recon.fetch.partition import Part, Partition

KEPT_UNREAD = 1000


class PageLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One page. Sizes are bytes; `raw` is the decompressed size; `sha` is of the frame: the same items give the same one.

    `spent` is what the fetch has cost up to here, over all its attempts: requests, retries, throttles, milliseconds.
    """

    offset: int
    size: int
    raw: int
    items: int
    sha: str
    at: str
    part: int = 0
    next: dict[str, Any] | None = None
    end: str | None = None
    unread: list[tuple[str, str]] = []
    unread_items: int = 0
    total: int | None = None
    bytes_read: int = 0
    left_out: int = 0
    spent: tuple[int, int, int, int] = (0, 0, 0, 0)
    overlap: int = 0
    notes: list[str] = []
    #: What the answer said of its scope, where no page of its part had before.
    scope: dict[str, str] = {}


class Note(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is to be known of a part, or of the listing.

    `begin`: the part was handed out; `anew`: it begins again; `drop`: the parts in `into`, numbered on from the last one, take its
    place; `planned`: no part follows; `serial`: the listing is fetched in one from here on, and all parts so far are dropped;
    `told`: what the certificate is to say, or what an attempt that failed has cost, as `spent` of a page.
    """

    note: Literal["begin", "anew", "drop", "planned", "serial", "told"]
    part: int = 0
    partition: Partition | None = None
    into: list[Partition] = []
    why: str = ""
    spent: tuple[int, int, int, int] = (0, 0, 0, 0)


PAGE = msgspec.json.Decoder(PageLine).decode
NOTE = msgspec.json.Decoder(Note).decode
MARK = b'{"note":'


def line_of(text: bytes) -> PageLine | Note:
    """A line of the index; raises msgspec.DecodeError for what is none."""
    return NOTE(text) if text.startswith(MARK) else PAGE(text)


def read_lines(text: bytes, size: int) -> list[tuple[PageLine | Note, int]]:
    """The lines of an index as far as they make sense beside a data file of `size` bytes, each with the byte after it."""
    lines: list[tuple[PageLine | Note, int]] = []
    at = expected = begun = 0
    while (end := text.find(b"\n", at)) >= 0:
        try:
            line = line_of(text[at:end])
        except (msgspec.DecodeError, UnicodeDecodeError):
            break
        if isinstance(line, PageLine):
            if line.offset != expected or line.offset + line.size > size:
                break
            expected += line.size
            # Version 0.2.0 wrote no parts: its pages are those of the whole.
            begun = begun or 1
        elif line.note == "begin":
            if line.part != begun or line.partition is None:
                break
            begun += 1
        if line.part >= begun and (isinstance(line, PageLine) or line.note in {"anew", "drop"}):
            break
        if isinstance(line, Note):
            begun += len(line.into)
        at = end + 1
        lines.append((line, at))
    return lines


@dataclass(slots=True)
class PartState:
    """One part as it stands. `era` counts how often it was begun: pages of an earlier one are void."""

    number: int
    partition: Partition
    era: int = 0
    dropped: bool = False
    pages: int = 0
    items: int = 0
    #: Of these, those that the page before had as well.
    overlap: int = 0
    unread_items: int = 0
    left_out: int = 0
    unread: list[Unread] = field(default_factory=list)
    total: int | None = None
    proof: str | None = None
    checkpoint: Checkpoint | None = None
    last_at: datetime | None = None
    digests: dict[str, int] = field(default_factory=dict)
    places: dict[bytes, int] = field(default_factory=dict)
    scope: dict[str, str] = field(default_factory=dict)

    def begin_anew(self) -> None:
        """Nothing of it counts any more."""
        # First of all: who reads along in another thread asks for the era.
        self.era += 1
        fresh = PartState(self.number, self.partition, self.era)
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    def take(self, line: PageLine, unread: list[Unread]) -> None:
        """Counts a page in."""
        self.pages += 1
        self.items += line.items
        self.overlap += line.overlap
        self.unread_items += line.unread_items
        self.left_out += line.left_out
        self.unread += unread
        self.total = line.total if line.total is not None else self.total
        self.last_at = parse_iso(line.at) if line.at else self.last_at
        self.checkpoint = line.next
        self.proof = line.end
        self.scope = {**line.scope, **self.scope}
        if line.items:
            self.digests[line.sha] = self.pages
        if line.next is not None:
            self.places[place_of(line.next)] = self.pages

    def told(self, failed: str | None = None) -> Part:
        """The part as planners and certificates read it."""
        return Part(
            partition=self.partition,
            pages=self.pages,
            items=self.items - self.overlap,
            unreadable=self.unread_items,
            proof=self.proof,
            failed=failed,
            restarts=self.era,
            last_at=self.last_at,
        )


def place_of(checkpoint: Mapping[str, Any]) -> bytes:
    """What two checkpoints share that are the same place: counters (keys starting with `_`) do not count."""
    kept = {key: value for key, value in checkpoint.items() if not key.startswith("_")}
    return sha256(msgspec.json.encode(kept, order="sorted")).digest()
