"""Whole nights in which an application's ordinary webhook handler heals its own table: corrections in the third party's shape, with its signature."""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.commands import figures, recon
from tests.acceptance.documents import files_in, write_files
from tests.servers.endpoint import Endpoint, endpoint
from tests.servers.stripe_events import Account, charge, event, stripe_account

PAGE = "native-webhooks.md"
SECRET = "whsec_canary_of_the_endpoint"
CHARGES = 40
INSERT = "insert into stripe_charges values (?,?,?,?,?,?,?,?,?,?)"


def stored(one: Mapping[str, Any]) -> tuple[Any, ...]:
    """A charge as the application keeps it."""
    names = ("id", "amount", "amount_refunded", "currency", "status", "captured", "customer", "payment_intent")
    created = datetime.fromtimestamp(one["created"], UTC).isoformat()
    return (*(one[name] for name in names), json.dumps(one["metadata"]), created)


class Night:
    """The project and application of the docs, over an account of Stripe's shapes."""

    def __init__(self, folder: Path, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.account = account
        write_files(PAGE, folder)
        with closing(sqlite3.connect(folder / "app.db")) as database:
            database.execute(files_in("howto/stripe-to-sqlite.md")["stripe_charges.sql"])
            database.execute("create table seen (id text primary key)")
            database.executemany(INSERT, [stored(one) for one in account.charges])
            database.commit()
        monkeypatch.chdir(folder)
        monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", SECRET)
        names: dict[str, Any] = {}
        exec(compile((folder / "app.py").read_text(), "app.py", "exec"), names)
        self.handler = names["stripe_webhook"]

    def sql(self, statement: str, *values: object) -> None:
        """A statement on the application's table."""
        with closing(sqlite3.connect(self.folder / "app.db")) as database:
            database.execute(statement, values)
            database.commit()

    def command(self, app: Endpoint, *words: str, **more: str) -> Any:
        """One command, with the application at its place."""
        env = {
            "STRIPE_API_KEY": "rk_test_canary_of_the_key",
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "APP_WEBHOOK_URL": app.url,
            "RECON__PROVIDERS__STRIPE__BASE_URL": self.account.url,
            **more,
        }
        return recon(*words, cwd=self.folder, env=env)

    def run(self, app: Endpoint, **more: str) -> dict[str, Any]:
        """One night, as figures."""
        return figures(self.command(app, "run", "stripe_charges", "--json", **more))


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Night]:
    """An account and an application that agree about 40 charges."""
    with stripe_account(charges=[charge(n) for n in range(CHARGES)]) as account:
        yield Night(tmp_path, account, monkeypatch)


def test_a_stripe_endpoint_heals_itself(night: Night) -> None:
    """The handler of the docs, checked by Stripe's library, takes each correction; the next night is clean, and the doctor said before what would come."""
    night.sql("delete from stripe_charges where id in ('ch_0003', 'ch_0004')")
    night.sql("update stripe_charges set status = 'pending' where id = 'ch_0005'")
    night.account.charges[6]["amount_refunded"] = 500
    night.account.charges[7]["metadata"] = {"order": "another"}
    true = event(1, "charge.succeeded", dict(night.account.charges[4]))
    night.account.undelivered.append(true)

    with endpoint(night.handler) as app:
        doctor = night.command(app, "doctor", "stripe_charges")
        first = night.run(app)
        second = night.run(app)

    sent = {json.loads(body)["data"]["object"]["id"]: json.loads(body) for _, body in app.came}
    assert first["delivery"]["confirmed"] == 5, first["delivery"]["last_reason"]
    assert second["verdict"] == "clean", second
    assert {key: one["type"] for key, one in sent.items()} == {
        "ch_0003": "charge.succeeded",
        "ch_0004": "charge.succeeded",
        "ch_0005": "charge.succeeded",
        "ch_0006": "charge.refunded",
        "ch_0007": "charge.updated",
    }
    assert sent["ch_0004"] == true
    assert sent["ch_0007"]["data"]["previous_attributes"] == {"metadata": {"order": "7"}}
    assert sent["ch_0003"]["data"]["object"] == night.account.charges[3]
    assert sent["ch_0003"]["id"].startswith("evt_recon_")
    assert [status for status, _ in app.answered] == [200] * 5
    assert "stripe_charges.created as charge.succeeded" in doctor.stdout or "charge.created as charge.succeeded" in doctor.stdout


def test_a_wrong_secret_waits_and_loses_nothing(night: Night) -> None:
    """An endpoint that refuses the signature leaves every correction waiting, says so with the way out, and takes them once the secret is mended."""
    night.sql("delete from stripe_charges where id in ('ch_0003', 'ch_0004')")

    with endpoint(night.handler) as app:
        refused = night.run(app, STRIPE_WEBHOOK_SECRET="whsec_another_one_altogether")
        mended = night.command(app, "publish")
        after = night.run(app)

    assert {text for status, text in app.answered if status == 400} == {"invalid signature"}
    assert (refused["delivery"]["confirmed"], refused["delivery"]["waiting"], refused["delivery"]["dead"]) == (0, 2, 0)
    assert "invalid signature" in refused["delivery"]["last_reason"]
    assert "check the secret" in refused["delivery"]["last_reason"]
    assert "whsec_" not in json.dumps(refused)
    assert mended.returncode == 0, mended.stderr
    assert after["verdict"] == "clean"


def test_an_answer_that_was_lost_comes_again_with_the_same_id(night: Night) -> None:
    """A correction whose answer was lost is sent again under the same id and signed anew, so the handler that remembers ids takes it once."""
    night.sql("delete from stripe_charges where id = 'ch_0003'")
    calls: list[int] = []

    def once_broken(headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        calls.append(1)
        status, text = night.handler(headers, body)
        return (503, "the gateway timed out") if len(calls) == 1 else (status, text)

    with endpoint(once_broken) as app:
        first = night.run(app)
        night.command(app, "publish")

    ids = {json.loads(body)["id"] for _, body in app.came}
    assert len(app.came) >= 2
    assert len(ids) == 1
    assert app.answered[-1] == (200, "seen")
    assert first["delivery"]["dead"] == 0
    assert os.environ["STRIPE_WEBHOOK_SECRET"] == SECRET
