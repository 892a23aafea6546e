"""Reading a file of records row by row, each row to a record or to what could not be read; a file that breaks off says so."""

import csv
import io
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, Literal

import msgspec

from recon.dumps.unpack import BLOCK, Packing, Stream, unpacked
from recon.errors import InvalidPage
from recon.fetch.page import Unread

LINE_BYTES = 16 * 1024 * 1024
"""The longest line, and the longest field: beyond it a file is no dump of records."""

SURROGATE = re.compile("[\ud800-\udfff]")
SAMPLE = 2048

Row = bytes | Unread
"""A record as a JSON object on one line, or what could not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a file is written. `columns` names the columns of a CSV without a header; `trailer` is what its last row begins with, and
    `count` the place (from 0) in that row where the number of records stands; `total` is the place where the sum of the column `sum` stands.
    `records` is the dotted path of the array in a JSON document.
    """

    format: Literal["csv", "jsonl", "json", "parquet"] = "csv"
    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    columns: tuple[str, ...] = ()
    trailer: str | None = None
    count: int = 1
    sum: str | None = None
    total: int = 2
    records: str = ""


def rows(path: Path, dialect: Dialect, packing: Packing | None, name: str) -> Iterator[Row]:
    """Every record of the file. Raises InvalidPage where it ends before its end: in a quoted field, a packed block, without its trailer."""
    try:
        if dialect.format == "parquet":
            from recon.dumps.parquet import parquet_rows

            yield from parquet_rows(path, name)
        elif dialect.format == "json":
            from recon.dumps.array import array_items

            with _whole(path, packing, name) as file:
                yield from array_items(file, dialect.records, name)
        else:
            with _opened(path, dialect.encoding, packing, name) as text:
                yield from _csv(text, dialect, name) if dialect.format == "csv" else _jsonl(text, name)
    except OSError as error:
        msg = f"{name}: cannot be read to its end: {error.strerror or error}"
        raise InvalidPage(msg) from error


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block


@contextmanager
def _opened(path: Path, encoding: str, packing: Packing | None, name: str) -> Iterator[IO[str]]:
    """The file as text. What is none in the encoding comes as lone surrogates, to be told row by row."""
    encoding = "utf-8-sig" if encoding.lower() in {"utf-8", "utf8"} else encoding
    with ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(path.open("rb"))
        if packing is not None:
            file = stack.enter_context(io.BufferedReader(Stream(unpacked(_blocks(file), packing, name)), BLOCK))
        yield stack.enter_context(io.TextIOWrapper(file, encoding=encoding, errors="surrogateescape", newline=""))


@contextmanager
def _whole(path: Path, packing: Packing | None, name: str) -> Iterator[IO[bytes]]:
    """The file as it lies there, or unpacked into one without a name that goes with its last reader."""
    with path.open("rb") as file:
        if packing is None:
            yield file
            return
        with tempfile.TemporaryFile() as plain:
            for part in unpacked(_blocks(file), packing, name):
                plain.write(part)
            plain.flush()
            yield plain


def _jsonl(text: IO[str], name: str) -> Iterator[Row]:
    number = 0
    while line := text.readline(LINE_BYTES):
        number += 1
        if len(line) >= LINE_BYTES:
            msg = f"{name}: line {number:,} is longer than {LINE_BYTES:,} characters, so this is no file of lines"
            raise InvalidPage(msg)
        if line.strip():
            row = _json_row(line, number)
            if isinstance(row, Unread) and not line.endswith("\n"):
                msg = f"{name}: the last line, {number:,}, breaks off: {row.why}"
                raise InvalidPage(msg, hint="fetch the file again; it was cut on its way")
            yield row


def _json_row(line: str, number: int) -> Row:
    raw = line.strip().encode("utf-8", "surrogateescape")
    why = None
    if SURROGATE.search(line):
        why = f"line {number:,} is no UTF-8"
    elif not raw.startswith(b"{"):
        why = f"line {number:,} is no JSON object"
    else:
        try:
            msgspec.json.decode(raw, type=msgspec.Raw)
        except (msgspec.DecodeError, RecursionError) as error:
            why = f"line {number:,}: {error}"
    return raw if why is None else Unread(raw=raw[:SAMPLE], why=why)


