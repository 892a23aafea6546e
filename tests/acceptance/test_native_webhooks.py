"""Whole nights in which an application's ordinary webhook handler heals its own table: corrections in the third party's shape, with its signature."""

import base64
import hashlib
import hmac
import json
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from providers.stripe import API_VERSION
from recon.clock import SystemClock
from recon.progress import Silent
from recon.project import Project
from recon.report.figures import RunFigures
from recon.run import Order, run_domain
from recon.state.database import State
from tests.acceptance.commands import figures, recon
from tests.acceptance.documents import files_in, write_files
from tests.servers.endpoint import Endpoint, Handler, endpoint
from tests.servers.graphql_shop import graphql_shop, order
from tests.servers.scripted import Answer, Call, scripted
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
        self.handler: Handler = names["stripe_webhook"]

    def sql(self, statement: str, *values: object) -> None:
        """A statement on the application's table."""
        with closing(sqlite3.connect(self.folder / "app.db")) as database:
            database.execute(statement, values)
            database.commit()

    def env(self, app: Endpoint, secret: str = SECRET) -> dict[str, str]:
        """The surroundings, with the application at its place."""
        return {
            "STRIPE_API_KEY": "rk_test_canary_of_the_key",
            "STRIPE_WEBHOOK_SECRET": secret,
            "APP_WEBHOOK_URL": app.url,
            "RECON__PROVIDERS__STRIPE__BASE_URL": self.account.url,
        }

    def run(self, app: Endpoint, secret: str = SECRET) -> RunFigures:
        """One night."""
        return one_night(self.folder, self.env(app, secret), "stripe_charges")


def one_night(folder: Path, environ: Mapping[str, str], domain: str) -> RunFigures:
    """A run of the domain in this process, with a project opened for it alone."""
    clock = SystemClock()
    with Project.find(folder, environ={"HOME": str(folder), **environ}) as project, State.open(project.state_url, clock=clock) as state:
        return run_domain(project, state, Order(domain=domain), clock=clock, progress=Silent())


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Night]:
    """An account and an application that agree about 40 charges."""
    with stripe_account(charges=[charge(n) for n in range(CHARGES)]) as account:
        yield Night(tmp_path, account, monkeypatch)


def test_a_stripe_endpoint_heals_itself(night: Night) -> None:
    """By the command line: the handler of the docs takes each correction, checked by Stripe's library, as the doctor said; the next night is clean."""
    night.sql("delete from stripe_charges where id in ('ch_0003', 'ch_0004')")
    night.sql("update stripe_charges set status = 'pending' where id = 'ch_0005'")
    night.account.charges[6]["amount_refunded"] = 500
    night.account.charges[7]["metadata"] = {"order": "another"}
    true = event(1, "charge.succeeded", dict(night.account.charges[4]))
    night.account.undelivered.append(true)

    with endpoint(night.handler) as app:
        doctor = recon("doctor", "stripe_charges", cwd=night.folder, env=night.env(app))
        first = figures(recon("run", "stripe_charges", "--json", cwd=night.folder, env=night.env(app)))
        second = figures(recon("run", "stripe_charges", "--json", cwd=night.folder, env=night.env(app)))

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
    assert "charge.created as charge.succeeded" in doctor.stdout
    assert API_VERSION in doctor.stdout


def test_a_wrong_secret_waits_and_loses_nothing(night: Night) -> None:
    """An endpoint that refuses the signature leaves every correction waiting, says so with the way out, and takes them once the secret is mended."""
    night.sql("delete from stripe_charges where id in ('ch_0003', 'ch_0004')")

    with endpoint(night.handler) as app:
        refused = night.run(app, "whsec_another_one_altogether").delivery
        mended = recon("publish", cwd=night.folder, env=night.env(app))
        after = night.run(app)

    assert refused is not None
    assert mended.returncode == 0, mended.stderr
    assert {text for status, text in app.answered if status == 400} == {"invalid signature"}
    assert (refused.confirmed, refused.waiting, refused.dead) == (0, 2, 0)
    assert "invalid signature" in refused.last_reason
    assert "check the secret" in refused.last_reason
    assert "whsec_" not in repr(refused)
    assert after.verdict == "clean"


