"""`render = "native"`: what is posted for which event and which state of the item, what is signed, and what is never sent; over real servers."""

import hmac
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
import standardwebhooks
import stripe
from stripe.params import WebhookEndpointCreateParams

from providers._stripe_webhooks import SAID
from recon.errors import BadSetting, ProjectError
from recon.event import Event, event_id
from recon.native import NoWebhook
from recon.project import Project
from recon.publishers.base import Message, Outcome, OutcomeKind
from tests.acceptance.documents import files_in
from tests.servers.endpoint import Endpoint, Handler, endpoint
from tests.servers.scripted import Answer, Call, scripted
from tests.servers.stripe_events import Account, charge, customer, event, stripe_account

OLD, NEW = "whsec_old_canary", "whsec_new_canary"
JOBS = """
from recon import Field, Job, Table
one = Job(domain="{domain}", provider="{provider}", resource="{resource}", table=Table(name="t"), event="{event}", {more}
    fields=({fields},))
"""
TOML = """
[stores.main]
url = "sqlite:///app.db"
[providers.stripe]
api_key = {{ env = "STRIPE_API_KEY" }}
base_url = "{url}"
tries = 2
[providers.hub]
type = "hubspot"
objects = {{ contacts = ["email"] }}
[providers.plain]
type = "rest"
base_url = "https://plain.example/"
[providers.plain.resources.things]
path = "things"
records = "data"
key = "id"
paging = {{ rule = "single" }}
[publishers.app]
type = "webhook"
url = "{app}"
{publisher}
"""
STRIPE = 'render = "native"\nprovider = "stripe"\nsecret = { env = "NEW" }\n'
RETRY, CONFIRMED, REJECTED = OutcomeKind.RETRY, OutcomeKind.CONFIRMED, OutcomeKind.REJECTED


def accept(headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
    """An endpoint that takes everything."""
    return 200, "[]"


class Bench:
    """A project with a publisher, a third party behind it and an endpoint before it."""

    def __init__(self, project: Project, app: Endpoint, account: Account) -> None:
        self.project = project
        self.app = app
        self.account = account

    def publish(self, *messages: Message, deadline: float = 20.0) -> list[Outcome]:
        """Sends them."""
        return list(self.project.publisher("app").publish(messages, deadline))

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What came, decoded."""
        return [json.loads(body) for _, body in self.app.came]


def write_job(folder: Path, domain: str, where: str, kind: str, *, fields: str, more: str = "") -> None:
    """A job's file; `where` is provider and resource."""
    provider, resource = where.split(".")
    (folder / "jobs").mkdir(exist_ok=True)
    text = JOBS.format(domain=domain, provider=provider, resource=resource, event=kind, fields=fields, more=more)
    (folder / f"jobs/{domain}.py").write_text(text)


@contextmanager
def bench(folder: Path, publisher: str = STRIPE, handle: Handler = accept, **held: Any) -> Iterator[Bench]:
    """The bench, with jobs for charges, customers and balance transactions."""
    charges = 'Field("amount", "integer"), Field("status"), Field("refunded", path="refunded.by"), Field("line", path="lines.0")'
    write_job(folder, "charges", "stripe.charges", "charge", fields=charges)
    write_job(folder, "customers", "stripe.customers", "customer", fields='Field("email", personal=True), Field("name")')
    write_job(folder, "balances", "stripe.balance_transactions", "balance", fields='Field("status")')
    write_job(folder, "outward", "stripe.customers", "customer", fields='Field("name")', more='direction="outbound",')
    write_job(folder, "things", "plain.things", "thing", fields='Field("name")')
    with stripe_account(**held) as account, endpoint(handle) as app:
        (folder / "recon.toml").write_text(TOML.format(url=account.url, app=app.url, publisher=publisher))
        environ = {"STRIPE_API_KEY": "rk_test_1", "NEW": NEW, "OLD": OLD, "HOME": str(folder)}
        with Project.find(folder, environ=environ) as project:
            yield Bench(project, app, account)


def message(domain: str, kind: str, key: str, **data: Any) -> Message:
    """A corrective event, as the outbox hands it over; the same arguments make the same id."""
    op = kind.rpartition(".")[2]
    made = Event(
        id=event_id(source=domain, key=key, op=op, source_token=repr(data), target_token="", generation=1),
        type=kind,
        source=f"/recon/stripe/{domain}",
        subject=f"{domain}/{key}",
        time=datetime(2026, 11, 24, tzinfo=UTC),
        recorded=datetime(2026, 11, 25, 3, 0, tzinfo=UTC),
        dataversion=1,
        partitionkey=key,
        run="01M8A0PDPVJXFNYRSBGPNPGWHN",
        generation=1,
        data={"op": op, "key": key, "state": {}, "before": None, "changed": [], **data},
    )
    return Message(id=made.id, type=kind, subject=made.subject, partitionkey=key, body=made.encode(), domain=domain)


def kinds(outcomes: list[Outcome]) -> list[OutcomeKind]:
    """What became of each."""
    return [one.kind for one in outcomes]


def test_two_secrets_are_both_good_while_one_is_changed(tmp_path: Path) -> None:
    """With `secrets`, Stripe's own library takes the request by the new secret and by the old one, and by no other; no older version is sent there."""
    two = 'render = "native"\nprovider = "stripe"\nsecrets = [{ env = "NEW" }, { env = "OLD" }]\n'
    with bench(tmp_path, two, charges=[charge(1)]) as one:
        outcomes = one.publish(message("charges", "charge.updated", "ch_0001"))
        ((headers, body),) = one.app.came
        assert not one.project.publisher("app").capabilities.versions

    assert kinds(outcomes) == [CONFIRMED]
    for secret in (NEW, OLD):
        found = stripe.Webhook.construct_event(body, headers["stripe-signature"], secret)
        assert found["data"]["object"]["id"] == "ch_0001"
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, headers["stripe-signature"], "whsec_other")
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert "webhook-signature" not in headers


