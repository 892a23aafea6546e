"""Reading a file dump row by row: CSV and lines of JSON, each row to a record or to what could not be read; a file that breaks off says so."""

import csv
import gzip
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import msgspec

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
    """How a dump is written. `columns` names the columns of a CSV without a header; `trailer` is what its last row begins with, and
    `count` the place (from 0) in that row where the number of records stands.
    """

    format: Literal["csv", "jsonl"] = "csv"
    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    columns: tuple[str, ...] = ()
    trailer: str | None = None
    count: int = 1


@contextmanager
def opened(path: Path, dialect: Dialect) -> Iterator[IO[str]]:
    """The file as text, unpacked where its name ends in .gz. What is none in the encoding comes as lone surrogates, to be told row by row."""
    encoding = "utf-8-sig" if dialect.encoding.lower() in {"utf-8", "utf8"} else dialect.encoding
    with ExitStack() as stack:
        if path.suffix == ".gz":
            packed = stack.enter_context(gzip.open(path, "rb"))
            yield stack.enter_context(io.TextIOWrapper(packed, encoding=encoding, errors="surrogateescape", newline=""))
        else:
            yield stack.enter_context(path.open(encoding=encoding, errors="surrogateescape", newline=""))


def rows(text: IO[str], dialect: Dialect, name: str) -> Iterator[Row]:
    """Every record. Raises InvalidPage where the file ends before its end: in a quoted field, a packed block, without its trailer."""
    try:
        yield from _csv(text, dialect, name) if dialect.format == "csv" else _jsonl(text, name)
    except EOFError as error:
        msg = f"{name}: the packed file breaks off before its end"
        raise InvalidPage(msg, hint="fetch the file again; it was cut on its way") from error
    except (gzip.BadGzipFile, OSError) as error:
        msg = f"{name}: cannot be read to its end: {error}"
        raise InvalidPage(msg) from error


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
    count, trailer = 0, False
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                msg = f"{name}: the file ends inside a quoted field that begins before line {reader.line_num:,}"
                raise InvalidPage(msg, hint="fetch the file again, or correct quote in the resource") from None
            count += 1
            yield Unread(raw=b"", why=f"line {reader.line_num:,}: {error}")
            continue
        if not cells:
            continue
        if trailer:
            msg = f"{name}: rows follow the trailer, on line {reader.line_num:,}"
            raise InvalidPage(msg)
        if dialect.trailer is not None and cells[0] == dialect.trailer:
            _hold(cells, dialect, count, name)
            trailer = True
            continue
        count += 1
        yield _record(names, cells, reader.line_num)
    if dialect.trailer is not None and not trailer:
        msg = f"{name}: no row begins with {dialect.trailer!r} after {count:,} records, so the trailer is missing"
        raise InvalidPage(msg, hint="the file was cut, or trailer in the resource names another one")
    if dialect.trailer is None and not watched.ended:
        msg = f"{name}: the last line has no line end, so nothing says that it is whole"
        raise InvalidPage(msg, hint="a trailer, or a checksum, would prove it; declare one, or have the line ended")


def _header(reader: Iterator[list[str]], name: str) -> tuple[str, ...]:
    names = tuple(next(reader, []))
    if not names:
        msg = f"{name}: the file is empty, and not even a header says that this is meant"
        raise InvalidPage(msg, hint="columns = […] in the resource, where the file has no header")
    twice = next((one for one in names if names.count(one) > 1), None)
    if twice is not None:
        msg = f"{name}: the header has {twice!r} twice"
        raise InvalidPage(msg, hint="columns = […] in the resource names them anew")
    return names


def _hold(cells: Sequence[str], dialect: Dialect, count: int, name: str) -> None:
    said = cells[dialect.count] if len(cells) > dialect.count else ""
    if said.strip() != str(count):
        msg = f"{name}: the trailer says {said[:20]!r} records, and {count:,} were read"
        raise InvalidPage(msg, hint="the file was cut or put together wrongly; fetch it again")


def _record(names: Sequence[str], cells: Sequence[str], line: int) -> Row:
    if len(cells) != len(names):
        return Unread(
            raw=repr(cells).encode("utf-8", "replace")[:SAMPLE], why=f"line {line:,} has {len(cells)} cells, the header {len(names)}"
        )
    if any(SURROGATE.search(cell) for cell in cells):
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
