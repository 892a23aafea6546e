"""SQS, SNS and EventBridge against moto's server: the contract of every publisher, and what is their own."""

import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recon.errors import BadSetting, DeliveryError
from recon.event import decode
from recon.event.eventbridge import of_delivered
from recon.publishers.base import Message, OutcomeKind, Publisher
from recon.publishers.eventbridge import EventBridgePublisher
from recon.publishers.sns import SNSPublisher
from recon.publishers.sqs import SQSPublisher
from recon.secret import Secret
from recon.section import Section
from recon.testing import publisher_suite
from tests.integration.contract import keep
from tests.servers.aws import REGION, AwsServer, aws, moto_url

__all__ = ["aws", "moto_url"]

TYPES = {"sqs": SQSPublisher, "sns": SNSPublisher, "eventbridge": EventBridgePublisher}


def publisher(kind: str, **table: Any) -> Any:
    """The publisher as a table of recon.toml makes it."""
    return TYPES[kind](Section(name="bus", file=Path("recon.toml"), path="publishers.bus", table=table, folder=Path()))


class AwsBench:
    """A queue of its own, and for SNS and EventBridge a topic or a bus that leads there.

    `stop` cuts the way to moto (see tests.servers.aws), which keeps what it holds: a destination gone without warning.
    """

    many = 40

    def __init__(self, server: AwsServer, kind: str) -> None:
        self.server = server
        self.kind = kind
        # A group for all, which EventBridge's target has, would let one message at a time through: a standard queue behind it.
        self.queue = server.queue(fifo=kind != "eventbridge")
        places = {
            "sqs": lambda: {"queue": self.queue},
            "sns": lambda: {"topic": server.topic(self.queue)},
            "eventbridge": lambda: {"bus": server.bus(self.queue)},
        }
        self.place = places[kind]()
        self.seen: list[publisher_suite.Arrived] = []
        self.refuses: Message | None = None

    def publisher(self) -> Publisher:
        made: Publisher = publisher(self.kind, region=REGION, endpoint_url=self.server.url, timeout="5s", **self.place)
        return made

    def arrived(self) -> Sequence[publisher_suite.Arrived]:
        for one in self.server.drained(self.queue):
            body = one["Body"].encode()
            event = of_delivered(msgspec.json.decode(body)) if self.kind == "eventbridge" else decode(body)
            self.seen.append(publisher_suite.Arrived(id=event.id, key=event.partitionkey, body=event.encode()))
        return list(self.seen)

    def refused(self) -> Message | None:
        if self.kind == "sqs":
            (large,) = publisher_suite.messages(1, pad=2000)
            self.server.sqs.set_queue_attributes(QueueUrl=self.queue, Attributes={"MaximumMessageSize": "1500"})
            return large
        if self.kind == "eventbridge":
            (one,) = publisher_suite.messages(1)
            return (
                publisher_suite.message_of(msgspec.structs.replace(decode(one.body), type="x" * 129)) if False else _typed(one, "x" * 129)
            )
        return None

    def stop(self) -> bool:
        self.server.proxy.mode = "reset"
        return True

    def start(self) -> None:
        self.server.proxy.passes()


def _typed(message: Message, type_: str) -> Message:
    return publisher_suite.message_of(replace(decode(message.body), type=type_))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("check", publisher_suite.CHECKS, ids=publisher_suite.name_of)
def test_keeps_the_contract(aws: AwsServer, kind: str, check: Any) -> None:
    """What every publisher must keep to, over a destination that goes and comes back."""
    aws.proxy.passes()
    bench = AwsBench(aws, kind)
    # A topic takes anything that is not too large.
    keep(check, bench, cannot_show=publisher_suite.a_refused_event_costs_itself_alone if kind == "sns" else None)


