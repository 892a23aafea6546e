"""SQS, SNS and EventBridge beside a bare boto3: at moto, in a process of its own, one call after another on both sides.

moto is slow: for each message it takes, it counts those it holds (`Queue.attributes`). So a queue for each side, emptied before each run, and few events.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from recon.event import decode, entry
from recon.publishers.aws_message import parcel_of
from recon.publishers.base import Message, Publisher
from recon.testing.section import section
from tests.servers.postgres import free_port

ENTRIES = 10
START_SECONDS = 30.0
REGION = "us-east-1"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}

Pair = tuple[Publisher, Callable[[Sequence[Message]], None]]
Emptied = tuple[Publisher, Callable[[Sequence[Message]], None], Callable[[], object]]


@contextmanager
def moto() -> Iterator[str]:
    """The URL of moto, with credentials for it in the environment."""
    import boto3
    from botocore.exceptions import BotoCoreError

    url = f"http://127.0.0.1:{free_port()}"
    words = [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", url.rpartition(":")[2]]
    before = {name: os.environ.get(name) for name in KEYS}
    os.environ.update(KEYS)
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + START_SECONDS
    try:
        while True:
            try:
                boto3.client("sqs", endpoint_url=url, region_name=REGION).list_queues()
            except BotoCoreError:
                assert server.poll() is None, "moto ended as it started"
                assert time.monotonic() < until, "moto did not answer in time"
                time.sleep(0.1)
            else:
                break
        yield url
    finally:
        server.kill()
        server.wait()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def calls(batch: Sequence[Message], made: Callable[[Message], dict[str, Any]], send: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Ten to a call, as boto3's documentation shows it; fails where one was refused."""
    for start in range(0, len(batch), ENTRIES):
        answer = send([{**made(one), "Id": str(number)} for number, one in enumerate(batch[start : start + ENTRIES])])
        assert not answer.get("Failed"), answer["Failed"]


@contextmanager
def sqs() -> Iterator[Emptied]:
    """A FIFO queue each."""
    import boto3

    from recon.publishers.sqs import SQSPublisher

    with moto() as url:
        client = boto3.client("sqs", endpoint_url=url, region_name=REGION)

        def made(name: str) -> str:
            return client.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]

        own, bare = made("own"), made("bare")

        def emptied() -> None:
            # A queue may be purged once a minute only.
            for name, queue in (("own", own), ("bare", bare)):
                client.delete_queue(QueueUrl=queue)
                assert made(name) == queue

        yield (
            SQSPublisher(section("bus", queue=own, region=REGION, endpoint_url=url, connections=1, timeout="60s")),
            lambda batch: calls(
                batch,
                lambda one: parcel_of(one, bare, body="MessageBody").entry,
                lambda entries: client.send_message_batch(QueueUrl=bare, Entries=entries),
            ),
            emptied,
        )
        client.close()


@contextmanager
def sns() -> Iterator[Pair]:
    """A FIFO topic each, to which nobody subscribes."""
    import boto3

    from recon.publishers.sns import SNSPublisher

    with moto() as url:
        client = boto3.client("sns", endpoint_url=url, region_name=REGION)
        own, bare = (client.create_topic(Name=f"{name}.fifo", Attributes={"FifoTopic": "true"})["TopicArn"] for name in ("own", "bare"))
        yield (
            SNSPublisher(section("bus", topic=own, region=REGION, endpoint_url=url, connections=1, timeout="60s")),
            lambda batch: calls(
                batch,
                lambda one: parcel_of(one, bare, body="Message").entry,
                lambda entries: client.publish_batch(TopicArn=bare, PublishBatchRequestEntries=entries),
            ),
        )
        client.close()


@contextmanager
def eventbridge() -> Iterator[Pair]:
    """A bus for both, of which no rule takes anything; both make an entry of the stored event."""
    import boto3

    from recon.publishers.eventbridge import EventBridgePublisher

    with moto() as url:
        client = boto3.client("events", endpoint_url=url, region_name=REGION)
        client.create_event_bus(Name="bench")

        def bare(batch: Sequence[Message]) -> None:
            for start in range(0, len(batch), ENTRIES):
                answer = client.put_events(Entries=[entry(decode(one.body), bus="bench") for one in batch[start : start + ENTRIES]])
                assert not answer["FailedEntryCount"], answer["Entries"]

        yield EventBridgePublisher(section("bus", bus="bench", region=REGION, endpoint_url=url, connections=1, timeout="60s")), bare
        client.close()
