"""The escape hatch: `normalize=` functions over canonical values, row by row, outside the engine."""

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from recon.compare.batches import BAD, sample_of
from recon.compare.values import Unreadable, exact, written
from recon.compare.wire import wire
from recon.job import Field, Job


def normalized_fields(job: Job) -> tuple[Field, ...]:
    """The compared fields that have a function."""
    return tuple(f for f in job.compared if f.normalize is not None)


def normalized_schema(job: Job, schema: pa.Schema) -> pa.Schema:
    """The schema with a text column for each function's results."""
    return pa.schema([*schema, *(pa.field(f"_n_{f.name}", pa.string()) for f in normalized_fields(job))])


def normalized(job: Job, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Each batch with the functions' results beside its columns; a row whose value a function refuses is marked unreadable.

    A function is called with the wire value, never with null, once per distinct value of a batch; its result is
    compared as JSON.
    """
    wanted = normalized_schema(job, schema)
    for batch in batches:
        columns = {n: batch.column(n) for n in batch.schema.names}
        faults: dict[int, tuple[str, str, str]] = {}
        for f in normalized_fields(job):
            columns[f"_n_{f.name}"] = _called(f, batch.column(f.name), faults)
        if faults:
            for place, marker in enumerate(BAD):
                marks = columns[marker].to_pylist()
                unmarked = batch.column(BAD[0])
                for row, fault in faults.items():
                    if not unmarked[row].is_valid:
                        marks[row] = fault[place]
                columns[marker] = pa.array(marks, pa.string())
        yield pa.RecordBatch.from_arrays([columns[n] for n in wanted.names], schema=wanted)


def _called(f: Field, column: pa.Array, faults: dict[int, tuple[str, str, str]]) -> pa.Array:
    seen: dict[Any, str | Unreadable | None] = {None: None}
    out: list[str | None] = []
    for row, value in enumerate(column.to_pylist()):
        if value not in seen:
            seen[value] = _result(f, value)
        result = seen[value]
        if isinstance(result, Unreadable):
            faults.setdefault(row, (f.name, f"is refused by its normalize function: {result}", sample_of(value)))
            out.append(None)
        else:
            out.append(result)
    return pa.array(out, pa.string())


def _result(f: Field, value: Any) -> str | Unreadable | None:
    assert f.normalize is not None
    try:
        result = f.normalize(wire(f.of_kind, value))
        return None if result is None else written(exact(result))
    except Unreadable as error:
        return Unreadable("it returned something else" if f.personal else f"it returned {error}")
    except Exception as error:  # noqa: BLE001  # A user's function may raise anything; it concerns this value only.
        # What a function says of a value quotes it as a rule.
        return Unreadable(type(error).__name__ if f.personal else f"{type(error).__name__}: {error}")
