"""SQS, SNS and EventBridge against moto's server: the contract of every publisher, and what is their own."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recon.errors import DeliveryError
from recon.event import decode
from recon.event.eventbridge import of_delivered
from recon.publishers.base import Message, OutcomeKind, Publisher
from recon.publishers.eventbridge import EventBridgePublisher
from recon.publishers.sns import SNSPublisher
from recon.publishers.sqs import SQSPublisher
from recon.section import Section
from recon.testing import publisher_suite
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

    many = 80

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
    if check is publisher_suite.a_refused_event_costs_itself_alone and kind == "sns":
        # A topic takes anything that is not too large.
        with pytest.raises(publisher_suite.Skipped):
            check(bench)
        return
    check(bench)