def test_a_repeat_has_the_same_id_and_a_signature_of_its_own(tmp_path: Path) -> None:
    """The same event sent in another second comes with the same bytes and id, and is signed for that second."""
    with bench(tmp_path, charges=[charge(1)]) as one:
        one.publish(message("charges", "charge.updated", "ch_0001"))
        first = int(time.time())
        while int(time.time()) == first:
            time.sleep(0.02)
        one.publish(replace(message("charges", "charge.updated", "ch_0001"), replay="r-1"))
        (before, body), (after, again) = one.app.came

    assert body == again
    assert ("recon-replay-id" in before, after["recon-replay-id"]) == (False, "r-1")
    assert before["stripe-signature"] != after["stripe-signature"]
    assert uuid.UUID(json.loads(body)["id"].removeprefix("evt_recon_"))


@pytest.mark.parametrize(
    ("kind", "there", "told"),
    [
        ("customer.created", "there", "customer.created"),
        ("customer.updated", "there", "customer.updated"),
        ("customer.updated", "deleted", "customer.deleted"),
        ("customer.created", "deleted", "customer.deleted"),
        ("customer.updated", "unknown", None),
        ("customer.deleted", "deleted", "customer.deleted"),
        ("customer.deleted", "unknown", "customer.deleted"),
        ("customer.deleted", "there", "customer.updated"),
    ],
)
def test_what_is_so_now_is_sent(tmp_path: Path, kind: str, there: str, told: str | None) -> None:
    """What the event says and what the third party has now make what is sent, or that nothing is."""
    held: dict[str, Any] = {"there": {"customers": [customer(1)]}, "deleted": {"deleted": {"cus_0001"}}, "unknown": {}}[there]
    with bench(tmp_path, **held) as one:
        (outcome,) = one.publish(message("customers", kind, "cus_0001"))

    assert [body["type"] for body in one.bodies] == ([told] if told else [])
    assert outcome.kind is (CONFIRMED if told else RETRY)
    if told == "customer.deleted":
        assert one.bodies[0]["data"]["object"] == {"id": "cus_0001", "object": "customer", "deleted": True}
    elif told:
        assert one.bodies[0]["data"]["object"] == customer(1)
    else:
        assert "the next night tells" in outcome.reason


def test_a_replay_of_what_is_not_found_any_more_is_set_aside(tmp_path: Path) -> None:
    """No night takes a replay back, so one whose item answers 404 is refused with the way out, and does not wait for good."""
    with bench(tmp_path) as one:
        (outcome,) = one.publish(replace(message("customers", "customer.updated", "cus_0001"), replay="r-1"))

    assert not one.bodies
    assert outcome.kind is REJECTED
    assert "recon dead discard" in outcome.reason


