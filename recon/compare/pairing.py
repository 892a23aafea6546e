"""Pairs: both sides' rows of the same keys brought together in full, and what differs between them. For the few, not for the many."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from recon.compare.canonical import literal, name
from recon.compare.normalized import normalized_fields
from recon.compare.projection import MASK
from recon.compare.side import comparable, differs
from recon.compare.wire import fields_of, token
from recon.discrepancy import Discrepancy, DiscrepancyKind
from recon.job import Job

PAGE = 2_000


def columns_of(job: Job) -> list[str]:
    """The value columns of a side: the fields, and what `normalize` functions returned."""
    return [*(f.name for f in job.fields), *(f"_n_{f.name}" for f in normalized_fields(job))]


def kinds_by_place(job: Job) -> tuple[DiscrepancyKind, DiscrepancyKind]:
    """What it is called when only the provider has an item, and when only the store has it."""
    if job.direction == "inbound":
        return DiscrepancyKind.MISSING, DiscrepancyKind.EXTRA
    return DiscrepancyKind.EXTRA, DiscrepancyKind.MISSING


def pairs_sql(job: Job, provider: str, store: str) -> str:
    """A query over two relations of canonical rows, each key at most once on a side: one row per discrepancy.

    Columns: kind, key, `p_…` and `s_…` for each side's values, `p__mask`, and `changed`, the bits of the compared
    fields that differ.
    """
    only_provider, only_store = kinds_by_place(job)
    bits = []
    for place, f in enumerate(job.fields):
        if f.compare:
            column = comparable(f)
            condition = f"p.{MASK} & {1 << place}::ubigint <> 0 or {differs(f, f'p.{name(column)}', f's.{name(column)}')}"
            bits.append(f"case when {condition} then {1 << place}::uhugeint else 0::uhugeint end")
    values = [f"{side}.{name(c)} as {name(f'{side}_{c}')}" for side in ("p", "s") for c in columns_of(job)]
    joined = (
        f"select coalesce(p.key, s.key) as key, case when s.key is null then {literal(only_provider)} when p.key is null then {literal(only_store)} "
        f"else {literal(DiscrepancyKind.CHANGED)} end as kind, {', '.join(values)}, coalesce(p.{MASK}, 0)::ubigint as p_{MASK}, "
        f"case when p.key is null or s.key is null then 0::ubigint else cast({' + '.join(bits)} as ubigint) end as changed "
        f"from ({provider}) p full outer join ({store}) s on p.key = s.key"
    )
    return f"select kind, key, * exclude (kind, key) from ({joined}) where kind <> {literal(DiscrepancyKind.CHANGED)} or changed <> 0"


def discrepancy_of(job: Job, row: Mapping[str, Any]) -> Discrepancy:
    """A row of `pairs_sql` as events and reports want it."""
    kind = DiscrepancyKind(row["kind"])
    only_provider, only_store = kinds_by_place(job)
    names = columns_of(job)
    mask = row[f"p_{MASK}"]
    provider = None if kind is only_store else {c: row[f"p_{c}"] for c in names}
    store = None if kind is only_provider else {c: row[f"s_{c}"] for c in names}
    told = {
        "provider": (None, "") if provider is None else (fields_of(job, provider, mask), token(job, provider, mask)),
        "store": (None, "") if store is None else (fields_of(job, store), token(job, store)),
    }
    source, target = ("provider", "store") if job.direction == "inbound" else ("store", "provider")
    return Discrepancy(
        kind=kind,
        key=row["key"],
        source=told[source][0],
        target=told[target][0],
        changed=tuple(f.name for place, f in enumerate(job.fields) if row["changed"] >> place & 1),
        source_token=told[source][1],
        target_token=told[target][1],
    )


def read_discrepancies(job: Job, file: Path) -> Iterator[Discrepancy]:
    """The discrepancies that lie in a file, in its order, a page of them in memory at a time."""
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size=PAGE):
            for row in batch.to_pylist():
                yield discrepancy_of(job, row)
