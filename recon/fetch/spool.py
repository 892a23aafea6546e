"""Spool: the pages of one fetch on disk as they arrive, so that memory stays flat and an interrupted fetch goes on from its last page.

A folder with three files. `source.ndjson.zst` grows by one zstd frame per page, an item a line. `pages.jsonl` grows by one line
per page: where its frame is, its digest, which part of the listing it belongs to, what could not be read, and the checkpoint of
the page after it. The frame is written first and the line after it, in one write, so page and checkpoint become visible in one
step: what no line speaks of is cut off at the next `open`. Between them stand notes (`recon.fetch.journal`): a part is written down
before it is asked for, begins anew, or is given up for others; what came for it until then is void. `listing.json` says what is
being fetched and since when.

Killing the process at any instant loses at most the page in hand. Power may fail between a page and its fsync, which comes with
the end; so `open` proves the last frame, and `frames` every one, by zstd's checksum.
"""

import base64
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from recon.clock import iso, parse_iso
from recon.errors import LocalFault
from recon.fetch.frames import Damaged, Frames, borne_out, unpacked
from recon.fetch.journal import KEPT_UNREAD, Note, PageLine, PartState, place_of, read_lines
from recon.fetch.page import Checkpoint, Page
from recon.fetch.partition import Partition
from recon.fetch.standing import Standing

DATA = "source.ndjson.zst"
PAGES = "pages.jsonl"
LISTING = "listing.json"


