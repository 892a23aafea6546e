"""Snapshot: the provider's side as it stood, canonical and columnar on disk, sealed by a manifest that is written last.

A folder holds `source.parquet` (readable items whose key came once), `set_aside.parquet` (the keys that are not to be
compared: unreadable, or there more than once; only if there are any) and `manifest.json`.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import duckdb
import msgspec

from recon.compare.limits import Limits, connect, engine_faults
from recon.compare.projection import Projector
from recon.compare.stream import Intake
from recon.errors import LocalFault
from recon.fetch.page import Unread
from recon.job import Job
from recon.report.figures import Duplicate, Unreadable

VERSION = 1
SHOWN = 1_000
"""How many duplicates and unreadable items are listed; all are counted."""


class Pages(Protocol):
    """What sealing needs of a spool (`recon.fetch.spool.Spool`), or of one that still grows (`recon.fetch.following.Following`).

    The counts are read once the pages are.
    """

    @property
    def finished(self) -> bool:
        """Whether every page is there already."""
        ...

    @property
    def items(self) -> int:
        """Readable items."""
        ...

    @property
    def unread(self) -> list[Unread]:
        """Items that could not be read, the first of them."""
        ...

    @property
    def unread_items(self) -> int:
        """How many could not be read."""
        ...

    def counted(self) -> Iterator[tuple[bytes, int]]:
        """The records of each page, one a line, and how many they are."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A sealed snapshot. Counts are of items: `records` all of them, `rows` those that can be compared."""

    folder: Path
    records: int
    rows: int
    unreadable_items: int
    duplicate_keys: int
    #: Rows in which a compared field was not there at all, and that is not declared to be null: they differ from every row of a store.
    marked: int
    declaration: str
    engine: str
    duplicates: tuple[Duplicate, ...] = field(default=())
    unreadable: tuple[Unreadable, ...] = field(default=())

    @property
    def source(self) -> Path:
        """The canonical rows."""
        return self.folder / "source.parquet"

    @property
    def set_aside(self) -> Path | None:
        """The keys that are not to be compared, if there are any."""
        path = self.folder / "set_aside.parquet"
        return path if path.exists() else None


def declaration_of(job: Job, key_path: str) -> str:
    """A hash of everything in a job that shapes its snapshot."""
    fields = [
        [
            f.name,
            repr(f.of_kind),
            f.at,
            dict(sorted((f.mapping or {}).items())),
            f.missing_is_null,
            f.empty_is_null,
            f.compare,
            f.normalize and _code_of(f.normalize),
        ]
        for f in job.fields
    ]
    return hashlib.sha256(msgspec.json.encode([VERSION, job.domain, repr(job.key), key_path, fields])).hexdigest()


def _code_of(function: Any) -> str:
    """A user's function, by what it does: its name, code and constants."""
    code = getattr(function, "__code__", None)
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', function)}"
    return (
        name
        if code is None
        else f"{name}:{hashlib.sha256(code.co_code).hexdigest()}:{[c for c in code.co_consts if not hasattr(c, 'co_code')]!r}"
    )


