"""The second look: the few suspects, read again by id on both sides, through the same canonical code."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from recon.compare.batches import BAD, BAD_FIELD, BAD_WHY
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
            provider = _load_items(engine, job, {key: raw for key, raw in items.items() if raw is not None})
            _load_store(engine, job, rows)
            there = {row["key"] for row in provider}
            strange = {
                key: "the provider's record stands under another key than the one asked for"
                for key, raw in items.items()
                if raw is not None and key not in there
            }
            return _looks(engine, job, list(items), strange, provider)
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
            rows = _load_items(engine, job, items)
            return _unreadable("provider", [row for row in rows if row["key"] in items])
        finally:
            engine.close()


def _load_items(engine: Any, job: Job, items: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Loads raw records as read by id; answers the rows that became of them."""
    projector = Projector(job, job.key_path or "key")
    together = pa.Table.from_batches([projector.item(raw, key) for key, raw in items.items()], projector.schema).combine_chunks()
    _load(engine, job, "provider", projector.schema, together.to_batches())
    return _rows(engine, "provider_rows")


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
            return _looks(engine, job, list(keys), aside, _rows(engine, "provider_rows"))
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


def _looks(engine: Any, job: Job, keys: Collection[str], known: Mapping[str, str], provider: list[dict[str, Any]]) -> dict[str, Look]:
    """A Look for each key, out of `provider_rows` (which are `provider`) and `store_rows`; `known` says of which nothing can be said, and why.

    They are few, and planning a query costs as much as reading them all: only what differs is the engine's to say.
    """
    store = _rows(engine, "store_rows")
    bad = {**known, **_unsaid("store", store), **_unsaid("provider", provider)}
    tokens = [{row["key"]: token(job, row, row[MASK]) for row in rows if _told(row, bad)} for rows in (provider, store)]
    sides = [f"select * from {place}_rows where key is not null" for place in ("provider", "store")]
    if bad:
        engine.register("aside", pa.table({"key": pa.array(list(bad), pa.string())}))
        sides = [f"{side} and key not in (select key from aside)" for side in sides]
    # What is alike in everything, and lacks nothing, differs in nothing.
    alike = _values(provider, bad) == _values(store, bad) and not any(row[MASK] for row in provider)
    found = {} if alike else {row["key"]: discrepancy_of(job, row) for row in _rows(engine, f"({pairs_sql(job, *sides)})")}
    return {
        key: Look(
            discrepancy=found.get(key),
            provider_token=tokens[0].get(key, ""),
            store_token=tokens[1].get(key, ""),
            unreadable=bad.get(key),
        )
        for key in keys
    }


def _unsaid(place: str, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Of which keys nothing can be said, and why: those that the side has twice, and, before that, those that it has unreadably."""
    times = Counter(row["key"] for row in rows if row["key"] is not None)
    return {**{key: f"the {place} has it {n} times" for key, n in times.items() if n > 1}, **_unreadable(place, rows)}


def _unreadable(place: str, rows: list[dict[str, Any]]) -> dict[str, str]:
    """The keys of records that cannot be read, each with why."""
    found: dict[str, str] = {}
    for row in rows:
        if row[BAD_FIELD] is not None and row["key"] is not None:
            where, why = row[BAD_FIELD], row[BAD_WHY]
            found[row["key"]] = f"the {place}'s {where} {why}" if where else f"the {place}'s record {why}"
    return found


def _values(rows: list[dict[str, Any]], bad: Collection[str]) -> dict[str, dict[str, Any]]:
    """Each key's values, of those of which something can be said."""
    beside = {MASK, *BAD}
    return {row["key"]: {n: value for n, value in row.items() if n not in beside} for row in rows if _told(row, bad)}


def _told(row: Mapping[str, Any], bad: Collection[str]) -> bool:
    return row["key"] is not None and row["key"] not in bad


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _rows(engine: Any, relation: str) -> list[dict[str, Any]]:
    """A relation's rows, few as they are. Not by way of a relation of the client's: that would plan the query twice."""
    cursor = engine.execute(f"select * from {relation}")
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