def test_an_item_that_the_job_cannot_read_is_not_told(tmp_path: Path) -> None:
    """A word where the job has a number: nothing is posted of that item, the reason is said without the value, and the others of the batch go."""
    with bench(tmp_path, charges=[charge(1, amount="many"), charge(2)]) as one:
        bad, good = one.publish(*(message("charges", "charge.updated", key) for key in ("ch_0001", "ch_0002")))

    assert [body["data"]["object"]["id"] for body in one.bodies] == ["ch_0002"]
    assert (bad.kind, good.kind) == (RETRY, CONFIRMED)
    assert "amount is no whole number" in bad.reason
    assert "many" not in bad.reason


def test_what_the_application_had_stands_in_previous_attributes(tmp_path: Path) -> None:
    """Of what differs the application's own value is told, nested as Stripe nests it, and left out where it is of another kind than Stripe's."""
    now = charge(1, refunded={"by": "bob"}, lines=["b"])
    before = {"amount": "999", "status": "pending", "refunded": "alice", "line": "a"}
    with bench(tmp_path, charges=[now]) as one:
        one.publish(message("charges", "charge.updated", "ch_0001", before=before, changed=["amount", "refunded", "line"]))

    assert one.bodies[0]["data"]["previous_attributes"] == {"refunded": {"by": "alice"}}


def test_a_translated_field_still_chooses_the_topic(tmp_path: Path) -> None:
    """A status that the job translates into the application's words differs all the same: the topic is by it, and no word of ours is told as Stripe's."""
    with bench(tmp_path, charges=[charge(1)]) as one:
        write_job(tmp_path, "mapped", "stripe.charges", "charge", fields='Field("status", mapping={"succeeded": "paid"})')
        one.publish(message("mapped", "charge.updated", "ch_0001", before={"status": "open"}, changed=["status"]))

    (body,) = one.bodies
    assert body["type"] == "charge.succeeded"
    assert "previous_attributes" not in body["data"]


def test_what_is_no_event_costs_itself_and_not_its_batch(tmp_path: Path) -> None:
    """A body that names no item is refused for good; its neighbour is sent."""
    good = message("customers", "customer.updated", "cus_0001")
    with bench(tmp_path, customers=[customer(1)]) as one:
        outcomes = one.publish(replace(good, partitionkey="x", body=b"{}"), good)

    assert kinds(outcomes) == [REJECTED, CONFIRMED]


TRUE = event(1, "charge.succeeded", charge(1))


@pytest.mark.parametrize(
    ("undelivered", "more", "settings", "sent"),
    [
        ([TRUE], {}, "", "evt_0001"),
        ([event(2, "charge.updated", charge(1)), TRUE], {}, "", "evt_0002"),
        ([event(1, "charge.succeeded", charge(1, status="pending"))], {}, "", "ours"),
        ([event(1, "charge.succeeded", charge(1), version="2020-08-27")], {}, "", "ours"),
        ([event(1, "charge.succeeded", charge(2))], {}, "", "ours"),
        ([TRUE], {"supersedes": "another"}, "", "ours"),
        ([TRUE], {}, "originals = false", "ours"),
        ([TRUE], {}, 'topics = { "charge.created" = "charge.updated" }', "ours"),
        ([TRUE], {}, 'topics = { "charge.created" = "charge.succeeded" }', "evt_0001"),
        ([{**TRUE, "account": "acct_1"}], {}, "", "ours"),
    ],
    ids=[
        *("holds", "newest", "outdated", "other version", "other object", "did not heal", "switched off"),
        *("other type chosen", "same type chosen", "of a connected account"),
    ],
)
def test_the_true_event_goes_first_where_it_still_holds(
    tmp_path: Path, undelivered: list[dict[str, Any]], more: dict[str, Any], settings: str, sent: str
) -> None:
    """Stripe's own undelivered event is sent as it is, where it is of the object, of the version, and says what is so; otherwise one of ours."""
    with bench(tmp_path, STRIPE + settings, charges=[charge(1)], undelivered=undelivered) as one:
        (outcome,) = one.publish(message("charges", "charge.created", "ch_0001", **more))

    assert outcome.kind is CONFIRMED, outcome.reason
    if sent == "ours":
        assert one.bodies[0]["id"].startswith("evt_recon_")
    else:
        assert one.bodies == [next(one for one in undelivered if one["id"] == sent)]