def seal(job: Job, spool: Pages, key_path: str, folder: Path, *, limits: Limits) -> Snapshot:
    """Makes the spooled records a snapshot in `folder`; one that is there already, of the same declaration and pages, is taken as it is.

    Raises LocalFault where this machine cannot write it, and when the spool does not hold what it says.
    """
    declaration = declaration_of(job, key_path)
    there = opened(folder)
    if (
        there is not None
        and spool.finished
        and there.declaration == declaration
        and there.records == spool.items + spool.unread_items
        and there.engine == duckdb.__version__
    ):
        return there
    with engine_faults(f"{job.domain}: sealing the snapshot", folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for stale in ("manifest.json", "set_aside.parquet", "source.parquet", "staged.parquet"):
            (folder / stale).unlink(missing_ok=True)
        blank = Snapshot(
            folder=folder,
            records=0,
            rows=0,
            unreadable_items=0,
            duplicate_keys=0,
            marked=0,
            declaration=declaration,
            engine=duckdb.__version__,
        )
        engine = connect(limits, folder)
        try:
            _stage(engine, job, spool, Projector(job, key_path), folder / "staged.parquet")
            snapshot = _split(engine, job, blank, folder / "staged.parquet", spool.unread_items - len(spool.unread))
        finally:
            engine.close()
        _write_manifest(snapshot)
    return snapshot


def _stage(engine: duckdb.DuckDBPyConnection, job: Job, spool: Pages, projector: Projector, staged: Path) -> None:
    """Writes every item down, canonical, the unreadable ones marked."""
    intake = Intake(engine, job, "provider")
    failures: list[BaseException] = []
    try:
        sql = intake.sql("provider_raw", projector.schema, _kept(projector.batches(spool.counted(), _unread(spool)), failures))
        engine.execute(f"copy ({sql}) to {_path(staged)} (format parquet, compression snappy)")
    except duckdb.Error:
        if failures:
            raise failures[0] from None
        raise
    finally:
        intake.close()
    read = projector.records - len(spool.unread)
    if read != spool.items:
        raise LocalFault(
            f"{job.domain}: the spool says {spool.items:,} items, and {read:,} were read from it",
            hint="remove the run's folder and fetch anew",
        )


def _unread(spool: Pages) -> Iterator[Unread]:
    """What the fetch could not read, asked for when the pages are through."""
    yield from spool.unread


def _kept(batches: Iterator[Any], failures: list[BaseException]) -> Iterator[Any]:
    """The batches; what breaks them off is kept, since the engine would tell it in words of its own."""
    try:
        yield from batches
    except Exception as error:
        failures.append(error)
        raise


def _split(engine: duckdb.DuckDBPyConnection, job: Job, blank: Snapshot, staged: Path, unlisted: int) -> Snapshot:
    """Counts what cannot be compared and sets it aside; `unlisted` items were unreadable to the fetch and are known by number only."""
    file, source, aside = _path(staged), blank.source, blank.folder / "set_aside.parquet"
    duplicates = duplicate_keys(engine, f"read_parquet({file})", "twice")
    wanted = sum(1 << place for place, f in enumerate(job.fields) if f.compare)
    records, bad, marked = _row(
        engine,
        f"select count(*), count(_bad_field), count(*) filter (where _bad_field is null and _mask & {wanted}::ubigint <> 0) from read_parquet({file})",
    )
    unreadable: list[tuple[Any, ...]] = []
    shown: list[tuple[Any, ...]] = []
    rows = records
    if bad or duplicates:
        unreadable = engine.execute(
            f"select key, _bad_field, _bad_why, _bad_sample from read_parquet({file}) where _bad_field is not null order by key nulls last, _bad_sample limit {SHOWN}"
        ).fetchall()
        shown = engine.execute(f"select key, n from twice order by key limit {SHOWN}").fetchall()
        engine.execute(
            f"create temp table aside as select key from twice union select distinct key from read_parquet({file}) where _bad_field is not null and key is not null"
        )
        engine.execute(f"copy (select key from aside order by key) to {_path(aside)} (format parquet)")
        engine.execute(
            f"copy (select * from read_parquet({file}) p where _bad_field is null and not exists (select 1 from aside a where a.key = p.key)) "
            f"to {_path(source)} (format parquet, compression snappy)"
        )
        (rows,) = _row(engine, f"select count(*) from read_parquet({_path(source)})")
        staged.unlink()
    else:
        staged.replace(source)
    return replace(
        blank,
        records=records + unlisted,
        rows=rows,
        unreadable_items=bad + unlisted,
        duplicate_keys=duplicates,
        marked=marked,
        duplicates=tuple(Duplicate(place="provider", key=key, count=n) for key, n in shown),
        unreadable=tuple(_unreadable("provider", *row) for row in unreadable),
    )


def _unreadable(place: str, key: str | None, field_name: str | None, why: str | None, sample: str | None) -> Unreadable:
    return Unreadable(place=place, key=key, field=field_name or None, why=why or "", sample=sample or "")


def duplicate_keys(engine: duckdb.DuckDBPyConnection, relation: str, table: str) -> int:
    """Makes `table(key, n)` of the keys that are there more than once, and answers how many.

    First by hash, whose groups are small and bounded whatever the keys' length, then exactly among those few.
    """
    (hashes,) = _row(
        engine,
        f"create or replace temp table _hashes as select hash(key) as h from {relation} where key is not null group by h having count(*) > 1",
    )
    if not hashes:
        engine.execute(f"create or replace temp table {table} (key varchar, n bigint)")
        return 0
    (found,) = _row(
        engine,
        f"create or replace temp table {table} as select key, count(*)::bigint as n from {relation} "
        "where key is not null and hash(key) in (select h from _hashes) group by key having count(*) > 1",
    )
    return int(found)


def _row(engine: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    row = engine.execute(sql).fetchone()
    assert row is not None
    return row


def _path(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _write_manifest(snapshot: Snapshot) -> None:
    """The seal: after it is there, everything else is."""
    body = msgspec.to_builtins(snapshot, enc_hook=str)
    body.pop("folder")
    for name in ("source.parquet", "set_aside.parquet"):
        path = snapshot.folder / name
        if path.exists():
            _sync(path)
    temporary = snapshot.folder / "manifest.json.part"
    with temporary.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode({"version": VERSION, **body}), indent=1))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(snapshot.folder / "manifest.json")
    _sync(snapshot.folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def opened(folder: Path) -> Snapshot | None:
    """The sealed snapshot in a folder, or None where there is none that this version wrote."""
    try:
        body = msgspec.json.decode((folder / "manifest.json").read_bytes())
        if body.pop("version") != VERSION or not (folder / "source.parquet").exists():
            return None
        return msgspec.convert({**body, "folder": str(folder)}, Snapshot, dec_hook=lambda wanted, value: wanted(value))
    except (OSError, msgspec.MsgspecError, KeyError, AttributeError):
        return None
