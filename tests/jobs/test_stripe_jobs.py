"""The shipped Stripe jobs: each loads, fits its provider, its table's DDL and the objects that Stripe documents."""

import importlib.util
import json
import re
import sqlite3
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cronsim import CronSim

from recon.clock import SystemClock
from recon.job import Job, Table
from recon.kind import Money

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "jobs").glob("stripe_*.py"))
RESOURCES = [
    "balance_transactions",
    "charges",
    "customers",
    "disputes",
    "invoices",
    "payment_intents",
    "payouts",
    "prices",
    "products",
    "refunds",
    "subscriptions",
]
EVENTS = [
    "balance_transaction",
    "charge",
    "customer",
    "dispute",
    "invoice",
    "payment_intent",
    "payout",
    "price",
    "product",
    "refund",
    "subscription",
]
MISSING: Any = object()


@cache
def load(path: Path) -> tuple[Job, str]:
    """The file's one job and its docstring."""
    spec = importlib.util.spec_from_file_location(f"shipped_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (job,) = [value for value in vars(module).values() if isinstance(value, Job)]
    return job, module.__doc__ or ""


def ddl(doc: str) -> str:
    """The SQL block of a job's docstring."""
    (block,) = re.findall(r"```sql\n(.*?)```", doc, re.DOTALL)
    return str(block)


def samples(job: Job) -> list[dict[str, Any]]:
    """The documented objects of the job's resource."""
    listed: list[dict[str, Any]] = json.loads((Path(__file__).parent / "samples" / f"{job.domain}.json").read_text(encoding="utf-8"))
    return listed


def at(record: Any, path: str) -> Any:
    """The value at a dotted path, MISSING where there is none."""
    for step in path.split("."):
        if isinstance(record, list) and step.isdigit() and int(step) < len(record):
            record = record[int(step)]
        elif isinstance(record, dict) and step in record:
            record = record[step]
        else:
            return MISSING
    return record


def test_a_job_for_every_resource() -> None:
    """The eleven jobs cover the eleven resources of the Stripe provider, each with the event that its object is called."""
    jobs = [load(path)[0] for path in FILES]
    assert [job.resource for job in jobs] == RESOURCES
    assert [job.event for job in jobs] == EVENTS
    assert {"stripe"} == {job.provider for job in jobs}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_job_is_named_like_its_file_and_runs_at_night(path: Path) -> None:
    """Domain, table and file share one name, and the schedule is a cron line that comes true before five in the morning."""
    job, _ = load(path)
    assert isinstance(job.table, Table)
    assert (path.stem, path.stem) == (job.domain, job.table.name)
    assert job.schedule is not None
    firing = next(CronSim(job.schedule, SystemClock().now()))
    assert firing.hour < 5


def test_the_schedules_are_spread() -> None:
    """No two shipped jobs start in the same minute, since they share one account's limits."""
    lines = [load(path)[0].schedule for path in FILES]
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_ddl_has_a_column_for_every_field(path: Path) -> None:
    """The docstring's DDL executes in SQLite, and its columns are the key and the fields' columns, none more, none less."""
    job, doc = load(path)
    assert isinstance(job.table, Table)
    with sqlite3.connect(":memory:") as db:
        db.executescript(ddl(doc))
        columns = {row[1]: row for row in db.execute(f"pragma table_info({job.table.name})")}
    db.close()
    assert {job.table.key, *(field.column or field.name for field in job.fields)} == set(columns)
    assert columns[job.table.key][5] == 1, "the key is the primary key"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_path_is_in_a_documented_object(path: Path) -> None:
    """Each field's path leads to a value in a sample; where a sample lacks it, the job says that missing counts as null."""
    job, _ = load(path)
    for field in job.fields:
        found = [at(sample, field.at) for sample in samples(job)]
        assert any(value is not MISSING for value in found), f"{field.at} is in no sample"
        assert any(value not in (MISSING, None) for value in found), f"{field.at} has a value in no sample"
        assert field.missing_is_null or MISSING not in found, f"{field.at} is missing in a sample, and the job does not say what that means"
        assert not field.missing_is_null or MISSING in found, f"{field.at} is never missing"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_not_null_column_never_meets_a_null(path: Path) -> None:
    """Where a sample holds null or nothing, the DDL allows null; where the DDL says not null, every sample has a value."""
    job, doc = load(path)
    assert isinstance(job.table, Table)
    with sqlite3.connect(":memory:") as db:
        db.executescript(ddl(doc))
        required = {row[1] for row in db.execute(f"pragma table_info({job.table.name})") if row[3]}
    db.close()
    for field in job.fields:
        values = [at(sample, field.at) for sample in samples(job)]
        empty = any(value is None or value is MISSING for value in values)
        assert not (empty and (field.column or field.name) in required), f"{field.name} can be null at Stripe"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_money_is_money(path: Path) -> None:
    """Every field that is an amount at Stripe is compared as money in the row's own currency, and the job names one at risk."""
    job, _ = load(path)
    amounts = [field for field in job.fields if re.search(r"amount|^total$|^fee$|^net$", field.name)]
    assert all(field.kind == Money(currency="currency") for field in amounts)
    assert bool(amounts) == (job.money is not None)
