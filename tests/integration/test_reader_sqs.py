"""Reading SQS: the contract of every reader against moto's server, from the outbox to the reader by each way, what is in another envelope, and what is given back."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from recon.consume.readers.sqs import SQSReader
from recon.consume.readers.unwrap import unwrapped
from recon.event import decode
from recon.event.cloudevents import of_wire
from recon.event.eventbridge import delivered
from recon.outbox.delivery import drain
from recon.publishers.base import Message, OutcomeKind
from recon.state.database import State
from recon.state.tables import events
from recon.testing import publisher_suite, reader_suite
from recon.testing.clock import FixedClock
from tests.integration.state.world import START, Nights, changed, migrated_file
from tests.integration.test_publishers_aws import publisher
from tests.servers.aws import REGION, AwsServer, aws, moto_url

__all__ = ["aws", "migrated_file", "moto_url"]


SHORT = {reader_suite.a_reader_that_dies_loses_nothing, reader_suite.a_server_that_dies_loses_nothing}


class SQSBench:
    """A FIFO queue of its own. What a dead reader had in hand comes again after `visibility` seconds; `stop` cuts the way to moto."""

    def __init__(self, server: AwsServer, visibility: int) -> None:
        self.server = server
        self.visibility = visibility
        self.patience = visibility + 0.5 if visibility < 10 else 0.2
        self.queue = server.queue()

    def reader(self) -> SQSReader:
        return SQSReader(self.queue, region=REGION, endpoint_url=self.server.url, visibility=self.visibility)

    def put(self, batch: Sequence[Message]) -> None:
        sender = publisher("sqs", queue=self.queue, region=REGION, endpoint_url=self.server.url)
        outcomes = sender.publish(batch, 20.0)
        sender.close()
        assert {one.kind for one in outcomes} == {OutcomeKind.CONFIRMED}

    def lose(self, reader: SQSReader) -> bool:
        """Its process is gone: nobody says a word of what it has in hand."""
        return True

    def stop(self) -> bool:
        self.server.proxy.mode = "reset"
        return True

    def start(self) -> None:
        self.server.proxy.passes()


@pytest.mark.parametrize("check", reader_suite.CHECKS, ids=reader_suite.name_of)
def test_keeps_the_contract(aws: AwsServer, check: Any) -> None:
    """What every reader must keep to, over a queue that goes and comes back."""
    aws.proxy.passes()
    check(SQSBench(aws, 1 if check in SHORT else 60))


@pytest.mark.parametrize("way", ["sqs", "sns", "sns raw", "eventbridge"])
def test_from_the_outbox_to_the_reader_it_is_the_same_event(aws: AwsServer, migrated_file: Path, tmp_path: Path, way: str) -> None:
    """Drained from the outbox over each of the ways that lead to a queue, every event that was emitted is read as itself, once."""
    aws.proxy.passes()
    kind = way.partition(" ")[0]
    queue = aws.queue(fifo=kind != "eventbridge")
    places = {
        "sqs": lambda: {"queue": queue},
        "sns": lambda: {"topic": aws.topic(queue, raw="raw" in way)},
        "eventbridge": lambda: {"bus": aws.bus(queue)},
    }
    sender = publisher(kind, region=REGION, endpoint_url=aws.url, **places[kind]())
    shutil.copy(migrated_file, tmp_path / "state.db")
    with State.open(f"sqlite:///{tmp_path}/state.db", clock=FixedClock(START)) as state:
        nights = Nights(state, FixedClock(START))
        nights.night([changed(f"größe {n} <&>") for n in range(12)])
        figure = drain(state, sender, name="bus", domain="orders", clock=nights.clock, deadline=30.0)
        with state.read() as conn:
            emitted = [decode(body) for (body,) in conn.execute(select(events.c.body))]
    sender.close()

    assert (figure.confirmed, len(emitted)) == (12, 12)
    reader = SQSReader(queue.rpartition("/")[2], region=REGION, endpoint_url=aws.url)
    read = []
    while len(read) < len(emitted) and (hand := reader.receive(10, 5.0)):
        read += [event for one in hand for event in of_wire(one.headers, one.body, prefix=reader.prefix)]
        reader.done(hand)
    reader.close()
    assert aws.drained(queue) == []
    assert sorted(read, key=lambda one: one.id) == sorted(emitted, key=lambda one: one.id)


def wrapped(message: str) -> bytes:
    """A notification of SNS as a queue gets it without raw delivery."""
    attribute = {"Type": "String", "Value": "01REPLAY"}
    return msgspec.json.encode(
        {"Type": "Notification", "TopicArn": "arn", "Message": message, "MessageAttributes": {"Recon-Replay-Id": attribute}}
    )


def test_one_envelope_in_the_other_is_unwrapped() -> None:
    """A rule of EventBridge that leads to a topic, and the topic to the queue: the event is found within both, the replay beside it."""
    event = decode(publisher_suite.messages(1)[0].body)

    body, headers = unwrapped(wrapped(msgspec.json.encode(delivered(event)).decode()), {})

    assert of_wire(headers, body) == [event]
    assert headers["recon-replay-id"] == "01REPLAY"


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"[1]",
        b'"text"',
        b"{}",
        b'{"detail-type": "EC2 Instance State-change Notification", "source": "aws.ec2", "detail": {}}',
        wrapped("hello"),
        b'{"Type": "Notification", "Message": "hello", "MessageAttributes": "none"}',
        b'{"detail-type": "order.updated", "time": "0001-01-01T00:00:00+14:00", "detail": {"metadata": {}}}',
    ],
)
def test_what_is_no_event_of_ours_is_left_for_the_dead_letters(body: bytes) -> None:
    """Another system's message is handed over as it came, and said to be no event."""
    found, headers = unwrapped(body, {})

    assert headers["content-type"] == "application/json"
    assert found == (b"hello" if b"hello" in body else body)
    with pytest.raises(ValueError, match="no event of this system"):
        of_wire(headers, found)


def test_attempts_are_counted_and_a_place_is_named(aws: AwsServer) -> None:
    """Given back, a message says that it comes for the second time, and where it is."""
    aws.proxy.passes()
    bench = SQSBench(aws, 60)
    bench.put(publisher_suite.messages(1))
    reader = bench.reader()

    (first,) = reader.receive(10, 1.0)
    reader.again([first])
    (second,) = reader.receive(10, 1.0)
    reader.done([second])
    reader.close()

    assert (first.attempt, second.attempt) == (1, 2)
    assert first.place.startswith(bench.queue.rpartition("/")[2] + "@")


def test_what_follows_in_the_group_is_given_back_too(aws: AwsServer) -> None:
    """The first of three of a group is given back: the other two are not done by saying so, and come behind it."""
    aws.proxy.passes()
    bench = SQSBench(aws, 60)
    batch = publisher_suite.messages(3, keys=1)
    bench.put(batch)
    reader = bench.reader()

    hand = reader.receive(10, 1.0)
    reader.again(hand[:1])
    reader.done(hand[1:])
    came = reader.receive(10, 1.0)
    reader.close()

    assert [decode(one.body).id for one in came] == [one.id for one in batch]


def test_a_visibility_that_sqs_does_not_take_is_refused() -> None:
    """Twelve hours at most, a second at least."""
    for wrong in (0, 43_201):
        with pytest.raises(ValueError, match="SQS takes 1 to 43200 seconds"):
            SQSReader("q", visibility=wrong)
