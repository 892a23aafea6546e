"""Google Pub/Sub against the stand-in of tests.servers.pubsub: the contract of every publisher, and what is its own."""

import itertools
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.auth.credentials import AnonymousCredentials
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from recon.errors import BadSetting, DeliveryError
from recon.event import decode
from recon.event.cloudevents import of_wire
from recon.publishers.base import Message, OutcomeKind
from recon.publishers.pubsub import PubSubPublisher
from recon.secret import Secret
from recon.section import Section
from recon.testing import publisher_suite
from recon.testing.publisher_suite import messages
from tests.integration.contract import keep
from tests.servers.postgres import free_port
from tests.servers.proxy import Proxy
from tests.servers.pubsub import PubSubServer

_names = itertools.count(1)


def publisher(**table: Any) -> PubSubPublisher:
    """The publisher as a table of recon.toml makes it."""
    return PubSubPublisher(Section(name="bus", file=Path("recon.toml"), path="publishers.bus", table=table, folder=Path(), environ={}))


class PubSubBench:
    """A topic and a subscription of its own, read by Google's own client."""

    def __init__(self, server: PubSubServer) -> None:
        self.server = server
        number = next(_names)
        self.topic = f"projects/shop/topics/corrections-{number}"
        self.subscription = f"projects/shop/subscriptions/corrections-{number}"
        with grpc.insecure_channel(server.url) as channel:
            PublisherClient(transport=PublisherGrpcTransport(channel=channel)).create_topic(name=self.topic)
            self._reader(channel).create_subscription(
                request=types.Subscription(name=self.subscription, topic=self.topic, enable_message_ordering=True)
            )
        self.seen: list[types.PubsubMessage] = []

    @staticmethod
    def _reader(channel: grpc.Channel) -> SubscriberClient:
        return SubscriberClient(transport=SubscriberGrpcTransport(channel=channel, credentials=AnonymousCredentials()))

    def publisher(self, **more: Any) -> PubSubPublisher:
        return publisher(topic=self.topic, endpoint=self.server.url, **more)

    def read(self) -> list[types.PubsubMessage]:
        """All that ever came to the subscription, in its order."""
        with grpc.insecure_channel(self.server.url, options=[("grpc.max_receive_message_length", -1)]) as channel:
            reader = self._reader(channel)
            while got := reader.pull(subscription=self.subscription, max_messages=1000).received_messages:
                self.seen += [one.message for one in got]
                reader.acknowledge(subscription=self.subscription, ack_ids=[one.ack_id for one in got])
        return self.seen

    def arrived(self) -> Sequence[publisher_suite.Arrived]:
        return [publisher_suite.Arrived(id=one.attributes["ce-id"], key=one.ordering_key, body=one.data) for one in self.read()]

    def refused(self) -> Message | None:
        return None

    def stop(self) -> bool:
        self.server.kill()
        return True

    def start(self) -> None:
        self.server.start()


@pytest.fixture(scope="module")
def pubsub() -> Iterator[PubSubServer]:
    """One server for this file."""
    with PubSubServer() as server:
        yield server


@pytest.fixture
def bench(pubsub: PubSubServer) -> PubSubBench:
    """A topic of this test's own."""
    pubsub.start()
    pubsub.may_publish = True
    pubsub.requests.clear()
    return PubSubBench(pubsub)


@pytest.mark.parametrize("check", publisher_suite.CHECKS, ids=publisher_suite.name_of)
def test_keeps_the_contract(bench: PubSubBench, check: Any) -> None:
    """What every publisher must keep to, over a server that goes and comes back with what it held."""
    # A topic takes anything that is not too large.
    keep(check, bench, cannot_show=publisher_suite.a_refused_event_costs_itself_alone)


