"""A side's Arrow batches before the engine sees them: what only Python does exactly, done per distinct value.

That is JSON and sets (numbers exact, keys and members sorted), case folding beyond ASCII, and the few Arrow types
that DuckDB does not take. Everything else passes through untouched, without a copy.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recon.compare.bulk import canonical_jsons, mostly_distinct
from recon.compare.canonical import Place, why_unreadable
from recon.compare.values import Unreadable, canonical_json, canonical_set
from recon.job import Job
from recon.kind import Json, Set, Text

BAD_FIELD, BAD_WHY, BAD_SAMPLE = "_bad_field", "_bad_why", "_bad_sample"
BAD = (BAD_FIELD, BAD_WHY, BAD_SAMPLE)
SAMPLE = 200

Convert = Callable[[Any], str | None]
Bulk = Callable[[pa.Array], pa.Array | None]


def sample_of(value: Any) -> str:
    """A short piece of a value, for the list of unreadable items."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text[:SAMPLE]


@dataclass(slots=True)
class Preparation:
    """What has to be done to each batch of one side; `schema` is what comes out."""

    job: Job
    place: Place
    given: pa.Schema
    schema: pa.Schema = field(init=False)
    _steps: dict[str, Callable[[pa.Array], pa.Array]] = field(init=False, default_factory=dict)
    _converts: dict[str, Convert] = field(init=False, default_factory=dict)
    _bulk: dict[str, Bulk] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        fields = []
        kinds = {"key": self.job.key} | {f.name: f.of_kind for f in self.job.fields}
        for column in self.given:
            kind = kinds.get(column.name)
            type_ = self._plan(column.name, kind, column.type)
            fields.append(pa.field(column.name, type_))
        if self._converts and BAD_FIELD not in self.given.names:
            fields += [pa.field(n, pa.string()) for n in BAD]
        self.schema = pa.schema(fields)

    def _plan(self, name: str, kind: Any, type_: pa.DataType) -> pa.DataType:
        """Notes the step for one column and answers the type it has afterwards."""
        if isinstance(kind, Json | Set):
            self._converts[name] = self._convert(name, kind)
            return pa.string()
        if isinstance(kind, Text) and kind.case == "fold":
            self._steps[name] = folded
            return pa.string()
        for unfit, fit, step in FITTING:
            if unfit(type_):
                self._steps[name] = step
                return fit(type_)
        return type_

    def _convert(self, name: str, kind: Json | Set) -> Convert:
        declared = self.job.field(name)
        if isinstance(kind, Json):
            self._bulk[name] = partial(canonical_jsons, empty_is_null=declared.empty_is_null)
            return partial(canonical_json, empty_is_null=declared.empty_is_null)
        mapping = declared.mapping or {} if self.place == "provider" else {}
        return partial(
            canonical_set, separator=kind.separator, quoted=self.place == "provider", mapping=mapping, empty_is_null=declared.empty_is_null
        )

    def batches(self, source: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Each batch, prepared."""
        for batch in source:
            yield self.prepared(batch)

    def prepared(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One batch, prepared; the rows of values that no conversion reads are marked."""
        if not self._steps and not self._converts:
            return batch
        columns = {n: batch.column(n) for n in batch.schema.names}
        for name, step in self._steps.items():
            columns[name] = step(columns[name])
        faults: dict[int, tuple[str, str, str]] = {}
        for name, convert in self._converts.items():
            why = why_unreadable(self.job.field(name).of_kind)
            columns[name] = converted(columns[name], convert, name, why, faults, bulk=self._bulk.get(name))
        if self._converts:
            self._mark(columns, faults, batch.num_rows)
        return pa.RecordBatch.from_arrays([columns[n] for n in self.schema.names], schema=self.schema)

    @staticmethod
    def _mark(columns: dict[str, pa.Array], faults: dict[int, tuple[str, str, str]], rows: int) -> None:
        for place, name in enumerate(BAD):
            before = columns.get(name)
            if not faults:
                columns[name] = before if before is not None else pa.nulls(rows, pa.string())
                continue
            marks = [None] * rows if before is None else before.to_pylist()
            for row, fault in faults.items():
                marks[row] = marks[row] or fault[place]
            columns[name] = pa.array(marks, pa.string())


def converted(
    column: pa.Array, convert: Convert, name: str, why: str, faults: dict[int, tuple[str, str, str]], *, bulk: Bulk | None = None
) -> pa.Array:
    """The column with each distinct value converted once; what does not convert becomes null and is noted in `faults` by row.

    `bulk` converts a whole array at once, or says None where it cannot; it answers what `convert` would.
    """
    if bulk is not None and pa.types.is_string(column.type) and mostly_distinct(column):
        done = bulk(column)
        if done is not None:
            return done
    if pa.types.is_nested(column.type) or not pa.types.is_string(column.type):
        values, indices = plain(column), None
    else:
        encoded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
        indices = encoded.indices
        done = bulk(encoded.dictionary) if bulk is not None else None
        if done is not None:
            return pc.take(done, indices)
        values = encoded.dictionary.to_pylist()
    out: list[str | None] = []
    bad: set[int] = set()
    for place, value in enumerate(values):
        try:
            out.append(None if value is None else convert(value))
        except Unreadable:
            out.append(None)
            bad.add(place)
    result = pa.array(out, pa.string())
    if bad:
        where = indices.to_pylist() if indices is not None else range(len(values))
        for row, place in enumerate(where):
            if place in bad:
                faults.setdefault(row, (name, why, sample_of(values[place])))
    return result if indices is None else pc.take(result, indices)


def plain(column: pa.Array) -> list[Any]:
    """The column as Python values; bytes as the text they are, maps as dicts. Bytes that are no text stay bytes."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    values = column.to_pylist()
    if pa.types.is_map(column.type):
        return [None if v is None else dict(v) for v in values]
    return [_text(v) for v in values]


def _text(value: Any) -> Any:
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def folded(column: pa.Array) -> pa.Array:
    """Case folded as Unicode has it; the common case, all ASCII, stays in Arrow."""
    if not pa.types.is_string(column.type):
        column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        # Of a slice that is cast, what comes after it would read offsets of the whole: a copy has its own.
        column = pc.cast(pa.concat_arrays([column, column.slice(0, 0)]), pa.string())
    if pc.all(pc.string_is_ascii(column), min_count=0).as_py():
        return pc.ascii_lower(column)
    return pa.array([None if v is None else v.casefold() for v in column.to_pylist()], pa.string())


def _microseconds(column: pa.Array) -> pa.Array:
    """Nanoseconds cut, towards the past, to microseconds."""
    zone = column.type.tz
    local = pc.cast(pc.cast(column, pa.int64()), pa.timestamp("ns"))
    cut = pc.cast(pc.floor_temporal(local, unit="microsecond"), pa.timestamp("us"))
    return pc.cast(pc.cast(cut, pa.int64()), pa.timestamp("us", zone))


FITTING: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType], pa.DataType], Callable[[pa.Array], pa.Array]], ...] = (
    (lambda t: pa.types.is_timestamp(t) and t.unit == "ns", lambda t: pa.timestamp("us", t.tz), _microseconds),
    (pa.types.is_decimal256, lambda _: pa.string(), lambda a: pc.cast(a, pa.string())),
    (pa.types.is_float16, lambda _: pa.float32(), lambda a: pc.cast(a, pa.float32())),
)
