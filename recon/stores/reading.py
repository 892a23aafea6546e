"""A read under way: why it broke off is remembered, so that an engine in between cannot turn it into its own error, or into an end."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pyarrow as pa

from recon.errors import StoreError


class Watch:
    """Wraps a stream of batches; `fault` is what broke it off, if anything did."""

    def __init__(self, translate: Callable[[Exception], StoreError]) -> None:
        self.fault: StoreError | None = None
        self._translate = translate

    def reader(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> pa.RecordBatchReader:
        """The batches as a reader of this schema."""
        return pa.RecordBatchReader.from_batches(schema, self._guarded(batches))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Around the whole use of the reader: a fault leaves as it was, even where the engine wrapped or swallowed it."""
        try:
            yield
        except Exception:
            if self.fault is not None:
                raise self.fault from None
            raise
        if self.fault is not None:
            raise self.fault

    def _guarded(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except StoreError as error:
            self.fault = error
            raise
        except Exception as error:  # noqa: BLE001 -- Whatever a driver raises, the read broke off.
            if isinstance(error.__context__, GeneratorExit):
                return  # It was let go of before its end, perhaps after its connection was: nobody waits for it any more.
            self.fault = self._translate(error)
            raise self.fault from None


def readable(column: pa.Array) -> pa.Array:
    """A text column whose bytes are not all UTF-8 with the odd bytes written in hexadecimal, after a backslash; others as they are.

    Arrow and the engine take the bytes on trust, and a database may not have checked them.
    """
    if not pa.types.is_string(column.type):
        return column
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        raw = column.cast(pa.binary()).to_pylist()
        return pa.array([None if value is None else value.decode(errors="backslashreplace") for value in raw], pa.string())
    return column