def test_a_key_that_is_no_name_of_a_group_keeps_its_order(aws: AwsServer) -> None:
    """Keys with spaces, letters beyond ASCII, or more than 128 characters go into a FIFO queue, each in a group of its own."""
    aws.proxy.passes()
    bench = AwsBench(aws, "sqs")
    keys = ["größe 4", "größe 5", "k" * 400, "k" * 401]
    batch = [
        publisher_suite.message_of(replace(decode(one.body), partitionkey=keys[n % 4]))
        for n, one in enumerate(publisher_suite.messages(12))
    ]

    with closing(bench.publisher()) as sender:
        outcomes = sender.publish(batch, 10.0)

    assert {one.kind for one in outcomes} == {OutcomeKind.CONFIRMED}
    held = aws.drained(bench.queue)
    groups = {one["Attributes"]["MessageGroupId"] for one in held}
    assert len(groups) == 4
    assert all(re.fullmatch(r"[!-~]{1,128}", group) for group in groups)
    for key in keys:
        assert [e.id for one in held if (e := decode(one["Body"].encode())).partitionkey == key] == [
            m.id for m in batch if m.partitionkey == key
        ]


@pytest.mark.parametrize("kind", ["sqs", "sns"])
def test_what_xml_cannot_say_arrives_as_the_same_event(aws: AwsServer, kind: str) -> None:
    """Characters that JSON and UTF-8 allow and SQS refuses are escaped on the way; the event that is read is equal."""
    aws.proxy.passes()
    bench = AwsBench(aws, kind)
    (one,) = publisher_suite.messages(1)
    odd = replace(decode(one.body), data={"op": "updated", "key": "k", "state": {"\uffff": "a\ufffe\x00\x1f\x7f\U0001ffff"}})

    with closing(bench.publisher()) as sender:
        (outcome,) = sender.publish([publisher_suite.message_of(odd)], 10.0)

    assert outcome.kind is OutcomeKind.CONFIRMED
    (held,) = aws.drained(bench.queue)
    assert not set(held["Body"]) & {"\ufffe", "\uffff", "\x00", "\x1f"}
    assert decode(held["Body"].encode()) == odd


def test_attributes_say_what_a_filter_wants(aws: AwsServer) -> None:
    """Ten attributes at most, percent-encoded beyond ASCII; those that an event does not have are left out."""
    aws.proxy.passes()
    bench = AwsBench(aws, "sqs")
    (one,) = publisher_suite.messages(1)
    full = publisher_suite.message_of(replace(decode(one.body), subject="order/größe", account="kunde 7", region="eu"))

    with closing(bench.publisher()) as sender:
        sender.publish([one, replace(full, id="x", partitionkey="other", replay="01REPLAY")], 10.0)

    plain, rich = ({name: said["StringValue"] for name, said in held["MessageAttributes"].items()} for held in aws.drained(bench.queue))
    assert (plain["ce-id"], plain["ce-type"], plain["ce-dataversion"]) == (one.id, one.type, "1")
    assert plain["content-type"] == "application/cloudevents+json"
    assert not {"recon-replay-id", "ce-account"} & plain.keys()
    assert (rich["recon-replay-id"], rich["ce-account"], rich["ce-subject"]) == ("01REPLAY", "kunde%207", "order/gr%C3%B6%C3%9Fe")
    assert len(rich) == 10


def test_the_place_may_follow_the_event(aws: AwsServer) -> None:
    """`{entity}` and `{domain}` lead each event to a queue of its own; one that is not there costs its own events a delay and no others."""
    aws.proxy.passes()
    aws.sqs.create_queue(QueueName="fix-order-orders.fifo", Attributes={"FifoQueue": "true"})
    batch = publisher_suite.messages(3)
    lost = replace(batch[1], type="refund.updated")

    with closing(publisher("sqs", queue="fix-{entity}-{domain}.fifo", region=REGION, endpoint_url=aws.url)) as sender:
        outcomes = sender.publish([batch[0], lost, batch[2]], 10.0)
        said = sender.health()

    assert [one.kind for one in outcomes] == ["confirmed", "retry", "confirmed"]
    assert "fix-refund-orders.fifo is not there" in outcomes[1].reason
    assert "depends on it: fix-{entity}" in said


