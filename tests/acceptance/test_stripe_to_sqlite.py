"""A whole night on Stripe's shapes: 1,000 charges of a stateful mock nobody here wrote, the shipped provider and job, a SQLite table."""

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.acceptance.commands import figures, recon
from tests.acceptance.documents import files_in, write_files
from tests.servers.stripe_mock import StripeMock

pytestmark = pytest.mark.node
CHARGES = 1_000


@pytest.mark.timeout(240)
def test_drift_of_every_kind_is_found_once_and_applied(tmp_path: Path, stripe_mock: StripeMock) -> None:
    """Missing, extra and changed charges come out exactly, each once; applied to the table they make the next run clean."""
    account = stripe_mock.new_account()
    charges = stripe_mock.create_charges(CHARGES, account)
    write_files("howto/stripe-to-sqlite.md", tmp_path)
    database = sqlite3.connect(tmp_path / "shop.db")
    database.execute(files_in("howto/stripe-to-sqlite.md")["stripe_charges.sql"])
    rows = [
        (
            one["id"], one["amount"], one["amount_refunded"], one["currency"], one["status"], one["captured"], one["customer"], one["payment_intent"],
            json.dumps(one["metadata"]), datetime.fromtimestamp(one["created"], UTC).isoformat(),
        )
        for one in charges
    ]  # fmt: skip
    database.executemany("insert into stripe_charges values (?,?,?,?,?,?,?,?,?,?)", rows)
    ids = sorted(one["id"] for one in charges)
    missing, extra, changed = (
        set(ids[:9]),
        {"ch_ghost_1", "ch_ghost_2"},
        {"status": ids[20], "amount": ids[21], "metadata": ids[22], "created_at": ids[23]},
    )
    database.executemany("delete from stripe_charges where id = ?", [(key,) for key in missing])
    database.executemany(
        "insert into stripe_charges select ?, amount, amount_refunded, currency, status, captured, customer_id, payment_intent, metadata, created_at from stripe_charges limit 1",
        [(key,) for key in extra],
    )
    database.execute("update stripe_charges set status = 'pending' where id = ?", [changed["status"]])
    database.execute("update stripe_charges set amount = amount + 1 where id = ?", [changed["amount"]])
    database.execute('update stripe_charges set metadata = \'{"order": "other"}\' where id = ?', [changed["metadata"]])
    database.execute("update stripe_charges set created_at = '2020-01-01T00:00:00Z' where id = ?", [changed["created_at"]])
    database.commit()
    env = {
        "STRIPE_API_KEY": stripe_mock.key,
        "RECON__PROVIDERS__STRIPE__BASE_URL": f"{stripe_mock.url}/v1/",
        "RECON__PROVIDERS__STRIPE__ACCOUNT": account,
    }

    found = figures(recon("run", "stripe_charges", "--json", cwd=tmp_path, env=env))
    items = [json.loads(line) for line in recon("report", found["run"], "-f", "jsonl", cwd=tmp_path, env=env).stdout.splitlines()]
    healed = figures(recon("run", "stripe_charges", "--json", cwd=tmp_path, env=env))

    assert {item["key"] for item in items if item["kind"] == "missing"} == missing
    assert {item["key"] for item in items if item["kind"] == "extra"} == extra
    assert {item["key"] for item in items if item["kind"] == "changed"} == set(changed.values())
    assert len(items) == len(missing | extra) + len(changed)
    assert found["delivery"]["confirmed"] == len(items), found["delivery"]
    assert healed["verdict"] == "clean", json.dumps(
        {k: healed[k] for k in ("problem", "missing", "extra", "changed", "by_field", "unreadable")}
    )
    assert healed["compared"] == CHARGES
