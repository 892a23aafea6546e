"""A real PostgreSQL that goes away while its rows stream into the comparison: nothing is compared, and it is said."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from recon.compare import Limits, compare, seal
from recon.errors import StoreUnreachable
from recon.fetch.page import End, Page
from recon.fetch.spool import Spool
from recon.job import Field, Job, Table
from recon.stores.base import Scan, Selection
from recon.stores.factory import open_store
from recon.testing import section

ROWS = 200_000
JOB = Job(domain="orders", provider="shop", resource="orders", table=Table(name="orders"), fields=(Field("status"),))


def test_a_backend_that_is_killed_mid_read_ends_the_comparison(database: str, tmp_path: Path) -> None:
    """The server ends our session after the first batch: StoreUnreachable with the rows read so far, and no short comparison."""
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("create table orders (id text primary key, status text)")
        conn.execute("insert into orders select 'k' || n, repeat('x', 100) from generate_series(1, %s) n", [ROWS])
    spool = Spool.open(tmp_path / "spool")
    spool.append(Page(items=[b'{"id":"k1","status":"paid"}'], end=End("told so")))
    snapshot = seal(JOB, spool, "id", tmp_path / "source", limits=Limits())
    spool.close()
    store = open_store(section("main", url=database))

    def killed(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        for number, batch in enumerate(reader):
            if number == 1:
                with psycopg.connect(database, autocommit=True) as other:
                    other.execute(
                        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
                    )
            yield batch

    with pytest.raises(StoreUnreachable, match=r"rows|terminat|closed"), store.scan(Selection.of(JOB)) as scan:
        watched = pa.RecordBatchReader.from_batches(scan.reader.schema, killed(scan.reader))
        compare(
            JOB,
            snapshot,
            Scan(reader=watched, key_unique=scan.key_unique, duplicates=scan.duplicates, isolation=scan.isolation, taken_at=scan.taken_at),
            limits=Limits(),
        )
    assert not (snapshot.folder / "suspects.parquet").exists()
