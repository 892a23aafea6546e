"""The seam to a database of ours: what to read, and the Store protocol."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from recon.job import Job, Scalar, Sql, Table
from recon.kind import Kind, Text
from recon.versions import Versions

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a job reads from a store: `relation`, and per field the column or expression it comes from.

    `columns` maps field names to (column, None) or (None, expression); for an `Sql` relation the column is the name
    that the text gives it. `key_kind` is the job's kind of key: a store finds keys by it (`ABC` for `abc` where case is folded).
    """

    relation: Table | Sql
    columns: Mapping[str, tuple[str | None, str | None]]
    key_kind: Kind = Text()
    #: The versions of the job's events, for a store that reads a log of them.
    versions: Versions | None = None

    @classmethod
    def of(cls, job: Job) -> "Selection":
        """The job's selection."""
        columns = {f.name: (None, f.expression) if f.expression else (f.column or f.name, None) for f in job.fields}
        return cls(relation=job.table, columns=columns, key_kind=job.key, versions=job.chain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """An open read. `reader` yields Arrow batches: column `key`, then one per field, named as in the selection; single use.

    `key_unique` is True where the database itself guarantees that no key comes twice; else `duplicates` asks it, in the
    same transaction, and answers each key that is there more than once with its count (at most `limit`).
    `isolation` says in words what makes the read one consistent state, `taken_at` is the database's own clock.
    """

    reader: "pa.RecordBatchReader"
    key_unique: bool
    duplicates: "DuplicateQuery"
    isolation: str
    taken_at: datetime


class DuplicateQuery(Protocol):
    """Asks the database for keys that are there more than once."""

    def __call__(self, limit: int) -> Sequence[tuple[str, int]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreHealth:
    """What `recon doctor` wants to know; `writable` is None where it could not be found out."""

    server: str
    user: str | None
    writable: bool | None
    now: datetime
    readable_columns: bool
    detail: str = ""


@runtime_checkable
class Store(Protocol):
    """A database of ours, only ever read.

    Must: `scan` is one consistent, read-only transaction, streamed; a read that breaks off raises StoreUnreachable, never
    ends early. `get_many` answers rows for the keys that are there. Must not: write anything.
    """

    name: str

    def scan(self, selection: Selection) -> AbstractContextManager[Scan]:
        """Everything of the selection."""
        ...

    def get_many(self, selection: Selection, keys: Sequence[str]) -> "pa.Table":
        """The rows of these keys, read now, in the same columns as `scan`."""
        ...

    def statements(self, selection: Selection) -> Sequence[str]:
        """The SQL that `scan` and `get_many` will run, for `--show-sql`."""
        ...

    def health(self, selection: Selection | None) -> StoreHealth:
        """A look at connection, rights, clock and, given a selection, its columns."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def bound(params: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The parameters as a plain dict, for a driver."""
    return dict(params)
