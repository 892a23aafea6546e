"""The provider's side, projected: from a spool's pages of raw records to Arrow batches of exact text, one column per field.

No number is ever interpreted here: `12345678901234567.89` leaves as these digits. Where a kind is declared text or whole
numbers, the decoder is first told so (it is twice as fast); the first page that says otherwise moves that column to
raw tokens for good. A record that cannot be read is a row of its own in the batches, marked, with its key where
that much could be read: unknown, never missing.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UNSET, Raw

from recon.compare.batches import BAD, sample_of
from recon.compare.paths import Node, at
from recon.errors import BadDefinition
from recon.fetch.page import Unread
from recon.job import Job
from recon.kind import Boolean, Integer, Json, Kind, Money, Set, Text, Timestamp

ROWS = 16_384
"""Records to a batch."""

MASK = "_mask"
"""Bits of the fields, in the job's order, that were not there at all and whose absence is not null."""

MOST_MARKED = 64
WHOLE = re.compile(rb"-?[0-9]+")
ESCAPED_NUL = b"\\u0000"
BACKSLASH = b"\\"
NULL = b"null"
Fault = tuple[str | None, str, str, str]
"""Key where readable, field, why, sample."""


def hint_of(kind: Kind, path: str) -> Any:
    """What a provider most likely writes for a kind: a type that msgspec makes at once, or Raw."""
    if any(segment.isdigit() for segment in path.split(".")):
        return Raw
    match kind:
        case Text():
            return str
        case Integer() | Money(provider="minor"):
            return int
        case Timestamp(provider=form):
            return int if form.startswith("epoch") else str
        case Boolean():
            return bool
        case _:
            return Raw