class Spool(Standing):
    """The pages of one fetch. Opened by one process at a time, which the run's lease sees to."""

    def __init__(self, folder: Path, data: int, index: int) -> None:
        super().__init__()
        self.folder = folder
        self._data = data
        self._index = index
        self._index_size = 0
        self._frames = Frames()

    @classmethod
    def open(cls, folder: Path) -> "Spool":
        """The spool in this folder, new or as far as it got; a torn tail is cut back to the last whole page. Raises LocalFault."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            data = os.open(folder / DATA, flags, 0o600)
            try:
                index = os.open(folder / PAGES, flags, 0o600)
            except OSError:
                os.close(data)
                raise
            spool = cls(folder, data, index)
            spool._recover()
        except OSError as error:
            raise local_fault(folder, error) from error
        return spool

    def seen(self, page: Page, part: int = 0) -> int | None:
        """The number of an earlier page of the part with the same items; an empty page is like no other."""
        return self.parts[part].digests.get(self._frames.packed(page)[2]) if page.items and self.parts else None

    def seen_beside(self, page: Page, part: int) -> PartState | None:
        """Another part of the same pass that has a page with the same items: what narrows the two is then ignored."""
        return self.beside(part, self._frames.packed(page)[2]) if page.items else None

    def seen_place(self, checkpoint: Checkpoint, part: int = 0) -> int | None:
        """The number of an earlier page of the part that led to the same place; counters (keys starting with `_`) aside."""
        return self.parts[part].places.get(place_of(checkpoint)) if self.parts else None

    def begin(self, identity: Mapping[str, Any], now: datetime) -> datetime:
        """Binds the spool to a listing, and answers when its fetch began; a spool of another listing is emptied first."""
        path = self.folder / LISTING
        why = ""
        try:
            said = msgspec.json.decode(path.read_bytes())
            if said["of"] == identity and (self.pages or self.parts):
                return parse_iso(said["began"])
            if self.pages:
                why = "what is asked for changed"
        except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError):
            pass
        spent = self.spent
        self.reset()
        text = msgspec.json.encode({"of": identity, "began": iso(now)})
        try:
            temporary = path.with_suffix(".tmp")
            temporary.write_bytes(text)
            temporary.chmod(0o600)
            temporary.replace(path)
        except OSError as error:
            raise local_fault(self.folder, error) from error
        if why:
            self.tell(f"{why} since an earlier attempt, so it was started anew", spent)
        return now

    def reset(self) -> None:
        """Empties the spool: the fetch starts anew."""
        try:
            os.ftruncate(self._index, 0)
            os.ftruncate(self._data, 0)
        except OSError as error:
            raise local_fault(self.folder, error) from error
        fresh = Spool(self.folder, self._data, self._index)
        fresh.voided = self.voided + (self.written > 0)
        fresh.drifts = self.drifts
        self.__dict__.update(fresh.__dict__)

    # -- parts -------------------------------------------------------------------------------------------------------------

    def hand_out(self, partition: Partition) -> int:
        """Writes a part down, before anything of it is asked for; answers its number."""
        self._note(Note(note="begin", part=len(self.parts), partition=partition))
        return len(self.parts) - 1

    def begin_anew(self, part: int, why: str) -> None:
        """What came for this part is void: it is asked for from its first page."""
        self._note(Note(note="anew", part=part, why=why))

    def drop(self, part: int, why: str, into: Sequence[Partition] = ()) -> None:
        """What came for this part is void, and these take its place: written in one line, so that no kill leaves a gap."""
        self._note(Note(note="drop", part=part, why=why, into=list(into)))

    def tell(self, why: str, spent: tuple[int, int, int, int]) -> None:
        """Writes down what the certificate is to say, and what all attempts have cost so far."""
        self._note(Note(note="told", why=why, spent=spent))

    def end_plan(self) -> None:
        """No part follows."""
        if not self.planned:
            self._note(Note(note="planned"))

    def go_serial(self, why: str) -> None:
        """Everything so far is void: the listing is fetched in one."""
        self._note(Note(note="serial", why=why))

    def _note(self, note: Note) -> None:
        self._refuse_other_writer()
        entry = msgspec.json.encode(note) + b"\n"
        try:
            _write(self._index, entry)
            if note.note == "planned" and self.sums.finished:
                self._settle()
        except OSError as error:
            self._cut(self.size, self._index_size)
            raise local_fault(self.folder, error) from error
        self._index_size += len(entry)
        self.follow(note)

    def append(self, page: Page, *, at: datetime | None = None, part: int = 0, spent: tuple[int, int, int, int] = (0, 0, 0, 0)) -> None:
        """Writes a page of a part; raises LocalFault, after which the spool still stands as before the page.

        Without a part that was handed out, the page is of the whole listing, and its end is the plan's.
        """
        self._refuse_other_writer()
        if not self.parts:
            self.hand_out(Partition())
            self._note(Note(note="planned"))
        frame, raw, digest = self._frames.packed(page)
        kept = max(0, KEPT_UNREAD - len(self.parts[part].unread))
        line = PageLine(
            offset=self.size,
            size=len(frame),
            raw=raw,
            items=len(page.items),
            sha=digest,
            at=iso(at) if at else "",
            part=part,
            next=dict(page.next) if page.next is not None else None,
            end=page.end.proof if page.end else None,
            unread=[(base64.b64encode(u.raw).decode(), u.why) for u in page.unread[:kept]],
            unread_items=len(page.unread),
            total=page.total,
            bytes_read=page.bytes_read,
            left_out=page.left_out,
            spent=spent,
            overlap=page.overlap,
            notes=list(page.notes),
            scope={name: told for name, told in page.scope.items() if name not in self.parts[part].scope},
        )
        entry = msgspec.json.encode(line) + b"\n"
        try:
            _write(self._data, frame)
            _write(self._index, entry)
            if page.end and self.planned:
                self._settle()
        except OSError as error:
            self._cut(self.size, self._index_size)
            raise local_fault(self.folder, error) from error
        self._index_size += len(entry)
        self._frames.forget()
        self.take(line)

    def _refuse_other_writer(self) -> None:
        if (os.fstat(self._data).st_size, os.fstat(self._index).st_size) != (self.size, self._index_size):
            msg = f"{self.folder}: another process writes to this spool; nothing more is written here"
            raise LocalFault(msg, hint="`recon runs` shows where the run stands; the newer process goes on with it")

    # -- readers -----------------------------------------------------------------------------------------------------------

    def frames(self) -> Iterator[bytes]:
        """The NDJSON of one page each, every item followed by a line end, in order; pages without items are passed over.

        Raises LocalFault for a frame that is not what was written.
        """
        return (text for text, _ in self.counted())

    def counted(self, first: int = 0, last: int | None = None) -> Iterator[tuple[bytes, int]]:
        """The same with how many items each page holds, of the pages written from `first` (counted from 0) up to `last`; void ones left out."""
        unpacker = zstandard.ZstdDecompressor()
        for number, (offset, size, raw, items, part, era) in enumerate(self.lines[first:last], start=first + 1):
            if size and self.holds(part, era):
                yield self._frame(unpacker, offset, size, raw, number), items

    def close(self) -> None:
        """Lets go of the files; what was appended stays."""
        for name in ("_data", "_index"):
            handle = getattr(self, name)
            if handle >= 0:
                os.close(handle)
                setattr(self, name, -1)

    def _frame(self, unpacker: zstandard.ZstdDecompressor, offset: int, size: int, raw: int, number: int) -> bytes:
        try:
            return unpacked(unpacker, os.pread(self._data, size, offset), raw)
        except (Damaged, OSError) as error:
            msg = f"{self.folder / DATA}: page {number:,} of {self.written:,} is damaged on disk"
            raise LocalFault(msg, hint="remove the folder and run again; the fetch then starts from the first page") from error

    def _recover(self) -> None:
        """Reads the index up to its last line that its frame bears out, and cuts off what is behind it."""
        with os.fdopen(os.dup(self._index), "rb") as index:
            index.seek(0)
            text = index.read()
        lines = read_lines(text, os.fstat(self._data).st_size)
        unpacker = zstandard.ZstdDecompressor()
        while lines and (last := next((n for n in range(len(lines) - 1, -1, -1) if isinstance(lines[n][0], PageLine)), None)) is not None:
            page = lines[last][0]
            assert isinstance(page, PageLine)
            if borne_out(unpacker, os.pread(self._data, page.size, page.offset), page.raw, page.sha):
                break
            del lines[last:]
        for line, _ in lines:
            if isinstance(line, Note):
                self.follow(line)
                continue
            if not self.parts:
                self.begin_whole()
            self.take(line)
        self._index_size = lines[-1][1] if lines else 0
        self._cut(self.size, self._index_size)

    def _cut(self, data_size: int, index_size: int) -> None:
        os.ftruncate(self._index, index_size)
        os.ftruncate(self._data, data_size)

    def _settle(self) -> None:
        """Makes the whole spool outlast a power cut, data before index."""
        os.fsync(self._data)
        os.fsync(self._index)
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def local_fault(folder: Path, error: OSError) -> LocalFault:
    """This machine's fault in words: the folder, what happened, the space left, the way out."""
    try:
        free = f"; {shutil.disk_usage(folder).free / 1e6:,.1f} MB are free"
    except OSError:
        free = ""
    what = error.strerror or type(error).__name__
    hint = "make room there, or point the work folder elsewhere; the fetch then goes on from its last page"
    return LocalFault(f"{folder}: {what}{free}", hint=hint)


def _write(handle: int, text: bytes) -> None:
    """All of it: a disk that fills up takes a part first."""
    while text:
        text = text[os.write(handle, text) :]