@pytest.mark.parametrize("form", ["structured", "binary"])
def test_each_form_reads_back_as_the_event(bench: PubSubBench, form: str) -> None:
    """Data and attributes read back as the event, with what lies beyond ASCII; a replay is marked beside it."""
    (one,) = messages(1)
    sent = publisher_suite.message_of(replace(decode(one.body), subject="order/größe", account="kunde ✓"))

    with closing(bench.publisher(form=form)) as sender:
        (outcome,) = sender.publish([replace(sent, replay="01REPLAY")], 5.0)

    assert outcome.kind is OutcomeKind.CONFIRMED
    (got,) = bench.read()
    assert of_wire(dict(got.attributes), got.data) == [decode(sent.body)]
    assert (got.data == sent.body) is (form == "structured")
    assert got.attributes["recon-replay-id"] == "01REPLAY"


def test_a_request_has_one_key_unless_order_does_not_matter(bench: PubSubBench) -> None:
    """Twelve events of three keys are three requests of four; with `ordered = false` they are one, without ordering keys."""
    with closing(bench.publisher()) as sender:
        sender.publish(messages(12, keys=3), 5.0)
    with closing(bench.publisher(ordered=False)) as sender:
        sender.publish(messages(12, keys=3), 5.0)
        assert not sender.capabilities.ordered

    assert bench.server.requests == [4, 4, 4, 12]
    assert [one.ordering_key for one in bench.read()[12:]] == [""] * 12


def test_requests_are_cut_by_count_and_bytes(bench: PubSubBench) -> None:
    """Of one key 1,010 small events are two requests; of 4 MB each two go in one."""
    with closing(bench.publisher()) as sender:
        assert {one.kind for one in sender.publish(messages(1010, keys=1), 10.0)} == {OutcomeKind.CONFIRMED}
        assert {one.kind for one in sender.publish(messages(3, keys=1, pad=4_000_000), 10.0)} == {OutcomeKind.CONFIRMED}

    assert bench.server.requests == [1000, 10, 2, 1]