class Projector:
    """Turns pages of one job's records into batches. `records` counts what went through, `unread` those that could not be read."""

    def __init__(self, job: Job, key_path: str) -> None:
        self.job = job
        self.key_path = key_path
        self.records = 0
        self.unread = 0
        self._paths = [key_path, *(f.at for f in job.fields)]
        self._kinds: list[Kind] = [job.key, *(f.of_kind for f in job.fields)]
        self._quoted = [isinstance(kind, Json | Set) for kind in self._kinds]
        self._marked = [None, *(None if f.missing_is_null else place for place, f in enumerate(job.fields))]
        if sum(place is not None for place in self._marked) > MOST_MARKED or len(job.fields) > MOST_MARKED:
            raise BadDefinition(f"{job.domain}: {len(job.fields)} fields, at most {MOST_MARKED} can be compared in one job")
        self._hints = [hint_of(kind, path) for kind, path in zip(self._kinds, self._paths, strict=True)]
        self._tree, self._decoder = self._built(self._hints)
        self._raw_hints: list[Any] = [Raw] * len(self._paths)
        self._raw_tree, self._raw_decoder = self._built(self._raw_hints)
        names = ["key", *(f.name for f in job.fields)]
        self.schema = pa.schema([*((n, pa.string()) for n in names), (MASK, pa.uint64()), *((n, pa.string()) for n in BAD)])

    def _built(self, hints: list[Any]) -> tuple[Node, Any]:
        tree = Node()
        for column, path in enumerate(self._paths):
            tree.add(path, column)
        return tree, msgspec.json.Decoder(tree.build(hints))

    def batches(self, frames: Iterable[tuple[bytes, int]], unread: Iterable[Unread] = ()) -> Iterator[pa.RecordBatch]:
        """All records of the pages, each of which comes with how many it holds; then the items that the fetch already had to set aside."""
        waiting: list[Any] = []
        for frame, items in frames:
            records = self._fast(frame, items)
            if records is not None:
                waiting += records
                if len(waiting) >= ROWS:
                    yield from self._flush(waiting)
                    waiting = []
                continue
            yield from self._flush(waiting)
            waiting = []
            yield from self._slow(frame)
        yield from self._flush(waiting)
        faults = [self._fault(item.raw, item.why) for item in unread]
        if faults:
            yield self._faulty(faults)

    def item(self, raw: bytes, key: str) -> pa.RecordBatch:
        """One record that was read by id, under the key it was asked for, whatever it says of its own."""
        (batch,) = self._slow(raw.strip().replace(b"\n", b" ") + b"\n")
        columns = dict(zip(batch.schema.names, batch.columns, strict=True)) | {"key": pa.array([key], pa.string())}
        if columns[BAD[0]][0].as_py() == "key":
            columns |= {marker: pa.nulls(1, pa.string()) for marker in BAD}
        return pa.RecordBatch.from_arrays(list(columns.values()), schema=self.schema)

    # -- pages ---------------------------------------------------------------------------------------------

    def _fast(self, frame: bytes, items: int) -> list[Any] | None:
        """The page's records where nothing about it is out of the ordinary, else None."""
        # One byte is looked for much faster than six.
        if BACKSLASH in frame and ESCAPED_NUL in frame:
            return None
        try:
            if not frame.isascii():
                frame.decode()
            records: list[Any] = self._decoder.decode_lines(frame)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        return records if len(records) == items else None

    def _slow(self, frame: bytes) -> Iterator[pa.RecordBatch]:
        """A page in which something does not fit: read line by line, as raw tokens."""
        good: list[Any] = []
        faults: list[Fault] = []
        for line in frame.split(b"\n"):
            if not line:
                continue
            why = self._poison(line)
            if why is None:
                try:
                    good.append(self._raw_decoder.decode(line))
                    continue
                except RecursionError:
                    why = "is nested too deeply"
                except (msgspec.MsgspecError, ValueError) as error:
                    why = "has a lone surrogate in a text" if _lone_surrogate(line) else f"is no such record: {error}"
            faults.append(self._fault(line, why))
        if good:
            self._learn(good)
            yield from self._flush(good, raw=True)
        if faults:
            yield self._faulty(faults)

    def _poison(self, line: bytes) -> str | None:
        try:
            line.decode()
        except UnicodeDecodeError as error:
            return f"is no UTF-8: {error.reason} at byte {error.start}"
        if ESCAPED_NUL not in line.replace(b"\\\\", b""):
            return None
        return "has a NUL character in a text, which no database takes" if self._has_nul(line) else None

    def _has_nul(self, line: bytes) -> bool:
        try:
            columns = self._columns([self._raw_decoder.decode(line)], raw=True)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return False
        return any(v is not UNSET and ESCAPED_NUL in bytes(v).replace(b"\\\\", b"") for [v] in columns)

    def _fault(self, line: bytes, why: str) -> Fault:
        """An unreadable item, with its key where a lenient reading finds one."""
        try:
            key = at(json.loads(line.decode("utf-8", "replace")), self.key_path)
        except (ValueError, RecursionError):
            key = None
        text = str(key) if isinstance(key, str | int) and not isinstance(key, bool) else None
        if text is not None and any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text):
            text = None
        return (text, "", why, sample_of(line))

    def _learn(self, records: list[Any]) -> None:
        """Moves columns whose tokens are not what was hinted to raw ones."""
        hints = list(self._hints)
        for place, values in enumerate(self._columns(records, raw=True)):
            fits = FITS.get(hints[place])
            if fits is not None and not all(v is UNSET or fits(bytes(v)) for v in values):
                hints[place] = Raw
        if hints != self._hints:
            self._hints = hints
            self._tree, self._decoder = self._built(hints)

    # -- batches -------------------------------------------------------------------------------------------

    def _columns(self, records: list[Any], *, raw: bool) -> list[list[Any]]:
        out: list[list[Any]] = [[] for _ in self._paths]
        (self._raw_tree if raw else self._tree).spread_records(records, out)
        return out

    def _flush(self, records: list[Any], *, raw: bool = False) -> Iterator[pa.RecordBatch]:
        if not records:
            return
        try:
            batch = self._batch(records, raw=raw)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            # One record's value breaks the batch (a lone surrogate, a wrong shape in a raw part): find it.
            if len(records) == 1:
                yield self._faulty([(self._only_key(records, raw=raw), "", f"is no such record: {error}", "")])
                return
            half = len(records) // 2
            yield from self._flush(records[:half], raw=raw)
            yield from self._flush(records[half:], raw=raw)
            return
        self.records += len(records)
        yield batch

    def _only_key(self, records: list[Any], *, raw: bool) -> str | None:
        out: list[list[Any]] = [[] for _ in self._paths]
        tree = self._raw_tree if raw else self._tree
        try:
            tree.spread_records(records, out)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            if not out[0]:
                return None
        try:
            values, faults = self._keys(out[0], Raw if raw else self._hints[0])
        except (msgspec.MsgspecError, ValueError):
            return None
        return None if faults else values[0].as_py()

    def _batch(self, records: list[Any], *, raw: bool) -> pa.RecordBatch:
        hints = self._raw_hints if raw else self._hints
        columns = self._columns(records, raw=raw)
        keys, faults = self._keys(columns[0], hints[0])
        arrays = [keys]
        mask: list[int] | None = None
        for place in range(1, len(columns)):
            array, absent = texts(columns[place], hints[place], quoted=self._quoted[place])
            arrays.append(array)
            marked = self._marked[place]
            if absent and marked is not None:
                mask = mask or [0] * len(records)
                bit = 1 << marked
                for row in absent:
                    mask[row] |= bit
        arrays.append(pa.array(mask or [0] * len(records), pa.uint64()))
        for which in range(len(BAD)):
            if not faults:
                arrays.append(pa.nulls(len(records), pa.string()))
                continue
            arrays.append(pa.array([faults[row][which] if row in faults else None for row in range(len(records))], pa.string()))
        self.unread += len(faults)
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _keys(self, values: list[Any], hint: Any) -> tuple[pa.Array, dict[int, tuple[str, str, str]]]:
        """The keys as text; rows without a usable one are marked."""
        faults: dict[int, tuple[str, str, str]] = {}
        if hint is Raw:
            kept = []
            for row, value in enumerate(values):
                why = self._key_fault(value)
                if why is not None:
                    faults[row] = ("key", why, "" if value is UNSET else sample_of(bytes(value)))
                kept.append(value if why is None else UNSET)
            values = kept
        array, _ = texts(values, hint, quoted=False)
        if array.null_count:
            why = f"has no key at {self.key_path!r}"
            for row, valid in enumerate(array.is_valid().to_pylist()):
                if not valid:
                    faults.setdefault(row, ("key", why, ""))
        return array, faults

    def _key_fault(self, value: Any) -> str | None:
        if value is UNSET:
            return None
        token = bytes(value)
        if token == NULL or token[:1] == b'"':
            return None
        if token[:1] in b"{[tf":
            return f"its key at {self.key_path!r} is neither a text nor a number"
        if isinstance(self.job.key, Text) and not WHOLE.fullmatch(token):
            return f"its key at {self.key_path!r} is a number that is not whole"
        return None

    def _faulty(self, faults: list[Fault]) -> pa.RecordBatch:
        """Rows for items of which at most the key is known."""
        self.records += len(faults)
        self.unread += len(faults)
        rows = len(faults)
        arrays = [pa.array([f[0] for f in faults], pa.string()), *(pa.nulls(rows, pa.string()) for _ in self.job.fields)]
        arrays.append(pa.array([0] * rows, pa.uint64()))
        arrays += [pa.array([f[which] for f in faults], pa.string()) for which in (1, 2, 3)]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def _lone_surrogate(line: bytes) -> bool:
    """Whether an unpaired surrogate is what makes a line no JSON; the decoder's own words for it mislead."""
    if b"\\ud" not in line.lower():
        return False
    try:
        json.dumps(json.loads(line), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    except (ValueError, RecursionError):
        return False
    return False


FITS: dict[Any, Any] = {
    str: lambda token: token[:1] == b'"' or token == NULL,
    int: lambda token: WHOLE.fullmatch(token) is not None or token == NULL,
    bool: lambda token: token in (b"true", b"false", NULL),
}
ARROW: dict[Any, pa.DataType] = {str: pa.string(), int: pa.int64(), bool: pa.bool_()}


def texts(values: list[Any], hint: Any, *, quoted: bool) -> tuple[pa.Array, list[int]]:
    """A column as exact text, and the rows in which the path was not there. `quoted` keeps JSON's own writing (for JSON and sets)."""
    if hint is Raw:
        return _tokens(values, quoted=quoted)
    absent: list[int] = []
    try:
        array = pa.array(values, ARROW[hint])
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        # Some are not there, or some are longer than 64 bits.
        absent = [row for row, v in enumerate(values) if v is UNSET]
        array = pa.array([None if v is None or v is UNSET else str(v) for v in values], pa.string())
        return (pc.ascii_lower(array) if hint is bool else array), absent
    return (array if hint is str else array.cast(pa.string())), absent


def _tokens(values: list[Any], *, quoted: bool) -> tuple[pa.Array, list[int]]:
    out: list[bytes | str | None] = []
    absent = []
    for row, value in enumerate(values):
        if value is UNSET:
            absent.append(row)
            out.append(None)
            continue
        token = bytes(value)
        if token == NULL:
            out.append(None)
        elif quoted or token[:1] != b'"':
            out.append(token)
        elif b"\\" not in token:
            out.append(token[1:-1])
        else:
            out.append(msgspec.json.decode(token, type=str).encode())
    return pa.array(out, pa.binary()).cast(pa.string()), absent
