"""The peers, each run by the interpreter of its own environment: `python bench/peers.py NAME …` prints one JSON line.

Time is that of the work, without imports; memory is the process's peak. Each prints what it found, so that a fast wrong answer shows.
"""

import argparse
import contextlib
import json
import re
import time
from pathlib import Path

FIELDS = ("amount", "currency", "status", "customer", "updated_at", "metadata")


def datacompy(dsn: str, parquet: str) -> dict[str, int]:
    """datacompy on polars: both sides as data frames, the store's read by ADBC, the provider's from the same Parquet file."""
    import polars as pl
    from adbc_driver_postgresql import dbapi
    from datacompy.polars import PolarsCompare

    with dbapi.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select id as key, amount, currency, status, customer, (extract(epoch from updated_at) * 1000000)::bigint as updated_at, metadata from charges"
        )
        store = pl.from_arrow(cursor.fetch_arrow_table())
    provider = pl.read_parquet(parquet, columns=["key", *FIELDS])
    compared = PolarsCompare(provider, store, join_columns="key", df1_name="provider", df2_name="store")
    return {
        "missing": len(compared.df1_unq_rows),
        "extra": len(compared.df2_unq_rows),
        "changed": len(compared.all_mismatch()),
    }


def reladiff(dsn: str, _parquet: str) -> dict[str, int]:
    """reladiff, its defaults, over two tables of one PostgreSQL server."""
    import reladiff as peer

    columns = {"key_columns": ("id",), "extra_columns": FIELDS}
    one, other = (peer.connect_to_table(dsn, name, **columns) for name in ("provider_charges", "charges"))
    signs: dict[str, set[str]] = {"-": set(), "+": set()}
    for sign, row in peer.diff_tables(one, other):
        signs[sign].add(row[0])
    changed = signs["-"] & signs["+"]
    return {"missing": len(signs["-"] - changed), "extra": len(signs["+"] - changed), "changed": len(changed)}


def by_hand(dsn: str, parquet: str) -> dict[str, int]:
    """What one writes in an afternoon: a dict of the provider's side, a server-side cursor over the store's."""
    from datetime import datetime

    import orjson
    import psycopg

    records = {}
    with Path(parquet).with_name("provider.ndjson").open("rb") as lines:
        for line in lines:
            r = orjson.loads(line)
            records[r["id"]] = (
                r["amount"],
                r["currency"],
                r["status"],
                r["customer"],
                datetime.fromisoformat(r["updated_at"]),
                r["metadata"],
            )
    extra = changed = 0
    with psycopg.connect(dsn) as connection, connection.cursor(name="charges", binary=True) as cursor:
        cursor.itersize = 20_000
        cursor.execute("select id, amount, currency, status, customer, updated_at, metadata from charges")
        for key, *values in cursor:
            record = records.pop(key, None)
            if record is None:
                extra += 1
            elif record != tuple(values):
                changed += 1
    return {"missing": len(records), "extra": extra, "changed": changed}


PEERS = {"datacompy": datacompy, "reladiff": reladiff, "by_hand": by_hand}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=sorted(PEERS))
    parser.add_argument("dsn")
    parser.add_argument("parquet")
    options = parser.parse_args()
    with contextlib.suppress(ImportError):
        {
            "datacompy": lambda: __import__("datacompy.polars"),
            "reladiff": lambda: __import__("reladiff"),
            "by_hand": lambda: __import__("orjson"),
        }[options.peer]()
    started = time.perf_counter()
    found = PEERS[options.peer](options.dsn, options.parquet)
    seconds = time.perf_counter() - started
    # Not ru_maxrss, which would be the parent's where that was larger.
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak, **found}))


if __name__ == "__main__":
    main()