def _csv(text: IO[str], dialect: Dialect, name: str) -> Iterator[Row]:
    csv.field_size_limit(LINE_BYTES)
    watched = _Watched(text)
    reader = csv.reader(watched, delimiter=dialect.delimiter, quotechar=dialect.quote, strict=True)
    names = dialect.columns or _header(reader, name)
    held, trailer = _Held(dialect, names, name), False
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                msg = f"{name}: the file ends inside a quoted field that begins before line {reader.line_num:,}"
                raise InvalidPage(msg, hint="fetch the file again, or correct quote in the resource") from None
            held.unread()
            yield Unread(raw=b"", why=f"line {reader.line_num:,}: {error}")
            continue
        if not cells:
            continue
        if trailer:
            msg = f"{name}: rows follow the trailer, on line {reader.line_num:,}"
            raise InvalidPage(msg)
        if dialect.trailer is not None and cells[0] == dialect.trailer:
            held.against(cells)
            trailer = True
            continue
        record = _record(names, cells, reader.line_num)
        held.take(cells) if isinstance(record, bytes) else held.unread()
        yield record
    if dialect.trailer is not None and not trailer:
        msg = f"{name}: no row begins with {dialect.trailer!r} after {held.count:,} records, so the trailer is missing"
        raise InvalidPage(msg, hint="the file was cut, or trailer in the resource names another one")
    if dialect.trailer is None and not watched.ended:
        msg = f"{name}: the last line has no line end, so nothing says that it is whole"
        raise InvalidPage(msg, hint="a trailer, or a checksum, would prove it; declare one, or have the line ended")


def _header(reader: Iterator[list[str]], name: str) -> tuple[str, ...]:
    names = tuple(next(reader, []))
    if not names:
        msg = f"{name}: the file is empty, and not even a header says that this is meant"
        raise InvalidPage(msg, hint="columns = […] in the resource, where the file has no header")
    if any(SURROGATE.search(one) for one in names):
        msg = f"{name}: the header is not in the encoding that was declared"
        raise InvalidPage(msg, hint="encoding in the resource says which one it is, such as utf-16 or cp1252")
    twice = next((one for one in names if names.count(one) > 1), None)
    if twice is not None:
        msg = f"{name}: the header has {twice!r} twice"
        raise InvalidPage(msg, hint="columns = […] in the resource names them anew")
    return names


@dataclass(slots=True)
class _Held:
    """What the rows come to, to be held against the trailer."""

    dialect: Dialect
    names: Sequence[str]
    name: str
    count: int = 0
    lost: int = 0
    sum: Decimal = field(default_factory=Decimal)
    column: int | None = None

    def __post_init__(self) -> None:
        if self.dialect.sum is not None:
            if self.dialect.sum not in self.names:
                msg = f"{self.name}: there is no column {self.dialect.sum!r} to add up; there are {', '.join(self.names)[:200]}"
                raise InvalidPage(msg, hint="sum in the resource names the column whose sum the trailer holds")
            self.column = self.names.index(self.dialect.sum)

    def take(self, cells: Sequence[str]) -> None:
        """A record came."""
        self.count += 1
        if self.column is not None:
            amount = _decimal(cells[self.column] or "0")
            if amount is None:
                self.lost += 1
            else:
                self.sum += amount

    def unread(self) -> None:
        """One came that cannot be read: it counts, and what it would add is not known."""
        self.count += 1
        self.lost += self.column is not None

    def against(self, cells: Sequence[str]) -> None:
        """Raises InvalidPage where the trailer says anything else."""
        said = cells[self.dialect.count] if len(cells) > self.dialect.count else ""
        hint = "the file was cut or put together wrongly; fetch it again"
        if said.strip() != str(self.count):
            msg = f"{self.name}: the trailer says {said[:20]!r} records, and {self.count:,} were read"
            raise InvalidPage(msg, hint=hint)
        if self.column is None:
            return
        said = cells[self.dialect.total] if len(cells) > self.dialect.total else ""
        if self.lost or _decimal(said) != self.sum:
            odd = f", beside {self.lost:,} amounts that could not be read" if self.lost else ""
            msg = f"{self.name}: the trailer says {said[:40]!r} for the sum of {self.dialect.sum}, and the rows come to {self.sum}{odd}"
            raise InvalidPage(msg, hint=hint)


def _decimal(text: str) -> Decimal | None:
    try:
        found = Decimal(text.strip())
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _record(names: Sequence[str], cells: Sequence[str], line: int) -> Row:
    if len(cells) != len(names):
        return Unread(
            raw=repr(cells).encode("utf-8", "replace")[:SAMPLE], why=f"line {line:,} has {len(cells)} cells, the header {len(names)}"
        )
    row = "".join(cells)
    if not row.isascii() and SURROGATE.search(row):
        return Unread(raw=repr(cells).encode("utf-8", "replace")[:SAMPLE], why=f"line {line:,} is not in the encoding that was declared")
    return msgspec.json.encode(dict(zip(names, cells, strict=True)))


class _Watched:
    """Lines on their way to the reader; knows whether the last one was ended."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self.ended = True

    def __iter__(self) -> Iterator[str]:
        while line := self._text.readline(LINE_BYTES):
            self.ended = line.endswith(("\n", "\r"))
            yield line
