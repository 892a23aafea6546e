"""Spool: the pages of one fetch on disk as they arrive, so that memory stays flat and an interrupted fetch goes on from its last page.

A folder with three files. `source.ndjson.zst` grows by one zstd frame per page, an item a line. `pages.jsonl` grows by one line
per page: where its frame is, its digest, what could not be read, and the checkpoint of the page after it. The frame is written
first and the line after it, in one write, so page and checkpoint become visible in one step: what no line speaks of is cut off at
the next `open`. `listing.json` says what is being fetched and since when.

Killing the process at any instant loses at most the page in hand. Power may fail between a page and its fsync, which comes with
the end; so `open` proves the last frame, and `frames` every one, by zstd's checksum.
"""

import base64
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from recon.clock import iso, parse_iso
from recon.errors import LocalFault
from recon.fetch.page import Checkpoint, Page, Unread

DATA = "source.ndjson.zst"
PAGES = "pages.jsonl"
LISTING = "listing.json"
LEVEL = 1
KEPT_UNREAD = 1000


class PageLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of pages.jsonl. Sizes are bytes; `raw` is the decompressed size; `sha` is of the frame: the same items give the same one."""

    offset: int
    size: int
    raw: int
    items: int
    sha: str
    at: str
    next: dict[str, Any] | None = None
    end: str | None = None
    unread: list[tuple[str, str]] = []
    unread_items: int = 0
    total: int | None = None
    bytes_read: int = 0


class Spool:
    """The pages of one fetch. Opened by one process at a time, which the run's lease sees to."""

    def __init__(self, folder: Path, data: int, index: int) -> None:
        self.folder = folder
        #: Whole pages.
        self.pages = 0
        #: Readable items in them.
        self.items = 0
        #: What could not be read, the first 1,000; `unread_items` counts them all.
        self.unread: list[Unread] = []
        self.unread_items = 0
        #: The API's own count, as the latest page gave it.
        self.total: int | None = None
        self.bytes_read = 0
        #: The end's proof in words, once it has come.
        self.proof: str | None = None
        #: When the last page came.
        self.last_at: datetime | None = None
        self.checkpoint: Checkpoint | None = None
        self._data = data
        self._index = index
        self._size = 0
        self._index_size = 0
        self._memo: tuple[Page | None, bytes, int, str] = (None, b"", 0, "")
        self._lines: list[tuple[int, int, int, int]] = []
        self._digests: dict[str, int] = {}
        self._places: dict[bytes, int] = {}
        self._packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, write_content_size=True)

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

    @property
    def finished(self) -> bool:
        """Whether the page with the end's proof is here."""
        return self.proof is not None

    def seen(self, page: Page) -> int | None:
        """The number of an earlier page with the same items; an empty page is like no other."""
        return self._digests.get(self._packed(page)[2]) if page.items else None

    def seen_place(self, checkpoint: Checkpoint) -> int | None:
        """The number of an earlier page that led to the same place; counters (keys starting with `_`) aside."""
        return self._places.get(_place(checkpoint))

    def begin(self, identity: Mapping[str, Any], now: datetime) -> datetime:
        """Binds the spool to a listing, and answers when its fetch began; a spool of another listing is emptied first."""
        path = self.folder / LISTING
        try:
            said = msgspec.json.decode(path.read_bytes())
            if said["of"] == identity and self.pages:
                return parse_iso(said["began"])
        except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError):
            pass
        self.reset()
        text = msgspec.json.encode({"of": identity, "began": iso(now)})
        try:
            temporary = path.with_suffix(".tmp")
            temporary.write_bytes(text)
            temporary.chmod(0o600)
            temporary.replace(path)
        except OSError as error:
            raise local_fault(self.folder, error) from error
        return now

    def reset(self) -> None:
        """Empties the spool: the fetch starts anew."""
        try:
            os.ftruncate(self._index, 0)
            os.ftruncate(self._data, 0)
        except OSError as error:
            raise local_fault(self.folder, error) from error
        fresh = Spool(self.folder, self._data, self._index)
        self.__dict__.update(fresh.__dict__)

    def append(self, page: Page, *, at: datetime | None = None) -> None:
        """Writes a page; raises LocalFault, after which the spool still stands as before the page."""
        if (os.fstat(self._data).st_size, os.fstat(self._index).st_size) != (self._size, self._index_size):
            msg = f"{self.folder}: another process writes to this spool; nothing more is written here"
            raise LocalFault(msg, hint="`recon runs` shows where the run stands; the newer process goes on with it")
        frame, raw, digest = self._packed(page)
        line = PageLine(
            offset=self._size,
            size=len(frame),
            raw=raw,
            items=len(page.items),
            sha=digest,
            at=iso(at) if at else "",
            next=dict(page.next) if page.next is not None else None,
            end=page.end.proof if page.end else None,
            unread=[(base64.b64encode(u.raw).decode(), u.why) for u in page.unread[: max(0, KEPT_UNREAD - len(self.unread))]],
            unread_items=len(page.unread),
            total=page.total,
            bytes_read=page.bytes_read,
        )
        entry = msgspec.json.encode(line) + b"\n"
        try:
            _write(self._data, frame)
            _write(self._index, entry)
            if page.end:
                self._settle()
        except OSError as error:
            self._cut(self._size, self._index_size)
            raise local_fault(self.folder, error) from error
        self._index_size += len(entry)
        self._memo = (None, b"", 0, "")
        self._take(line)

    def frames(self) -> Iterator[bytes]:
        """The NDJSON of one page each, every item followed by a line end, in order; pages without items are passed over.

        Raises LocalFault for a frame that is not what was written.
        """
        return (text for text, _ in self.counted())

    def counted(self, first: int = 0, last: int | None = None) -> Iterator[tuple[bytes, int]]:
        """The same with how many items each page holds, of the pages from `first` (counted from 0) up to `last`."""
        unpacker = zstandard.ZstdDecompressor()
        for number, (offset, size, raw, items) in enumerate(self._lines[first:last], start=first + 1):
            if size:
                yield self._frame(unpacker, offset, size, raw, number), items

    def close(self) -> None:
        """Lets go of the files; what was appended stays."""
        for name in ("_data", "_index"):
            handle = getattr(self, name)
            if handle >= 0:
                os.close(handle)
                setattr(self, name, -1)

    def _packed(self, page: Page) -> tuple[bytes, int, str]:
        """A page's frame of NDJSON, its size unpacked, and the frame's digest; kept for the page in hand, which is asked about and then written.

        The digest is taken over the frame, which is a tenth of the text: the codec is deterministic, so the same items give the same frame.
        """
        if self._memo[0] is not page:
            text = b"\n".join(page.items) + b"\n" if page.items else b""
            frame = self._packer.compress(text) if text else b""
            self._memo = (page, frame, len(text), _digest(frame))
        return self._memo[1:]

    def _frame(self, unpacker: zstandard.ZstdDecompressor, offset: int, size: int, raw: int, number: int) -> bytes:
        try:
            text = unpacker.decompress(os.pread(self._data, size, offset), max_output_size=raw)
        except (zstandard.ZstdError, OSError) as error:
            raise self._damaged(number) from error
        if len(text) != raw:
            raise self._damaged(number)
        return text

    def _damaged(self, number: int) -> LocalFault:
        msg = f"{self.folder / DATA}: page {number:,} of {self.pages:,} is damaged on disk"
        return LocalFault(msg, hint="remove the folder and run again; the fetch then starts from the first page")

    def _take(self, line: PageLine) -> None:
        """Counts a page in."""
        self.pages += 1
        self.items += line.items
        self.unread_items += line.unread_items
        self.unread += [Unread(raw=base64.b64decode(raw), why=why) for raw, why in line.unread[: KEPT_UNREAD - len(self.unread)]]
        self.total = line.total if line.total is not None else self.total
        self.bytes_read += line.bytes_read
        self.last_at = parse_iso(line.at) if line.at else self.last_at
        self.checkpoint = line.next
        self.proof = line.end
        self._size = line.offset + line.size
        self._lines.append((line.offset, line.size, line.raw, line.items))
        if line.items:
            self._digests[line.sha] = self.pages
        if line.next is not None:
            self._places[_place(line.next)] = self.pages

    def _recover(self) -> None:
        """Reads the index up to its last line that its frame bears out, and cuts off what is behind it."""
        with os.fdopen(os.dup(self._index), "rb") as index:
            index.seek(0)
            text = index.read()
        size = os.fstat(self._data).st_size
        lines: list[tuple[PageLine, int]] = []
        at = 0
        decode = msgspec.json.Decoder(PageLine).decode
        while (end := text.find(b"\n", at)) >= 0:
            try:
                line = decode(text[at:end])
            except (msgspec.DecodeError, UnicodeDecodeError):
                break
            expected = lines[-1][0].offset + lines[-1][0].size if lines else 0
            if line.offset != expected or line.offset + line.size > size:
                break
            at = end + 1
            lines.append((line, at))
        unpacker = zstandard.ZstdDecompressor()
        while lines and not self._borne_out(unpacker, lines[-1][0]):
            lines.pop()
        for line, _ in lines:
            self._take(line)
        self._index_size = lines[-1][1] if lines else 0
        self._cut(self._size, self._index_size)

    def _borne_out(self, unpacker: zstandard.ZstdDecompressor, line: PageLine) -> bool:
        if not line.size:
            return line.raw == 0
        try:
            frame = os.pread(self._data, line.size, line.offset)
            return _digest(frame) == line.sha and len(self._frame(unpacker, line.offset, line.size, line.raw, 0)) == line.raw
        except LocalFault:
            return False

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


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _place(checkpoint: Checkpoint) -> bytes:
    kept = {key: value for key, value in checkpoint.items() if not key.startswith("_")}
    return hashlib.sha256(msgspec.json.encode(kept, order="sorted")).digest()


def _write(handle: int, text: bytes) -> None:
    """All of it: a disk that fills up takes a part first."""
    while text:
        text = text[os.write(handle, text) :]