def test_an_answer_that_was_lost_comes_again_with_the_same_id(night: Night) -> None:
    """A correction whose answer was lost is sent again under the same id, so the handler that remembers ids takes it once."""
    night.sql("delete from stripe_charges where id = 'ch_0003'")
    calls: list[int] = []

    def once_broken(headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        calls.append(1)
        status, text = night.handler(headers, body)
        return (503, "the gateway timed out") if len(calls) == 1 else (status, text)

    with endpoint(once_broken) as app:
        first = night.run(app).delivery
        second = night.run(app)

    assert first is not None
    assert first.dead == 0
    assert len({json.loads(body)["id"] for _, body in app.came}) == 1
    assert app.answered[0] == (503, "the gateway timed out")
    assert app.answered[1:] == [(200, "seen")]
    assert second.verdict == "clean"


ORDER_JOB = files_in("howto/shopify-to-sqlite.md")["jobs/orders.py"]
SHOP_TOML = """
[providers.shopify]
shop = "acme"
token = { env = "SHOPIFY_TOKEN" }
ids = "numeric"
bulk = false
[stores.main]
url = "sqlite:///app.db"
[publishers.app]
type = "webhook"
render = "native"
provider = "shopify"
url = { env = "APP_WEBHOOK_URL" }
secret = { env = "SHOPIFY_CLIENT_SECRET" }
[jobs.orders]
publisher = "app"
"""


def shopify_verified(headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """As https://shopify.dev/docs/apps/build/webhooks/verify-deliveries has it: the base64 of the raw body's HMAC, by the client secret."""
    wanted = base64.b64encode(hmac.new(secret.encode("utf-8"), body, hashlib.sha256).digest())
    return hmac.compare_digest(wanted, headers["x-shopify-hmac-sha256"].encode("utf-8"))


def test_a_shopify_endpoint_heals_itself(tmp_path: Path) -> None:
    """Orders that were lost, changed and deleted come to the handler as Shopify's own webhooks, in the REST shape; the next night is clean."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/orders.py").write_text(ORDER_JOB)
    (tmp_path / "recon.toml").write_text(SHOP_TOML)
    database = sqlite3.connect(tmp_path / "app.db", check_same_thread=False)
    database.executescript(files_in("howto/shopify-to-sqlite.md")["orders.sql"])
    topics: dict[int, str] = {}

    def handler(headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        if not shopify_verified(headers, body, "shpss_of_the_app"):
            return 401, "not Shopify"
        told, topic = json.loads(body), headers["x-shopify-topic"]
        topics[told["id"]] = topic
        if topic == "orders/delete":
            database.execute("delete from orders where id = ?", [str(told["id"])])
        else:
            sku = told["line_items"][0]["sku"]
            cents = round(float(told["total_price"]) * 100)
            values = (str(told["id"]), told["name"], told["financial_status"].upper(), cents, told["currency"], sku, told["cancelled_at"])
            database.execute("insert or replace into orders values (?, ?, ?, ?, ?, ?, ?, ?)", (*values, told["created_at"]))
        database.commit()
        return 200, ""

    with graphql_shop(orders=[order(n) for n in range(1, 31)]) as shop, endpoint(handler) as app, closing(database):
        for one in shop.orders:
            money = one["totalPriceSet"]["shopMoney"]
            row = (
                one["legacyResourceId"],
                one["name"],
                "PAID",
                round(float(money["amount"]) * 100),
                "EUR",
                "sku-0",
                None,
                one["createdAt"],
            )
            database.execute("insert into orders values (?, ?, ?, ?, ?, ?, ?, ?)", row)
        database.execute("delete from orders where id = '7'")
        database.execute("update orders set total_cents = 1 where id = '20'")
        database.commit()
        shop.orders = [one for one in shop.orders if one["legacyResourceId"] != "12"]
        env = {
            "SHOPIFY_TOKEN": shop.token,
            "RECON__PROVIDERS__SHOPIFY__BASE_URL": shop.endpoint,
            "SHOPIFY_CLIENT_SECRET": "shpss_of_the_app",
            "APP_WEBHOOK_URL": app.url,
        }
        first = one_night(tmp_path, env, "orders")
        second = one_night(tmp_path, env, "orders")

    assert first.delivery is not None, first.problem
    assert first.delivery.confirmed == 3, first.delivery.last_reason
    assert topics == {7: "orders/create", 20: "orders/updated", 12: "orders/delete"}
    assert {headers["x-shopify-shop-domain"] for headers, _ in app.came} == {"acme.myshopify.com"}
    assert len({headers["x-shopify-webhook-id"] for headers, _ in app.came}) == 3
    assert second.verdict == "clean"


ISSUE_JOB = '''
"""Issues."""
from recon import Field, Job, Table
issues = Job(domain="issues", provider="github", resource="issues", table=Table(name="issues", key="number"), event="issue", settle=0,
    fields=(Field("title"), Field("state")))
'''
GITHUB_TOML = """
[providers.github]
token = { env = "GITHUB_TOKEN" }
org = "octo-org"
repo = "hello"
[stores.main]
url = "sqlite:///app.db"
[publishers.app]
type = "webhook"
render = "native"
provider = "github"
url = { env = "APP_WEBHOOK_URL" }
secret = { env = "GITHUB_WEBHOOK_SECRET" }
[jobs.issues]
publisher = "app"
"""


def github_verified(headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """As https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries has it, in Python."""
    expected = "sha256=" + hmac.new(secret.encode("utf-8"), msg=body, digestmod=hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, headers["x-hub-signature-256"])


def test_a_github_endpoint_heals_itself(tmp_path: Path) -> None:
    """Issues that were opened, closed, edited and deleted unseen come to the handler as GitHub's own events; the next night is clean."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/issues.py").write_text(ISSUE_JOB)
    (tmp_path / "recon.toml").write_text(GITHUB_TOML)
    database = sqlite3.connect(tmp_path / "app.db", check_same_thread=False)
    database.execute("create table issues (number text primary key, title text, state text)")
    issues = {n: {"number": n, "title": f"Issue {n}", "state": "open", "user": {"login": "alice"}, "closed_by": None} for n in range(1, 31)}
    database.executemany("insert into issues values (?, ?, ?)", [(str(n), one["title"], "open") for n, one in issues.items()])
    database.execute("delete from issues where number = '3'")
    database.commit()
    issues[4] |= {"state": "closed", "closed_by": {"login": "bob"}}
    issues[5]["title"] = "A better title"
    del issues[6]
    repository = {"id": 9, "full_name": "octo-org/hello", "owner": {"login": "octo-org"}, "organization": {"login": "octo-org"}}

    def serve(call: Call) -> Answer:
        if call.path == "/repos/octo-org/hello":
            return Answer(repository)
        if call.path.endswith("/issues"):
            return Answer(list(issues.values()))
        one = issues.get(int(call.path.rpartition("/")[2]))
        return Answer(one) if one else Answer({"message": "This issue was deleted"}, status=410)

    told: dict[int, tuple[str, str, str]] = {}

    def handler(headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        if not github_verified(headers, body, "of the hook"):
            return 401, "not GitHub"
        event = json.loads(body)
        assert headers["x-github-event"] == "issues"
        assert event["repository"] == repository
        issue = event["issue"]
        told[issue["number"]] = (event["action"], (event["sender"] or {}).get("login"), json.dumps(event.get("changes")))
        if event["action"] == "deleted":
            database.execute("delete from issues where number = ?", [str(issue["number"])])
        else:
            row = (str(issue["number"]), issue["title"], issue["state"])
            database.execute("insert or replace into issues values (?, ?, ?)", row)
        database.commit()
        return 202, ""

    with scripted(serve) as server, endpoint(handler) as app, closing(database):
        env = {
            "GITHUB_TOKEN": "github_pat_11",
            "RECON__PROVIDERS__GITHUB__BASE_URL": f"{server.url}/",
            "GITHUB_WEBHOOK_SECRET": "of the hook",
            "APP_WEBHOOK_URL": app.url,
        }
        first = one_night(tmp_path, env, "issues")
        second = one_night(tmp_path, env, "issues")

    assert first.delivery is not None, first.problem
    assert first.delivery.confirmed == 4, first.delivery.last_reason
    assert told == {
        3: ("opened", "alice", "null"),
        4: ("closed", "bob", "null"),
        5: ("edited", "alice", json.dumps({"title": {"from": "Issue 5"}})),
        6: ("deleted", "octo-org", "null"),
    }
    assert all(uuid.UUID(headers["x-github-delivery"]) for headers, _ in app.came)
    assert len([call for call in server.calls if call.path == "/repos/octo-org/hello"]) == 1
    assert second.verdict == "clean"
