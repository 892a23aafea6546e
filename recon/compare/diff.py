"""The comparison: a sealed snapshot against the store's stream, in the engine, in bounded memory.

The narrow join: of the provider's rows only two hashes of 64 bits and the row's place in the snapshot are kept in memory; the store's
rows stream past them, are made canonical on the way, and are forgotten where both hashes are there. What is left
on either side, which is little, is then joined by key in full for the fields that differ. The hashes are the engine's
own, over canonical values; they never leave the run.

One is of the key, the other of the key and the fields. The engine's hash of several values is made from the hash of each, so two keys
of one hash would have one hash with the same fields as well; in the second the key is therefore salted, which makes the two
independent. Rows of different keys are taken for one another with a probability of both sides' rows multiplied / 2**128 (3e-25 for
ten million each), a changed row for its old self with one of changed rows / 2**64 (5e-13 if all ten million have changed).
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from recon.compare.batches import BAD
from recon.compare.canonical import name, one_to_one
from recon.compare.limits import Limits, connect, local_fault
from recon.compare.pairing import columns_of, kinds_by_place, pairs_sql, read_discrepancies
from recon.compare.projection import MASK
from recon.compare.side import comparable
from recon.compare.snapshot import SHOWN, Snapshot, duplicate_keys
from recon.compare.stream import Intake, Watched, engine_types
from recon.discrepancy import Discrepancy, DiscrepancyKind
from recon.errors import LocalFault, StoreMismatch
from recon.job import Job
from recon.report.figures import Duplicate, Unreadable
from recon.stores.base import Scan

MOST_DUPLICATES = 1_000_000
"""More keys than this that are there twice mean that the column is no key."""

SUSPECTS = "suspects.parquet"
CONTROLS = 5
"""How many keys are kept to be held against a 404: one of them may itself be deleted before it is asked for."""

ASIDE = "aside.parquet"

KEY_HASH = "hash(key)"
NO_KEYS = pa.table({"key": pa.array([], pa.string())})


def row_hash(job: Job) -> str:
    """The hash of the key and the compared fields; what stands in front of the key moves every byte of it to another place of the hash."""
    return f"hash(concat('~', key), {', '.join(name(comparable(f)) for f in job.compared)})"


@dataclass(slots=True, kw_only=True)
class Comparison:
    """What a comparison found. Counts are of rows or keys; the discrepancies themselves lie on disk."""

    job: Job
    file: Path
    provider_rows: int
    store_rows: int
    #: Keys that both sides have, readable and once on each.
    compared: int
    equal: int
    counts: dict[DiscrepancyKind, int]
    by_field: dict[str, int]
    duplicate_keys: int = 0
    duplicates: list[Duplicate] = field(default_factory=list)
    unreadable_items: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)
    #: How many of `unreadable_items` the store holds.
    store_unreadable: int = 0
    #: Rows of the store that a partial fetch did not come to: nothing is said of them.
    unjudged: int = 0
    controls: tuple[str, ...] = ()

    def discrepancies(self) -> Iterator[Discrepancy]:
        """The suspects, sorted by kind and key; unreadable items and duplicates are never among them."""
        return read_discrepancies(self.job, self.file)

    def set_aside(self) -> Iterator[str]:
        """The keys of which nothing can be said: unreadable, or there twice, on either side; sorted."""
        with pq.ParquetFile(self.file.with_name(ASIDE)) as parquet:
            for batch in parquet.iter_batches(columns=["key"]):
                yield from batch.column("key").to_pylist()

    def control_key(self) -> str | None:
        """The first of `controls`: keys that the provider certainly has and that are no suspects, equal on both sides where there are such."""
        return self.controls[0] if self.controls else None


def compare(job: Job, snapshot: Snapshot, scan: Scan, *, limits: Limits, whole: bool = True, no_controls: Sequence[str] = ()) -> Comparison:
    """Streams the store's side past the snapshot. `no_controls` are keys that prove nothing of the listing, so they are none of its `controls`.

    With `whole=False` the snapshot holds a part of what the provider has: that a row of the store is not in it says nothing, so such
    rows are no suspects, and are counted as `unjudged`.
    Raises StoreUnreachable when the stream breaks off (a short read is never compared), StoreMismatch when its columns
    do not fit the job, LocalFault when this machine has no room.
    """
    _demand_columns(job, scan.reader.schema)
    stream = Watched(scan.reader)
    intake: Intake | None = None
    engine = connect(limits, snapshot.folder)
    try:
        intake = Intake(engine, job, "store")
        return _Work(engine, job, snapshot, scan, stream, whole, no_controls).run(intake)
    except (duckdb.Error, OSError) as error:
        if stream.fault is not None:
            stream.demand_whole(job.domain)
        raise local_fault(f"{job.domain}: comparing", snapshot.folder, error) from error
    finally:
        stream.close()
        engine.close()
        if intake is not None:
            intake.close()
        with suppress(OSError):  # It is overwritten the next time, and nothing reads it.
            (snapshot.folder / "store.parquet").unlink(missing_ok=True)


def _demand_columns(job: Job, schema: pa.Schema) -> None:
    absent = [n for n in ("key", *(f.name for f in job.fields)) if n not in schema.names]
    if absent:
        raise StoreMismatch(f"{job.domain}: the store's rows have no column {', '.join(absent)}; they have {', '.join(schema.names)}")


@dataclass(slots=True)
class _Work:
    """One comparison, step by step."""

    engine: duckdb.DuckDBPyConnection
    job: Job
    snapshot: Snapshot
    scan: Scan
    stream: Watched
    whole: bool
    no_controls: Sequence[str]
    # How many there are, as far as the work has come. Planning a query costs a few records more than running it, and most nights have
    # none of these: what is known to be empty is not asked.
    #: Keys that the store has twice: `store_twice`, a table where there are any.
    twice: int | None = None
    #: Keys of which nothing can be said: `aside`, likewise.
    aside: int = 0
    #: Rows in `unmatched`: the provider's, the store's, and those of the store's that cannot be read.
    unpaired_provider: int = 0
    unpaired_store: int = 0
    store_bad: int = 0
    #: Rows in `suspects`, a table where anything is left over on either side.
    suspects: int = 0

    def run(self, intake: Intake) -> Comparison:
        store = self._store_sql(intake)
        self._narrow_join(store)
        self.stream.demand_whole(self.job.domain)
        self._set_aside()
        self._suspects()
        return self._counted()

    # -- the many ------------------------------------------------------------------------------------------

    def _store_sql(self, intake: Intake) -> str:
        schema = self.scan.reader.schema
        sql = intake.sql("store_raw", schema, iter(self.stream))
        if one_to_one(self.job.key, engine_types(self.engine, pa.schema([schema.field("key")]))["key"]):
            return sql
        # Two keys of the store may become one canonical key (`A1` and `a1`, `7` and `07`): its own word on duplicates
        # does not hold, so its rows are written down first and counted here.
        file = _quoted(self.snapshot.folder / "store.parquet")
        self.engine.execute(f"copy ({sql}) to {file} (format parquet, compression snappy)")
        self.stream.demand_whole(self.job.domain)
        self.twice = duplicate_keys(self.engine, f"read_parquet({file})", "store_twice")
        return f"select * from read_parquet({file}) r where _bad_field is not null or not exists (select 1 from store_twice t where t.key = r.key)"

    def _narrow_join(self, store: str) -> None:
        """Leaves in `unmatched` the rows of either side that have no equal on the other: the store's in full, the provider's by their place."""
        wanted = sum(1 << place for place, f in enumerate(self.job.fields) if f.compare)
        provider_row = row_hash(self.job)
        if self.snapshot.marked:
            # A field that was not there equals nothing the store could hold: such rows get a hash that none has.
            provider_row = f"case when {MASK} & {wanted}::ubigint = 0 then {provider_row} end"
        columns = ", ".join(["key", *map(name, columns_of(self.job)), *BAD])
        # The optimiser takes an Arrow stream for one row and would build on it; the spooled side is the one to build on.
        self.engine.execute("set disabled_optimizers = 'build_side_probe_side,join_order'")
        self.engine.execute(
            f"create temp table unmatched as select s.* exclude (_key_hash, _row_hash), p._place, p._key_hash from "
            f"(select {columns}, {KEY_HASH} as _key_hash, case when _bad_field is null then {row_hash(self.job)} end as _row_hash from ({store})) s "
            f"full outer join (select {KEY_HASH} as _key_hash, {provider_row} as _row_hash, file_row_number::uinteger as _place "
            f"from {self._source(place=True)}) p "
            f"on s._key_hash = p._key_hash and s._row_hash = p._row_hash where s._row_hash is null or p._place is null"
        )
        self.engine.execute("set disabled_optimizers = ''")

    def _source(self, *, place: bool = False) -> str:
        return f"read_parquet({_quoted(self.snapshot.source)}{', file_row_number = true' if place else ''})"

    # -- the few -------------------------------------------------------------------------------------------

    def _set_aside(self) -> None:
        """Gathers the keys of which nothing can be said: there twice, or unreadable, on either side."""
        rows, self.unpaired_provider, self.store_bad = self._all("select count(*), count(_place), count(_bad_field) from unmatched")[0]
        self.unpaired_store = rows - self.unpaired_provider
        if self.twice is None:
            self.twice = self._ask_for_duplicates()
        keys = ["select key from unmatched where _bad_field is not null and key is not null"] if self.store_bad else []
        if self.twice:
            keys.append("select key from store_twice")
        if self.snapshot.set_aside is not None:
            keys.append(f"select key from read_parquet({_quoted(self.snapshot.set_aside)})")
        if keys:
            self.aside = self._one(f"create temp table aside as {' union '.join(keys)}")

    def _ask_for_duplicates(self) -> int:
        if self.scan.key_unique:
            return 0
        found = list(self.scan.duplicates(MOST_DUPLICATES + 1))
        if len(found) > MOST_DUPLICATES:
            raise StoreMismatch(
                f"{self.job.domain}: more than {MOST_DUPLICATES:,} keys are in the store more than once: that column is no key",
                hint="name the column that identifies an item as the table's key",
            )
        if not found:
            return 0
        table = pa.table({"key": pa.array([str(k) for k, _ in found], pa.string()), "n": pa.array([n for _, n in found], pa.int64())})
        self.engine.register("told", table)
        twice = self._one("create temp table store_twice as select key, n from told where key is not null")
        self.engine.unregister("told")
        return twice

    def _suspects(self) -> None:
        """Joins what is left by key, in full, and writes down what differs, in order; and the keys that are set aside."""
        file, aside = self.snapshot.folder / SUSPECTS, self.snapshot.folder / ASIDE
        if self.unpaired_provider or self.unpaired_store:
            self.suspects = self._joined(file)
        else:
            self._demand_one_to_one(0)
            pq.write_table(NO_KEYS, file)
        if self.aside:
            self.engine.execute("set preserve_insertion_order = true")
            self.engine.execute(f"copy (select distinct key from aside order by key) to {_quoted(aside)} (format parquet)")
        else:
            pq.write_table(NO_KEYS, aside)

    def _joined(self, file: Path) -> int:
        """What is left on either side, joined; answers how many suspects that makes."""
        # By the key's hash, so that a row of the same key that was paired would be seen beside its twin.
        near = self._one(
            f"create temp table near as select p.* from {self._source(place=True)} p "
            f"where {KEY_HASH} in (select _key_hash from unmatched where _place is not null)"
        )
        self._demand_one_to_one(near)
        kept = " and not exists (select 1 from aside a where a.key = r.key)" if self.aside else ""
        provider = f"select * from near r where file_row_number in (select _place from unmatched where _place is not null){kept}"
        store = f"select * from unmatched r where _place is null and _bad_field is null{kept}"
        if not self.whole:
            # What the listing was not read far enough to show may well be there.
            self.engine.execute(f"create temp table provider_left as {provider}")
            provider = "select * from provider_left"
            store += " and exists (select 1 from provider_left p where p.key = r.key)"
        suspects = self._one(f"create temp table suspects as {pairs_sql(self.job, provider, store)}")
        self.engine.execute("set preserve_insertion_order = true")
        self.engine.execute(f"copy (select * from suspects order by kind, key) to {_quoted(file)} (format parquet, compression snappy)")
        return suspects

    def _demand_one_to_one(self, near: int) -> None:
        """Each key is once on each side, so as many rows of one side were paired as of the other: the two words for it, held against the rows."""
        twins = self._one("select count(*) - count(distinct key) from near") if near > 1 else 0
        if twins:
            raise LocalFault(
                f"{self.job.domain}: the sealed snapshot in {self.snapshot.folder} holds {twins:,} keys more than once, and its seal says none",
                hint="remove that folder and run again; the fetched pages are kept",
            )
        provider, store = self.snapshot.rows - self.unpaired_provider, self.stream.rows - self.unpaired_store
        if provider != store and not self.twice:
            raise StoreMismatch(
                f"{self.job.domain}: {store:,} rows of the store were found equal to {provider:,} of the provider's: "
                "the store has keys twice, though its index says that it has not",
                hint="rebuild the unique index of the table's key, and look for rows that break it",
            )

    # -- the counts ----------------------------------------------------------------------------------------

    def _counted(self) -> Comparison:
        counts, by_field = self._by_kind_and_field()
        # A row of the provider's that is left and has no partner is a suspect of the one kind that only the provider's rows are of.
        compared = self.snapshot.rows - self._aside_rows() - counts[kinds_by_place(self.job)[0]]
        return Comparison(
            job=self.job,
            file=self.snapshot.folder / SUSPECTS,
            provider_rows=self.snapshot.records,
            store_rows=self.stream.rows,
            compared=compared,
            equal=compared - counts[DiscrepancyKind.CHANGED],
            counts=counts,
            by_field=by_field,
            duplicate_keys=(self.twice or 0) + self.snapshot.duplicate_keys,
            duplicates=self._duplicates(),
            unreadable_items=self.store_bad + self.snapshot.unreadable_items,
            unreadable=self._unreadable(),
            store_unreadable=self.store_bad,
            unjudged=self._unjudged() if self.unpaired_store and not self.whole else 0,
            controls=self._controls(),
        )

    def _by_kind_and_field(self) -> tuple[dict[DiscrepancyKind, int], dict[str, int]]:
        """How many suspects there are of each kind, and in how many of them each field differs."""
        bits = [(place, f.name) for place, f in enumerate(self.job.fields) if f.compare]
        sums = "".join(f", count(*) filter (where changed & {1 << place}::ubigint <> 0)" for place, _ in bits)
        rows = self._all(f"select kind, count(*){sums} from suspects group by kind") if self.suspects else []
        counts = dict.fromkeys(DiscrepancyKind, 0) | {DiscrepancyKind(kind): n for kind, n, *_ in rows}
        by_field = {name: sum(row[2 + place] for row in rows) for place, (_, name) in enumerate(bits)}
        return counts, {name: n for name, n in by_field.items() if n}

    def _aside_rows(self) -> int:
        """The snapshot's rows of whose keys nothing can be said, since the store's side does not allow it."""
        return self._one(f"select count(*) from {self._source()} p where key in (select key from aside)") if self.aside else 0

    def _unjudged(self) -> int:
        """The store's rows of whose keys the snapshot has nothing."""
        return self._one(
            "select count(*) from unmatched r where _place is null and _bad_field is null "
            f"{'and not exists (select 1 from aside a where a.key = r.key) ' if self.aside else ''}"
            "and not exists (select 1 from provider_left p where p.key = r.key)"
        )

    def _duplicates(self) -> list[Duplicate]:
        rows = self._all(f"select key, n from store_twice order by key limit {SHOWN}") if self.twice else []
        return [*self.snapshot.duplicates, *(Duplicate(place="store", key=key, count=n) for key, n in rows)][:SHOWN]

    def _unreadable(self) -> list[Unreadable]:
        if not self.store_bad:
            return [*self.snapshot.unreadable][:SHOWN]
        rows = self._all(
            f"select key, _bad_field, _bad_why, _bad_sample from unmatched where _bad_field is not null order by key nulls last, _bad_sample limit {SHOWN}"
        )
        found = [Unreadable(place="store", key=k, field=f or None, why=why or "", sample=sample or "") for k, f, why, sample in rows]
        return [*self.snapshot.unreadable, *found][:SHOWN]

    def _controls(self) -> tuple[str, ...]:
        proves = []
        if self.no_controls:
            self.engine.register("no_control", pa.table({"key": pa.array(self.no_controls, pa.string())}))
            proves = ["key not in (select key from no_control)"]
        paired = [*proves, "key not in (select key from aside)"] if self.aside else [*proves]
        if self.unpaired_provider:
            paired.append("file_row_number not in (select _place from unmatched where _place is not null)")
        equal = self._all(f"select key from {self._source(place=True)} p where {' and '.join(paired) or 'true'} limit {CONTROLS}")
        if equal:
            return tuple(str(key) for (key,) in equal)
        unsuspected = [*proves, "key not in (select key from suspects)"] if self.suspects else proves
        rest = self._all(f"select key from {self._source()} p where {' and '.join(unsuspected) or 'true'} limit {CONTROLS}")
        if not rest and self.snapshot.set_aside is not None:
            rest = self._all(f"select key from read_parquet({_quoted(self.snapshot.set_aside)}) limit 1")
        return tuple(str(key) for (key,) in rest)

    def _all(self, sql: str) -> list[tuple[Any, ...]]:
        return self.engine.execute(sql).fetchall()

    def _one(self, sql: str) -> int:
        return int(self._all(sql)[0][0])


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
