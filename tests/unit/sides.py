"""Two sides to compare, built in memory: a spool of pages, and a scan over Arrow batches. No server is needed."""

import json
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from recon.compare import Limits, compare, seal
from recon.fetch.page import Unread
from recon.job import Job, Table
from recon.stores.base import Scan

ONE = Limits(memory="200MB", threads=1)


@dataclass
class Pages:
    """A spool's face over lines of raw JSON."""

    lines: list[bytes]
    page: int = 3
    unread: tuple[Unread, ...] = ()
    finished: bool = True

    @property
    def items(self):
        return len(self.lines)

    @property
    def unread_items(self):
        return len(self.unread)

    def frames(self):
        for start in range(0, len(self.lines), self.page):
            yield b"".join(line + b"\n" for line in self.lines[start : start + self.page])

    def counted(self):
        return ((frame, frame.count(b"\n")) for frame in self.frames())


def lines_of(records):
    """Records as a provider would write them."""
    return [json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() for record in records]


def job_of(*fields, **changes):
    """A job over these fields, its key at `id`."""
    return Job(
        **({"domain": "orders", "provider": "p", "resource": "r", "table": Table(name="t"), "fields": fields, "key_path": "id"} | changes)
    )


def scan_of(rows, types, *, unique=False, batch=4, key_type=None):
    """A scan over rows (dicts), with the Arrow type of each field; the double asks itself for duplicates as a database would."""
    schema = pa.schema([("key", key_type or pa.string()), *types.items()])
    table = pa.Table.from_pylist(rows, schema=schema)
    seen: dict = {}
    for row in rows:
        seen[row["key"]] = seen.get(row["key"], 0) + 1
    twice = [(str(key), n) for key, n in seen.items() if n > 1 and key is not None]
    return Scan(
        reader=pa.RecordBatchReader.from_batches(schema, table.to_batches(max_chunksize=batch)),
        key_unique=unique,
        duplicates=lambda limit: [] if unique else twice[:limit],
        isolation="in memory",
        taken_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def compared(job, lines, scan, folder: Path | None = None, limits=ONE, **pages):
    """The whole way: seal, compare, and the discrepancies as a list."""
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary) / "run"
        snapshot = seal(job, Pages(lines, **pages), job.key_path, place, limits=limits)
        found = compare(job, snapshot, scan, limits=limits)
        return snapshot, found, list(found.discrepancies())
