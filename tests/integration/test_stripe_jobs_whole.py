"""Each shipped Stripe job, all the way: Stripe's objects in a spool against its table in a real SQLite file, in the engine."""

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from recon.compare import Comparison, Limits, compare, seal
from recon.fetch.page import End, Page
from recon.fetch.spool import Spool
from recon.job import Field, Job, Table
from recon.kind import Boolean, Integer, Json, Money, Timestamp
from recon.stores.base import Selection
from recon.stores.factory import open_store
from recon.testing import section
from tests.jobs.test_stripe_jobs import FILES, MISSING, at, ddl, load, samples
from tests.servers.postgres import database, postgres

__all__ = ["database", "postgres"]

OTHER = "something else"


def stored(field: Field, record: dict[str, Any]) -> Any:
    """The value that a handler of Stripe's webhooks would write into the field's column; in plain Python, without the engine."""
    value = at(record, field.at)
    if value is None or value is MISSING:
        return None
    if isinstance(field.kind, Timestamp):
        return datetime.fromtimestamp(value, tz=UTC).isoformat().replace("+00:00", "Z")
    if isinstance(field.kind, Json):
        return json.dumps(dict(reversed(value.items())), indent=1)
    return value


def changed(field: Field, value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(field.kind, Timestamp):
        return "2001-01-01T00:00:00Z"
    if isinstance(field.kind, Json):
        return '{"other": [1]}'
    if isinstance(field.kind, Boolean):
        return not value
    if isinstance(field.kind, Money | Integer):
        return (value or 0) + 1
    return OTHER if field.name != "currency" else "kwd"


def table_of(job: Job, doc: str, file: Path, rows: list[dict[str, Any]]) -> None:
    """The job's own DDL, filled."""
    assert isinstance(job.table, Table)
    with sqlite3.connect(file) as db:
        db.executescript(ddl(doc))
        for row in rows:
            names = ", ".join(f'"{name}"' for name in row)
            db.execute(f"insert into {job.table.name} ({names}) values ({', '.join('?' * len(row))})", list(row.values()))
    db.close()


def compared(job: Job, folder: Path, records: list[dict[str, Any]], url: str | None = None) -> Comparison:
    """The records as one page, sealed, against the table in the database at `url`, by default the folder's app.db."""
    spool = Spool.open(folder / "spool")
    spool.append(Page(items=[json.dumps(record).encode() for record in records], end=End("has_more = false on page 1")))
    spool.close()
    spool = Spool.open(folder / "spool")
    snapshot = seal(job, spool, "id", folder, limits=Limits(threads=1))
    store = open_store(section("main", url=url or f"sqlite:///{folder / 'app.db'}"))
    with store.scan(Selection.of(job)) as scan:
        comparison = compare(job, snapshot, scan, limits=Limits(threads=1))
    store.close()
    spool.close()
    return comparison


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_a_handler_writes_compares_clean(path: Path, tmp_path: Path) -> None:
    """Rows that a careful webhook handler would have written differ in nothing, nulls, floats of JSON and yen included."""
    job, doc = load(path)
    rows = [{"id": record["id"], **{f.column or f.name: stored(f, record) for f in job.fields}} for record in samples(job)]
    table_of(job, doc, tmp_path / "app.db", rows)
    found = compared(job, tmp_path, samples(job))
    assert [(d.key, d.kind, d.changed) for d in found.discrepancies()] == []
    assert (found.equal, found.unreadable_items) == (len(rows), 0)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_compared_field_is_really_compared(path: Path, tmp_path: Path) -> None:
    """With every column of the first row changed, every compared field is named, and the other rows stay equal."""
    job, doc = load(path)
    rows = [{"id": record["id"], **{f.column or f.name: stored(f, record) for f in job.fields}} for record in samples(job)]
    for field in job.fields:
        column = field.column or field.name
        rows[0][column] = changed(field, rows[0][column])
    table_of(job, doc, tmp_path / "app.db", rows)
    (found,) = list((comparison := compared(job, tmp_path, samples(job))).discrepancies())
    assert found.key == rows[0]["id"]
    assert list(found.changed) == [field.name for field in job.compared]
    assert comparison.equal == len(rows) - 1


def test_what_a_handler_writes_compares_clean_in_postgresql(database: str, tmp_path: Path) -> None:
    """The same rows in PostgreSQL's own moments, booleans and jsonb differ in nothing either, for all eleven jobs."""
    unequal = {}
    for path in FILES:
        job, doc = load(path)
        assert isinstance(job.table, Table)
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(ddl(doc))
            for record in samples(job):
                row = {"id": record["id"], **{f.column or f.name: stored(f, record) for f in job.fields}}
                names = ", ".join(f'"{name}"' for name in row)
                places = ", ".join(["%s"] * len(row))
                connection.execute(f"insert into {job.table.name} ({names}) values ({places})", list(row.values()))
        folder = tmp_path / job.domain
        folder.mkdir()
        found = compared(job, folder, samples(job), database)
        unequal[job.domain] = [(d.key, d.kind, d.changed) for d in found.discrepancies()]
        assert (found.equal, found.unreadable_items) == (len(samples(job)), 0), unequal
    assert set(unequal) == {path.stem for path in FILES}
    assert not any(unequal.values())