def test_a_refused_message_is_found_by_halving(bench: PubSubBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One message that the service does not take costs its whole request: it is found, refused alone, and its neighbours arrive in order."""
    batch = messages(9, keys=1)
    monkeypatch.setattr(
        "tests.servers.pubsub._wrong",
        lambda request: "A value is too long." if any(m.data == batch[5].body for m in request.messages) else "",
    )

    with closing(bench.publisher()) as sender:
        outcomes = sender.publish(batch, 5.0)

    assert [one.kind.value for one in outcomes] == ["confirmed"] * 5 + ["rejected"] + ["confirmed"] * 3
    assert [one.data for one in bench.read()] == [one.body for one in batch if one is not batch[5]]


def test_words_about_a_setting_refuse_no_event(bench: PubSubBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """INVALID_ARGUMENT that speaks of a schema is not held against the events: they wait."""
    monkeypatch.setattr("tests.servers.pubsub._wrong", lambda _: "Invalid data in message: Message failed schema validation.")

    with closing(bench.publisher()) as sender:
        outcomes = sender.publish(messages(40), 5.0)

    assert {one.kind for one in outcomes} == {OutcomeKind.RETRY}
    assert "look at its name and its schema" in outcomes[0].reason


def test_a_topic_that_is_not_there_ends_its_calls_and_no_others(bench: PubSubBench) -> None:
    """The topic may follow the event; a missing one is RETRY with the way out, and the others' events arrive."""
    template = bench.topic.rpartition("/")[2].replace("corrections", "{entity}")
    batch = messages(4)
    good = replace(batch[1], type="corrections.updated")

    with closing(publisher(topic=template, project="shop", endpoint=bench.server.url)) as sender:
        outcomes = sender.publish([batch[0], good, *batch[2:]], 5.0)
        said = sender.health()

    assert [one.kind for one in outcomes] == ["retry", "confirmed", "retry", "retry"]
    assert re.search(r"topics/order-\d+ is not there \(NOT_FOUND", outcomes[0].reason)
    assert outcomes[0].after is not None
    assert "depends on it" in said


@pytest.mark.parametrize(
    ("status", "words", "kind", "says"),
    [
        ("PERMISSION_DENIED", "User not authorized", "retry", "grant roles/pubsub.publisher"),
        ("UNAUTHENTICATED", "Request had invalid credentials", "retry", "renew them"),
        ("RESOURCE_EXHAUSTED", "Quota exceeded for quota metric", "retry", "throttles"),
        ("FAILED_PRECONDITION", "KMS key disabled", "retry", "encryption key"),
        ("ABORTED", "", "unknown", "ABORTED"),
        ("INTERNAL", "oh", "unknown", "INTERNAL"),
        ("UNAVAILABLE", "The service was unable to fulfill your request", "unknown", "UNAVAILABLE"),
    ],
)
def test_each_status_says_what_to_do(
    bench: PubSubBench, monkeypatch: pytest.MonkeyPatch, *, status: str, words: str, kind: str, says: str
) -> None:
    """A fault of the destination costs no event, names the way out, and is not asked for a thousand times."""
    calls = []

    def known(self: Any, topic: str, context: Any) -> None:
        calls.append(topic)
        context.abort(grpc.StatusCode[status], words)

    monkeypatch.setattr(PubSubServer, "_known", known)

    with closing(bench.publisher()) as sender:
        outcomes = sender.publish(messages(500), 5.0)

    assert outcomes[0].kind == kind
    assert {one.kind for one in outcomes} <= {OutcomeKind.RETRY, OutcomeKind.UNKNOWN}
    assert says in outcomes[0].reason
    assert len(calls) <= 110


def test_later_events_of_a_key_wait_for_an_earlier_one(bench: PubSubBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of three requests of one key fails: the third is not sent, and another key's are not held up by it."""
    batch = messages(2001, keys=1)
    asked = []

    def wrong(request: Any) -> str:
        asked.append(len(request.messages))
        return "Resource name invalid." if len(asked) == 2 else ""

    monkeypatch.setattr("tests.servers.pubsub._wrong", wrong)

    with closing(bench.publisher()) as sender:
        outcomes = sender.publish(batch, 10.0)

    assert asked == [1000, 1000]
    assert [one.kind for one in outcomes] == [OutcomeKind.CONFIRMED] * 1000 + [OutcomeKind.RETRY] * 1001
    assert "has to arrive first" in outcomes[-1].reason


def test_silence_ends_with_the_deadline(bench: PubSubBench) -> None:
    """A server that takes and does not answer costs the deadline and no more, and confirms nothing."""
    with (
        Proxy(("127.0.0.1", bench.server.port)) as proxy,
        closing(publisher(topic=bench.topic, endpoint=f"127.0.0.1:{proxy.port}")) as sender,
    ):
        assert sender.publish(messages(1), 5.0)[0].kind is OutcomeKind.CONFIRMED
        proxy.mode = "silent"
        begun = time.monotonic()
        outcomes = sender.publish(messages(300), 0.5)
        took = time.monotonic() - begun

    assert took < 2.0
    assert {one.kind for one in outcomes} <= {OutcomeKind.UNKNOWN, OutcomeKind.RETRY}
    assert "DEADLINE_EXCEEDED" in outcomes[0].reason


def test_long_keys_and_subjects_are_taken(bench: PubSubBench) -> None:
    """A key beyond what an ordering key may have is hashed, an attribute beyond its limit left out; binary, which needs it, refuses the event."""
    (one,) = messages(1)
    long = publisher_suite.message_of(replace(decode(one.body), partitionkey="k" * 2000, subject="order/" + "k" * 2000))

    with closing(bench.publisher()) as sender:
        assert sender.publish([long], 5.0)[0].kind is OutcomeKind.CONFIRMED
    with closing(bench.publisher(form="binary")) as sender:
        (outcome,) = sender.publish([long], 5.0)

    (got,) = bench.read()
    assert decode(got.data) == decode(long.body)
    assert got.ordering_key.startswith("sha256-")
    assert (outcome.kind, "form = structured takes it" in outcome.reason) == (OutcomeKind.REJECTED, True)


def test_health_says_what_is_wrong(bench: PubSubBench) -> None:
    """There, not there, not allowed, and an emulator that knows no permissions."""
    with closing(bench.publisher()) as sender:
        assert "is there and takes events" in sender.health()
        bench.server.may_publish = None
        assert "is there and takes events" in sender.health()
        bench.server.may_publish = False
        with pytest.raises(DeliveryError, match="may not publish") as caught:
            sender.health()
        assert "roles/pubsub.publisher" in (caught.value.hint or "")
    with (
        closing(publisher(topic="projects/shop/topics/none", endpoint=bench.server.url)) as sender,
        pytest.raises(DeliveryError, match="is not there"),
    ):
        bench.server.may_publish = True
        sender.health()


def test_without_credentials_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """To a server that is not loopback it goes with credentials and TLS; where there are none, that is said and nothing is sent."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))

    with closing(publisher(topic="projects/shop/topics/x")) as sender:
        (outcome,) = sender.publish(messages(1), 2.0)

    assert outcome.kind is OutcomeKind.RETRY
    assert "gcloud auth application-default login" in outcome.reason


def test_the_emulator_is_found_by_its_variable(bench: PubSubBench) -> None:
    """PUBSUB_EMULATOR_HOST leads there, as it does for Google's own clients."""
    section = Section(
        name="bus",
        file=Path("recon.toml"),
        path="publishers.bus",
        table={"topic": bench.topic},
        folder=Path(),
        environ={"PUBSUB_EMULATOR_HOST": bench.server.url},
    )

    with closing(PubSubPublisher(section)) as sender:
        assert sender.publish(messages(1), 5.0)[0].kind is OutcomeKind.CONFIRMED


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({}, "topic: is missing"),
        ({"topic": "corrections"}, "is no whole name"),
        ({"topic": "projects/shop/corrections"}, "is no name of a topic"),
        ({"topic": "projects/shop/topics/{tenant}"}, "has {tenant}, which no event has"),
        ({"topic": "projects/shop/topics/x", "endpoint": "http://localhost"}, "wants host:port"),
        ({"topic": "projects/shop/topics/x", "credentials": "{}"}, "by reference only"),
        ({"topic": "projects/shop/topics/x", "credentials": Secret("hush-hush")}, "leads to no key of a service account"),
        ({"topic": "projects/shop/topics/x", "credentials": Secret("[1]")}, "leads to no key of a service account"),
        ({"topic": "projects/shop/topics/x", "form": "avro"}, "none of structured, binary"),
        ({"topic": "projects/shop/topics/x", "queue": "y"}, "queue"),
    ],
)
def test_wrong_settings_are_refused(table: dict[str, Any], says: str) -> None:
    """Each mistake in the table is named with its key."""
    with pytest.raises(BadSetting, match=re.escape(says)):
        publisher(**table)


def test_credentials_that_are_none_are_said() -> None:
    """What stands in `credentials` and is no key of a service account: RETRY, and its text is not quoted."""
    with closing(
        publisher(
            topic="projects/shop/topics/x",
            credentials=Secret('{"type": "service_account", "private": "hush-hush"}'),
            endpoint=f"pubsub.invalid:{free_port()}",
        )
    ) as sender:
        (outcome,) = sender.publish(messages(1), 2.0)

    assert outcome.kind is OutcomeKind.RETRY
    assert "credentials" in outcome.reason
    assert "hush-hush" not in outcome.reason


def test_where_nobody_listens_nothing_was_sent() -> None:
    """A port that is closed: RETRY, since nothing can have arrived."""
    with closing(publisher(topic="projects/shop/topics/x", endpoint=f"127.0.0.1:{free_port()}")) as sender:
        (outcome,) = sender.publish(messages(1), 5.0)

    assert outcome.kind is OutcomeKind.RETRY
    assert outcome.reason.startswith("no connection to Pub/Sub")
