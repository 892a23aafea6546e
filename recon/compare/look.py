"""The second look: the few suspects, read again by id on both sides, through the same canonical code."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from recon.compare.batches import BAD
from recon.compare.canonical import name
from recon.compare.limits import engine_faults, small
from recon.compare.pairing import columns_of, discrepancy_of, pairs_sql
from recon.compare.projection import MASK, Projector
from recon.compare.snapshot import Snapshot
from recon.compare.stream import Intake
from recon.compare.wire import token
from recon.discrepancy import Discrepancy
from recon.errors import StoreMismatch
from recon.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a second look at one key found. `discrepancy` is None when the sides agree; then, and where `unreadable` says that and why nothing can be said, look at the tokens."""

    discrepancy: Discrepancy | None = None
    provider_token: str = ""
    store_token: str = ""
    unreadable: str | None = None


def second_look(job: Job, items: Mapping[str, bytes | None], rows: "pa.Table") -> dict[str, Look]:
    """A Look for each key of `items`: its raw record as read by id just now, or None where it is proven absent.

    `rows` are the store's, in the columns of a scan; a key that none of them has is absent there. Raises StoreMismatch for
    columns that do not fit the job.
    """
    if not items:
        return {}
    with engine_faults(f"{job.domain}: the second look", None):
        engine = small()
        try:
            strange = _load_items(engine, job, {key: raw for key, raw in items.items() if raw is not None})
            _load_store(engine, job, rows)
            return _looks(engine, job, list(items), strange)
        finally:
            engine.close()


def unreadable(job: Job, items: Mapping[str, bytes]) -> dict[str, str]:
    """Which of these raw records, by the key that each was read by, the job cannot read, and why.

    Of a record that does not stand under its key nothing is said: it is of another shape than the one that the job declares.
    """
    if not items:
        return {}
    with engine_faults(f"{job.domain}: items that were read again", None):
        engine = small()
        try:
            _load_items(engine, job, items)
            return _faulty(engine, "provider")
        finally:
            engine.close()


def _load_items(engine: Any, job: Job, items: Mapping[str, bytes]) -> dict[str, str]:
    """Loads raw records as read by id; answers those that stand under another key than the one asked for."""
    projector = Projector(job, job.key_path or "key")
    together = pa.Table.from_batches([projector.item(raw, key) for key, raw in items.items()], projector.schema).combine_chunks()
    _load(engine, job, "provider", projector.schema, together.to_batches())
    there = {key for (key,) in engine.execute("select key from provider_rows").fetchall()}
    return dict.fromkeys(
        (key for key in items if key not in there), "the provider's record stands under another key than the one asked for"
    )


def listed_look(job: Job, snapshot: Snapshot, keys: Sequence[str], rows: "pa.Table") -> dict[str, Look]:
    """The same for keys as a second sealed listing has them: a key that is not in it is absent there, as far as the listing goes."""
    with engine_faults(f"{job.domain}: the second look", snapshot.folder):
        engine = small()
        try:
            engine.register("wanted", pa.table({"key": pa.array(list(keys), pa.string())}))
            columns = ", ".join(["key", *map(name, columns_of(job)), MASK, *BAD])
            engine.execute(
                f"create temp table provider_rows as select {columns} from read_parquet({_quoted(snapshot.source)}) where key in (select key from wanted)"
            )
            _load_store(engine, job, rows)
            aside: dict[str, str] = {}
            if snapshot.set_aside is not None:
                twice_or_bad = f"select key from read_parquet({_quoted(snapshot.set_aside)}) where key in (select key from wanted)"
                aside = dict.fromkeys(
                    (key for (key,) in engine.execute(twice_or_bad).fetchall()), "unreadable or twice in the second listing"
                )
            return _looks(engine, job, list(keys), aside)
        finally:
            engine.close()


def listed(snapshot: Snapshot, keys: Sequence[str]) -> set[str]:
    """Which of these keys a snapshot holds, be it in a record that cannot be read or more than once."""
    with engine_faults("looking up keys", snapshot.folder):
        engine = small()
        try:
            engine.register("wanted", pa.table({"key": pa.array(list(keys), pa.string())}))
            files = [file for file in (snapshot.source, snapshot.set_aside) if file is not None]
            found: set[str] = set()
            for file in files:
                asked = f"select key from read_parquet({_quoted(file)}) where key in (select key from wanted)"
                found |= {key for (key,) in engine.execute(asked).fetchall()}
            return found
        finally:
            engine.close()


def _load_store(engine: Any, job: Job, rows: "pa.Table") -> None:
    absent = [n for n in ("key", *(f.name for f in job.fields)) if n not in rows.schema.names]
    if absent:
        raise StoreMismatch(f"{job.domain}: the store's rows have no column {', '.join(absent)}")
    _load(engine, job, "store", rows.schema, rows.to_batches())


def _load(engine: Any, job: Job, place: Any, schema: pa.Schema, batches: list[pa.RecordBatch]) -> None:
    intake = Intake(engine, job, place)
    try:
        columns = ", ".join(["key", *map(name, columns_of(job)), MASK, *BAD])
        engine.execute(f"create temp table {place}_rows as select {columns} from ({intake.sql(f'{place}_raw', schema, iter(batches))})")
    finally:
        intake.close()


def _looks(engine: Any, job: Job, keys: Collection[str], known: Mapping[str, str]) -> dict[str, Look]:
    """A Look for each key, out of `provider_rows` and `store_rows`; `known` says of which nothing can be said, and why."""
    bad: dict[str, str] = {}
    for place in ("store", "provider"):
        for key, n in engine.execute(
            f"select key, count(*) from {place}_rows where key is not null group by key having count(*) > 1"
        ).fetchall():
            bad[key] = f"the {place} has it {n} times"
        bad |= _faulty(engine, place)
    for key, why in known.items():
        bad.setdefault(key, why)
    engine.register("aside", pa.table({"key": pa.array(list(bad), pa.string())}))
    sides = [f"select * from {place}_rows where key is not null and key not in (select key from aside)" for place in ("provider", "store")]
    tokens = {
        place: {row["key"]: token(job, row, row[MASK]) for row in _rows(engine, side)}
        for place, side in zip(("provider", "store"), sides, strict=True)
    }
    found = {row["key"]: discrepancy_of(job, row) for row in _rows(engine, pairs_sql(job, *sides))}
    return {
        key: Look(
            discrepancy=found.get(key),
            provider_token=tokens["provider"].get(key, ""),
            store_token=tokens["store"].get(key, ""),
            unreadable=bad.get(key),
        )
        for key in keys
    }


def _faulty(engine: Any, place: str) -> dict[str, str]:
    """The keys of records that cannot be read, each with why."""
    faults = engine.execute(
        f"select key, _bad_field, _bad_why from {place}_rows where _bad_field is not null and key is not null"
    ).fetchall()
    return {key: f"the {place}'s {where} {why}" if where else f"the {place}'s record {why}" for key, where, why in faults}


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _rows(engine: Any, sql: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = engine.sql(sql).to_arrow_table().to_pylist()
    return rows