def test_the_undelivered_are_listed_once_for_many(tmp_path: Path) -> None:
    """Ten corrections, three of them with an original on the second page of 150 events, cost two pages of the list and three reads of events."""
    events = [event(500 - n, "charge.updated", charge(100 + n)) for n in range(150)]
    events += [event(n, "charge.updated", charge(n)) for n in (3, 2, 1)]
    with bench(tmp_path, charges=[charge(n) for n in range(1, 11)], undelivered=events) as one:
        outcomes = one.publish(*(message("charges", "charge.updated", f"ch_{n:04}") for n in range(1, 11)))

    assert kinds(outcomes) == [CONFIRMED] * 10
    assert len(one.account.asked("/v1/events")) == 2
    assert [body["id"] for body in one.bodies][:3] == ["evt_0001", "evt_0002", "evt_0003"]
    assert len({body["id"] for body in one.bodies}) == 10


def test_a_key_that_may_not_read_events_sends_our_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where the key has no right to events, corrections go out all the same, and the log says once why none is an original."""
    with bench(tmp_path, charges=[charge(1), charge(2)], undelivered=[TRUE]) as one:
        one.account.refuse["events"] = Answer({"error": {"message": "this key may not"}}, status=403)
        outcomes = one.publish(*(message("charges", "charge.updated", f"ch_000{n}") for n in (1, 2)))

    assert kinds(outcomes) == [CONFIRMED] * 2
    assert caplog.text.count("undelivered events cannot be listed (403)") == 1


def test_a_provider_that_is_down_holds_nothing_up_and_loses_nothing(tmp_path: Path) -> None:
    """While the third party answers 500, every event waits with the reason, nothing is posted, and the call ends within its time."""
    with bench(tmp_path, charges=[charge(1)]) as one:
        one.account.refuse["charges"] = Answer({"error": {"message": "down"}}, status=500, headers={"Retry-After": "30"})
        began = time.monotonic()
        outcomes = one.publish(*(message("charges", "charge.updated", f"ch_{n:04}") for n in range(10)), deadline=2.0)
        took = time.monotonic() - began

    assert kinds(outcomes) == [RETRY] * 10
    assert all("stripe could not be asked" in outcome.reason for outcome in outcomes)
    assert one.app.came == []
    assert took < 6.0


def test_a_provider_that_hangs_is_not_waited_for_item_by_item(tmp_path: Path) -> None:
    """A third party that answers nothing costs one time limit and not one for each item; every event waits."""
    with bench(tmp_path, charges=[charge(n) for n in range(10)], slow=1.5) as one:
        (tmp_path / "recon.toml").write_text((tmp_path / "recon.toml").read_text().replace("tries = 2", 'tries = 2\ntimeout = "1s"'))
        with Project.find(tmp_path, environ={"STRIPE_API_KEY": "rk_test_1", "NEW": NEW, "HOME": str(tmp_path)}) as project:
            began = time.monotonic()
            outcomes = project.publisher("app").publish([message("charges", "charge.updated", f"ch_{n:04}") for n in range(10)], 1.0)
            took = time.monotonic() - began

    assert kinds(list(outcomes)) == [RETRY] * 10
    assert one.app.came == []
    assert took < 5.0


def test_older_versions_are_not_sent_beside(tmp_path: Path) -> None:
    """The webhook has the item as it is now, so that an older version of the event has nothing of its own to say, and is not asked for."""
    with bench(tmp_path) as one:
        assert one.project.publisher("app").capabilities.versions is False


def test_later_events_of_an_item_wait_for_the_first(tmp_path: Path) -> None:
    """Where the first event of an item is not sent, the second one is not either; another item's goes on."""
    with bench(tmp_path, customers=[customer(2)]) as one:
        events = [
            message("customers", "customer.updated", "cus_0001"),
            message("customers", "customer.deleted", "cus_0001"),
            message("customers", "customer.updated", "cus_0002"),
        ]
        outcomes = one.publish(*events)

    assert kinds(outcomes) == [RETRY, RETRY, CONFIRMED]
    assert [body["data"]["object"]["id"] for body in one.bodies] == ["cus_0002"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(200, CONFIRMED), (204, CONFIRMED), (400, RETRY), (401, RETRY), (409, CONFIRMED), (422, REJECTED), (500, RETRY), (302, RETRY)],
)
def test_what_an_ordinary_handler_answers(tmp_path: Path, status: int, kind: OutcomeKind) -> None:
    """As of every webhook, but that 400 may be about the signature, and so never makes a dead letter."""
    with bench(tmp_path, handle=lambda *_: (status, ""), customers=[customer(1)]) as one:
        (outcome,) = one.publish(message("customers", "customer.updated", "cus_0001"))

    assert outcome.kind is kind
    assert ("check the secret" in outcome.reason) is (status in (400, 401)) or status == 401


