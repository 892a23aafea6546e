"""A store's Arrow stream on its way into the engine, watched: a stream that breaks off never ends early in silence."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any, Final

import duckdb
import pyarrow as pa

from recon.compare.batches import Preparation
from recon.compare.canonical import Place, refuse_unfit_key
from recon.compare.limits import Limits, connect
from recon.compare.normalized import normalized, normalized_fields, normalized_schema
from recon.compare.side import Side
from recon.errors import ReconError, StoreUnreachable
from recon.job import Job

AHEAD = 3
"""Batches read ahead (16 MB each from PostgreSQL's driver): the store goes on sending while the engine is busy."""

END: Final = object()

MOST_SCHEMAS = 256
_TYPES: dict[bytes, dict[str, str]] = {}


@dataclass(slots=True)
class Watched:
    """A single-use stream, read ahead by a thread: counts its rows, keeps what it failed with, knows whether it was read to its end."""

    source: "pa.RecordBatchReader"
    rows: int = 0
    finished: bool = False
    fault: BaseException | None = None
    _queue: Queue[Any] = field(default_factory=lambda: Queue(AHEAD))
    _stopped: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        self._thread = Thread(target=self._read, name="store-reader", daemon=True)
        self._thread.start()
        while (batch := self._queue.get()) is not END:
            self.rows += batch.num_rows
            yield batch
        if self.fault is not None:
            raise self.fault
        self.finished = True

    def _read(self) -> None:
        try:
            for batch in self.source:
                self._queue.put(batch)
                if self._stopped.is_set():
                    break
        except BaseException as error:  # noqa: BLE001  # Raised again where the batches are taken.
            self.fault = error
        finally:
            self._queue.put(END)

    def close(self) -> None:
        """Lets the reading thread go; the stream may be in the middle. After it nobody touches the source any more."""
        self._stopped.set()
        if self._thread is None:
            return
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except Empty:
                continue
        self._thread.join()

    def demand_whole(self, domain: str) -> None:
        """Raises what the stream failed with, as StoreUnreachable unless it is an error of ours; also when it was left unread."""
        if isinstance(self.fault, ReconError):
            raise self.fault
        if self.fault is not None:
            text = str(self.fault).splitlines()[0] if str(self.fault) else type(self.fault).__name__
            raise StoreUnreachable(
                f"{domain}: reading the store broke off after {self.rows:,} rows: {text}",
                hint="nothing was compared; run it again, the fetched pages are kept",
            ) from self.fault
        if not self.finished:
            raise StoreUnreachable(
                f"{domain}: the store's rows were not read to their end ({self.rows:,} rows)", hint="nothing was compared; run it again"
            )


@dataclass(slots=True)
class Intake:
    """Registers a side's batches with an engine and answers the SQL of its canonical rows.

    With `normalize` functions there are two engines in a row, the functions between them: the slow path.
    """

    engine: duckdb.DuckDBPyConnection
    job: Job
    place: Place
    _before: duckdb.DuckDBPyConnection | None = field(default=None)

    def sql(self, label: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> str:
        """The query over the batches; they are read once, when it runs."""
        refuse_unfit_key(self.job.domain, self.job.key)
        prepared = Preparation(self.job, self.place, schema)
        reader = pa.RecordBatchReader.from_batches(prepared.schema, prepared.batches(batches))
        side = Side(self.job, self.place, engine_types(self.engine, prepared.schema))
        if not normalized_fields(self.job):
            self.engine.register(label, reader)
            return side.sql(label)
        self._before = connect(Limits(memory="256MB"))
        self._before.register(label, reader)
        first = self._before.sql(side.sql(label)).to_arrow_reader(50_000)
        second = normalized(self.job, first.schema, first)
        self.engine.register(label, pa.RecordBatchReader.from_batches(normalized_schema(self.job, first.schema), second))
        return f"select * from {label}"

    def close(self) -> None:
        """Ends the engine in front, if there was one."""
        if self._before is not None:
            self._before.close()
            self._before = None


def engine_types(engine: duckdb.DuckDBPyConnection, schema: pa.Schema) -> dict[str, str]:
    """The engine's name for each column's type; a schema is asked about once, since a night's few chunks of suspects all have the same."""
    # As bytes: two schemas are equal to Arrow that differ in their metadata, which says what is JSON and what is a UUID.
    asked = schema.serialize().to_pybytes()
    known = _TYPES.get(asked)
    if known is not None:
        return dict(known)
    engine.register("_shape", schema.empty_table())
    try:
        found = {row[0]: row[1] for row in engine.execute("describe select * from _shape").fetchall()}
    finally:
        engine.unregister("_shape")
    if len(_TYPES) < MOST_SCHEMAS:
        _TYPES[asked] = found
    return dict(found)