def test_health_says_what_is_there(aws: AwsServer) -> None:
    """A queue's limit, a topic without subscribers and what keeps no order are said; what is not there is an error with the way out."""
    aws.proxy.passes()
    queue = aws.queue(fifo=False, MaximumMessageSize="262144")
    topic = aws.sns.create_topic(Name="lonely")["TopicArn"]
    there = {"sqs": {"queue": queue}, "sns": {"topic": topic}, "eventbridge": {"bus": aws.bus(queue)}}
    absent = {"sqs": {"queue": "no-such"}, "sns": {"topic": topic + "-no"}, "eventbridge": {"bus": "no-such"}}
    says = {
        "sqs": "set max_bytes = 262144; a standard queue keeps no order",
        "sns": "nobody subscribes",
        "eventbridge": "a bus keeps no order",
    }

    for kind, table in there.items():
        with closing(publisher(kind, region=REGION, endpoint_url=aws.url, **table)) as sender:
            assert says[kind] in sender.health()
    for kind, table in absent.items():
        with closing(publisher(kind, region=REGION, endpoint_url=aws.url, **table)) as sender:
            with pytest.raises(DeliveryError, match="is not there") as caught:
                sender.health()
            assert caught.value.hint


@pytest.mark.parametrize(
    ("kind", "table", "says"),
    [
        ("sqs", {}, "queue: is missing"),
        ("sqs", {"queue": "a-{tenant}"}, "has {tenant}, which no event has"),
        ("sqs", {"queue": "q", "max_bytes": 2_000_000}, "SQS takes at most 1,048,576"),
        ("sqs", {"queue": "q", "access_key": "AKIA"}, "by reference only"),
        ("sqs", {"queue": "q", "access_key": Secret("AKIA")}, "go together"),
        ("sqs", {"queue": "q", "connections": 0}, "at least 1"),
        ("sqs", {"queue": "q", "endpoint_url": "http://sqs.example"}, "readable on the way"),
        ("sqs", {"queue": "q", "endpoint_url": "sqs.example"}, "wants https://"),
        ("sqs", {"queue": "q", "topic": "x"}, "topic"),
        ("sns", {"topic": "corrections"}, "is no ARN"),
        ("eventbridge", {"endpoint_id": "abcde.veo"}, "awscrt"),
    ],
)
def test_wrong_settings_are_refused(kind: str, table: dict[str, Any], says: str) -> None:
    """Each mistake in the table is named with its key."""
    with pytest.raises(BadSetting, match=re.escape(says)):
        publisher(kind, **table)


def test_keys_may_come_from_the_table(aws: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With access_key and secret_key by reference no other credentials are looked for."""
    aws.proxy.passes()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    keys = {"access_key": Secret("AKIATABLE"), "secret_key": Secret("of-the-table")}

    with closing(publisher("sqs", queue=aws.queue(), region=REGION, endpoint_url=aws.url, **keys)) as sender:
        (outcome,) = sender.publish(publisher_suite.messages(1), 10.0)

    assert outcome.kind is OutcomeKind.CONFIRMED


def test_what_is_no_event_is_refused_alone(aws: AwsServer) -> None:
    """A body that no reader could read is not sent at all; its neighbour is."""
    aws.proxy.passes()
    one, other = publisher_suite.messages(2)

    with closing(AwsBench(aws, "sqs").publisher()) as sender:
        outcomes = sender.publish([replace(one, body=b"{}"), other], 10.0)

    assert [(found.kind, found.reason) for found in outcomes] == [("rejected", outcomes[0].reason), ("confirmed", "")]
    assert "not an event of this system" in outcomes[0].reason
