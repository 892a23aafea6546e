"""Data for the comparison benchmark: charges on both sides, with known drift, the same for any machine.

0.05% are missing in the store, 0.05% are missing at the provider, and 0.1% differ (half in the amount, half in the status).
"""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import psycopg

COLUMNS = ("id", "amount", "currency", "status", "customer", "updated_at", "metadata")

ROW = """
    'ch_' || substr(md5(i::varchar), 1, 24) as id,
    (i * 7919) % 1000000 {amount} as amount,
    ['usd', 'eur', 'gbp', 'jpy'][(i % 4 + 1)::int] as currency,
    {status} as status,
    'cus_' || substr(md5((i // 3)::varchar), 1, 14) as customer,
    strftime(make_timestamp((1700000000 + (i * 37) % 31536000) * 1000000), '%Y-%m-%dT%H:%M:%SZ') as updated_at,
    '{{"order": "' || i || '", "channel": "' || ['web', 'app', 'pos'][(i % 3 + 1)::int] || '"}}' as metadata
"""
STATUS = "['succeeded', 'pending', 'failed'][(i % 17 % 3 + 1)::int]"

TABLE = """
create table {name} (
    id text not null, amount bigint, currency text, status text, customer text, updated_at timestamptz, metadata text
)
"""


@dataclass(frozen=True)
class Drift:
    """What a right comparison finds."""

    missing: int
    extra: int
    changed: int


def provider_sql(rows: int) -> str:
    return f"select {ROW.format(amount='', status=STATUS)} from range({rows}) r(i) where i % 2000 <> 1000"


def store_sql(rows: int) -> str:
    amount = "+ case when i % 2000 = 250 then 1 else 0 end"
    status = f"case when i % 2000 = 1250 then 'refunded' else {STATUS} end"
    return f"select {ROW.format(amount=amount, status=status)} from range({rows}) r(i) where i % 2000 <> 0"


def drift(rows: int) -> Drift:
    def hits(rest: int) -> int:
        return len(range(rest, rows, 2000))

    return Drift(missing=hits(0), extra=hits(1000), changed=hits(250) + hits(1250))


def write_ndjson(rows: int, file: Path) -> None:
    """The provider's side as a spool would hold it: a record a line."""
    duckdb.connect(config={"preserve_insertion_order": False}).execute(f"copy ({provider_sql(rows)}) to '{file}' (format json)")


def load_table(dsn: str, table: str, sql: str, folder: Path) -> None:
    """A side as a PostgreSQL table with its primary key, vacuumed and analysed."""
    csv = folder / f"{table}.csv"
    duckdb.connect(config={"preserve_insertion_order": False}).execute(f"copy ({sql}) to '{csv}' (format csv, header false)")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(TABLE.format(name=table))
        with csv.open("rb") as source, connection.cursor().copy(f"copy {table} ({', '.join(COLUMNS)}) from stdin (format csv)") as copy:
            while chunk := source.read(1 << 20):
                copy.write(chunk)
        connection.execute(f"alter table {table} add primary key (id)")
        connection.execute(f"vacuum (freeze, analyze) {table}")
    csv.unlink()
