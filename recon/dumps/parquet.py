"""Parquet: its footer says how many rows there are, and stands at the end, so a file that is cut cannot be opened at all."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from recon.errors import InvalidPage
from recon.fetch.page import Unread

BATCH = 5_000
SAMPLE = 2048
encode = msgspec.json.Encoder(decimal_format="string").encode


def parquet_rows(path: Path, name: str) -> Iterator[bytes | Unread]:
    """Every row as a JSON object: decimals and times as texts, exactly; a row with bytes, NaN or infinity in it is unreadable.

    Raises InvalidPage for a file that is none, and where another number of rows came than the footer says.
    """
    try:
        with pq.ParquetFile(path) as file:
            wanted, count = file.metadata.num_rows, 0
            for batch in file.iter_batches(batch_size=BATCH):
                for row in _exact(batch).to_pylist():
                    count += 1
                    yield _record(row, count)
    except (pa.ArrowException, OSError) as error:
        msg = f"{name}: cannot be read as Parquet: {' '.join(str(error).split())[:200]}"
        raise InvalidPage(msg, hint="fetch the file again; it was cut on its way, or it is no Parquet") from None
    if count != wanted:
        msg = f"{name}: its footer says {wanted:,} rows, and {count:,} were read"
        raise InvalidPage(msg)


def _exact(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Times to the nanosecond as texts: Python has none so fine."""
    columns = [
        column.cast(pa.string()) if pa.types.is_timestamp(column.type) and column.type.unit == "ns" else column for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _record(row: dict[str, Any], number: int) -> bytes | Unread:
    why = next((f"row {number:,}: column {column} {why}" for column, value in row.items() if (why := _unfit(value))), None)
    if why is None:
        return encode(row)
    fit = {column: value for column, value in row.items() if not _unfit(value)}
    return Unread(raw=encode(fit)[:SAMPLE], why=why)


def _unfit(value: Any) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return f"holds {value}, which JSON has not"
    if isinstance(value, bytes):
        return "holds bytes"
    if isinstance(value, dict):
        return next((why for inner in value.values() if (why := _unfit(inner))), None)
    if isinstance(value, list | tuple):
        return next((why for inner in value if (why := _unfit(inner))), None)
    return None