def test_a_list_in_the_answer_is_none_of_statuses(tmp_path: Path) -> None:
    """A handler that answers 200 with a list of its own has taken the webhook."""
    answer = json.dumps([{"id": "row-1", "status": 500}])
    with bench(tmp_path, handle=lambda *_: (200, answer), customers=[customer(1)]) as one:
        assert kinds(one.publish(message("customers", "customer.updated", "cus_0001"))) == [CONFIRMED]


def test_a_handler_that_quotes_the_person_is_kept_without(tmp_path: Path) -> None:
    """What the endpoint quotes of the item in its refusal, compared or not, plain or escaped, does not stand in the reason; the rest does."""

    def quote(headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        told = json.loads(body)["data"]["object"]["billing_details"]
        return 422, f"no customer {told['email']} / {told['name'].replace(' ', '%20')} for ch_0001 of type charge.updated"

    with bench(tmp_path, handle=quote, charges=[charge(1)]) as one:
        (outcome,) = one.publish(message("charges", "charge.updated", "ch_0001"))

    assert outcome.kind is REJECTED
    assert "person1" not in outcome.reason
    assert "Person" not in outcome.reason
    assert "no customer … / … for ch_0001 of type charge.updated" in outcome.reason


def test_another_topic_may_be_chosen(tmp_path: Path) -> None:
    """`topics` chooses by event type, also where the third party has no topic of its own for it."""
    chosen = STRIPE + 'topics = { "customer.updated" = "customer.created", "charge.deleted" = "charge.expired" }\n'
    with bench(tmp_path, chosen, customers=[customer(1)]) as one:
        outcomes = one.publish(message("customers", "customer.updated", "cus_0001"), message("charges", "charge.deleted", "ch_0001"))

    assert kinds(outcomes) == [CONFIRMED] * 2
    assert [body["type"] for body in one.bodies] == ["customer.created", "charge.expired"]


@pytest.mark.parametrize(
    ("domain", "kind", "why"),
    [
        ("balances", "balance.updated", "Stripe has no"),
        ("outward", "customer.updated", "corrects the third party"),
        ("things", "thing.updated", "compares with plain"),
        ("nowhere", "x.updated", "no job of the domain"),
    ],
)
def test_what_no_webhook_tells_waits_and_says_so(tmp_path: Path, domain: str, kind: str, why: str) -> None:
    """An event that cannot be sent so is never a dead letter: it waits with the way out, and the doctor's sentence says the same before."""
    rows = [{"id": "txn_1", "status": "available", "created": 1_790_000_000}]
    with bench(tmp_path) as one:
        one.account.balance_transactions = rows  # type: ignore[attr-defined]  # the server looks lists up by name
        assert not one.project.broken, one.project.broken
        (outcome,) = one.publish(message(domain, kind, "txn_1"))
        assert outcome.kind is RETRY
        assert why in outcome.reason
        assert one.app.came == []
        job = one.project.jobs.get(domain)
        assert job is not None or domain == "nowhere", one.project.broken
        if job is not None:
            with pytest.raises(NoWebhook, match=why):
                one.project.publisher("app").says(job)  # type: ignore[attr-defined]  # beside the protocol, looked for by its name


@pytest.mark.parametrize(
    ("publisher", "says"),
    [
        ('render = "native"\nprovider = "hub"\nsecret = { env = "NEW" }', "types that can: github, rest, shopify, stripe"),
        ('render = "native"\nprovider = "plain"\nsecret = { env = "NEW" }', "does not say how its third party's webhooks look"),
        ('render = "native"\nprovider = "nobody"\nsecret = { env = "NEW" }', "nobody"),
        ('render = "native"\nsecret = { env = "NEW" }', "provider: is missing"),
        (STRIPE + 'form = "binary"', "form: has no meaning"),
        (STRIPE + "batch = 5", "batch: has no meaning"),
        (STRIPE + 'topics = { "charge.updated" = "Charge Updated" }', "wants a topic as Stripe writes it"),
        (STRIPE + "headers = { Stripe-Signature = 't=1' }", "is set by the publisher itself"),
        (STRIPE + "original = false", "original: is not a setting"),
        ('render = "natively"', "render: 'natively' is none of"),
        ('provider = "stripe"\nunsigned = true', "provider: is not a setting"),
        ('render = "native"\nprovider = "stripe"', "exactly one of secret"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(tmp_path: Path, publisher: str, says: str) -> None:
    """Each mistake is refused when the publisher is made, by its key, and a provider that cannot is told beside those that can."""
    with bench(tmp_path, publisher) as one, pytest.raises(ProjectError) as caught:
        one.project.publisher("app")
    assert says in str(caught.value)
    assert isinstance(caught.value, BadSetting) or "nobody" in publisher


def test_one_secret_at_a_time_where_the_signature_holds_one(tmp_path: Path) -> None:
    """GitHub and Shopify sign with one secret: a list of several is refused with the way out."""
    more = '\n[providers.github]\norg = "o"\nrepo = "r"\n'
    two = 'render = "native"\nprovider = "github"\nsecrets = [{ env = "NEW" }, { env = "OLD" }]\n' + more
    with bench(tmp_path, two) as one, pytest.raises(BadSetting, match="GitHub signs with one secret"):
        one.project.publisher("app")


def test_without_a_secret_nothing_is_signed(tmp_path: Path) -> None:
    """An endpoint that checks nothing is sent the webhook without a signature."""
    bare = 'render = "native"\nprovider = "stripe"\nunsigned = true\n'
    with bench(tmp_path, bare, charges=[charge(1)]) as one:
        assert kinds(one.publish(message("charges", "charge.updated", "ch_0001"))) == [CONFIRMED]
        ((headers, _),) = one.app.came
    assert not [name for name in headers if "signature" in name]


def test_a_subscription_that_has_ended_is_told_by_its_true_event(tmp_path: Path) -> None:
    """A cancelled subscription is there still: its undelivered customer.subscription.deleted says what is so, and is sent."""
    ended = {"id": "sub_1", "object": "subscription", "status": "canceled", "created": 1_790_000_000}
    write_job(tmp_path, "subs", "stripe.subscriptions", "sub", fields='Field("status")')
    true = event(1, "customer.subscription.deleted", ended)
    with bench(tmp_path, undelivered=[true]) as one:
        one.account.subscriptions = [ended]  # type: ignore[attr-defined]  # the server looks lists up by name
        one.publish(message("subs", "sub.updated", "sub_1", before={"status": "active"}, changed=["status"]))
    assert one.bodies == [true]


def test_every_topic_of_ours_is_one_of_stripes() -> None:
    """Each event type that may be sent stands among those that Stripe's own library knows an endpoint can ask for."""
    (names,) = get_args(WebhookEndpointCreateParams.__annotations__["enabled_events"])
    known = set(get_args(names))
    ours = {topic for said in SAID.values() for topics in said.topics().values() for topic in topics}

    assert len(known) > 200
    assert ours - known == set()


GITHUB_TOML = """
[providers.github]
token = {{ env = "STRIPE_API_KEY" }}
org = "octo-org"
repo = "hello"
base_url = "{url}/"
"""
GITHUB = 'render = "native"\nprovider = "github"\nsecret = { env = "NEW" }\n'
REPOSITORY = {"id": 9, "name": "hello", "full_name": "octo-org/hello", "owner": {"login": "octo-org"}, "private": True, "archived": True}
PULL = {"number": 7, "state": "closed", "draft": False, "title": "A pull", "merged_by": {"login": "bob"}, "user": {"login": "alice"}}


def _github(call: Call) -> Answer:
    known: dict[str, Any] = {"/repos/octo-org/hello": REPOSITORY, "/repositories/9": REPOSITORY, "/repos/octo-org/hello/pulls/7": PULL}
    return Answer(known[call.path]) if call.path in known else Answer({"message": "Not Found"}, status=404)


@pytest.mark.parametrize(
    ("event", "before", "told"),
    [
        ("pulls pull.created 7", {}, ("pull_request", "opened", "bob")),
        ("pulls pull.updated 7", {"state": "open"}, ("pull_request", "closed", "bob")),
        ("pulls pull.updated 7", {"draft": True}, ("pull_request", "ready_for_review", "bob")),
        ("pulls pull.updated 7", {"title": "A pul"}, ("pull_request", "edited", "bob")),
        ("repos repo.updated 9", {"archived": False}, ("repository", "archived", "octo-org")),
        ("repos repo.updated 9", {"private": False}, ("repository", "privatized", "octo-org")),
        ("repos repo.updated 9", {"name": "hallo"}, ("repository", "renamed", "octo-org")),
        ("repos repo.deleted 8", {}, ("repository", "deleted", None)),
    ],
)
def test_github_names_what_changed(tmp_path: Path, event: str, before: dict[str, Any], told: tuple[str, str, str | None]) -> None:
    """The action is the one that GitHub would name by what differs, the item stands where GitHub has it, and somebody stands for the sender."""
    domain, kind, key = event.split()
    write_job(tmp_path, "pulls", "github.pulls", "pull", fields='Field("state"), Field("draft", "boolean"), Field("title")')
    repo = 'Field("archived", "boolean"), Field("private", "boolean"), Field("name")'
    write_job(tmp_path, "repos", "github.repositories", "repo", fields=repo)
    with scripted(_github) as server, bench(tmp_path, GITHUB + GITHUB_TOML.format(url=server.url)) as one:
        (outcome,) = one.publish(message(domain, kind, key, before=before, changed=list(before)))
        ((headers, _),) = one.app.came
    (body,) = one.bodies

    assert outcome.kind is CONFIRMED
    assert (headers["x-github-event"], body["action"], (body["sender"] or {}).get("login")) == told
    assert body["repository"] == (REPOSITORY if key != "8" else {"id": 8})
    if domain == "pulls":
        assert (body["number"], body["pull_request"]) == (7, PULL)
    if told[1] == "renamed":
        assert body["changes"] == {"repository": {"name": {"from": "hallo"}}}
    assert uuid.UUID(headers["x-github-delivery"])
    assert headers["x-hub-signature"].startswith("sha1=")


REST_TOML = """
[providers.shop]
type = "rest"
base_url = "{url}/"
[providers.shop.resources.orders]
path = "orders"
records = "data"
key = "ref.id"
get = "orders/{{key}}"
paging = {{ rule = "single" }}
"""
REST = 'render = "native"\nprovider = "shop"\nsecret = { env = "NEW" }\n'
ORDER = b'{"ref": {"id": "o1"}, "total": 19.90, "note": "1.0"}'


def shop(call: Call) -> Answer:
    """Two orders, one of them deleted."""
    return {"/orders/o1": Answer(ORDER), "/orders/o2": Answer({}, status=410)}.get(call.path, Answer({}, status=404))


@contextmanager
def rest_bench(folder: Path, webhooks: str, publisher: str = REST, secret: str = NEW) -> Iterator[Bench]:
    """A REST API that declares its webhooks so."""
    write_job(folder, "orders", "shop.orders", "order", fields='Field("total")')
    with scripted(shop) as server, bench(folder, publisher + REST_TOML.format(url=server.url) + webhooks) as one:
        environ = {"STRIPE_API_KEY": "x", "NEW": secret, "HOME": str(folder)}
        with Project.find(folder, environ=environ) as project:
            yield Bench(project, one.app, one.account)


def test_any_rest_api_that_signs_with_an_hmac(tmp_path: Path) -> None:
    """The declaration in the docs: the record byte for byte in its body, its headers, its topics by operation, and its signature."""
    with rest_bench(tmp_path, files_in("native-webhooks.md")["rest-webhooks.toml"]) as one:
        outcomes = one.publish(message("orders", "order.updated", "o1"), message("orders", "order.deleted", "o2"))
        says = one.project.publisher("app").says(one.project.job("orders"))  # type: ignore[attr-defined]  # beside the protocol

    assert kinds(outcomes) == [CONFIRMED] * 2
    (headers, body), (_, gone) = one.app.came
    assert body == b'{"event":"order.changed","sent_at":"2026-11-25T03:00:00Z","data":' + ORDER + b"}"
    assert json.loads(gone) == {"event": "order.removed", "sent_at": "2026-11-25T03:00:00Z", "data": {"id": "o2", "deleted": True}}
    assert (headers["x-shop-topic"], bool(uuid.UUID(headers["x-shop-delivery"]))) == ("order.changed", True)
    stamp, signature = (part.partition("=")[2] for part in headers["x-shop-signature"].split(","))
    assert signature == hmac.new(NEW.encode(), f"{stamp}.".encode() + body, "sha256").hexdigest()
    assert abs(int(stamp) - time.time()) < 60
    assert "order.created as order.placed, order.updated as order.changed" in says


def test_a_third_party_that_keeps_to_standard_webhooks(tmp_path: Path) -> None:
    """Declared as the docs say, its signature is taken by the reference library; the body is the record alone, a deletion its key."""
    lines = ['[providers.shop.webhooks]\nid_header = "webhook-id"\ntimestamp_header = "webhook-timestamp"']
    lines += [files_in("native-webhooks.md")["standard-webhooks.toml"], 'topics.orders = { updated = "order.changed", deleted = "gone" }']
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw1yJ5cQ0hZ1o="
    with rest_bench(tmp_path, "\n".join(lines), secret=secret) as one:
        events = [message("orders", f"order.{op}", key) for op, key in (("updated", "o1"), ("deleted", "o2"), ("created", "o1"))]
        outcomes = one.publish(*events)

    (headers, body), (_, gone) = one.app.came
    standardwebhooks.Webhook(secret).verify(body, headers)
    assert body == ORDER
    assert json.loads(gone) == {"ref": {"id": "o2"}}
    assert kinds(outcomes) == [CONFIRMED, CONFIRMED, RETRY]
    assert "names no topic for what was created" in outcomes[2].reason


@pytest.mark.parametrize(
    ("webhooks", "says"),
    [
        ("", "topics: is missing"),
        ('topics.things = { created = "x" }', "things: is no resource"),
        ('topics.orders = { created = "x", dropped = "y" }', "dropped: is not a setting"),
        ('topics.orders = { created = "x" }\nsignature = { over = "{body}" }', "signature] header: is missing"),
        ('topics.orders = { created = "x" }\nsignature = { header = "X-S", over = "{timestamp}" }', "leaves the body out"),
        ('topics.orders = { created = "x" }\nsignature = { header = "X-S", value = "v1" }', "leaves the signature out"),
        ('topics.orders = { created = "x" }\nsignature = { header = "X S" }', "is no name of a header"),
        ('topics.orders = { created = "x" }\nsignature = { header = "X-S", over = "{secret}.{body}" }', "has a place that it cannot have"),
        ('topics.orders = { created = "x" }\nsignature = { header = "X-S" }\nbody = { a = "{record}!" }', "stands alone"),
        ('topics.orders = { created = "x" }\nsignature = { header = "X-S" }\nbody = { a = "{who}" }', "has {who}"),
        ('topics.orders = { created = "x" }\nsignature = { header = "X-S" }\nbody = { a = "b" }', "leaves {record} out"),
        ('topics.orders = { created = "x" }\nsignature = { header = "X-S", key = "base64" }', "the secret is no base64"),
        ('topics.orders = { created = "x" }\nsignature = { header = "X-S" }\nheader = "X"', "header: is not a setting"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused(tmp_path: Path, webhooks: str, says: str) -> None:
    """Each mistake in `[providers.NAME.webhooks]` is refused by its key when the publisher is made."""
    with rest_bench(tmp_path, f"[providers.shop.webhooks]\n{webhooks}", secret="no base64!") as one, pytest.raises(BadSetting) as caught:
        one.project.publisher("app")
    assert says in str(caught.value)
    assert "no base64!" not in str(caught.value)


def test_what_the_doctor_says(tmp_path: Path) -> None:
    """The sentence names each event with the topics that it may become, and those that no webhook tells."""
    with bench(tmp_path) as one:
        says: Callable[[Any], str] = one.project.publisher("app").says  # type: ignore[attr-defined]  # beside the protocol, looked for by its name
        said = says(one.project.job("charges"))
    assert "charge.created as charge.succeeded or charge.pending or charge.failed" in said
    assert "charge.updated as charge.updated or" in said
    assert "no webhook tells charge.deleted" in said
    assert "an undelivered event of the last 30 days goes first" in said
