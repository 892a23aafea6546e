"""SQS, SNS and EventBridge on loopback: moto's server in this process, behind a proxy that can be cut.

moto keeps everything in memory, so it cannot be killed and come back with what it held. What can be: the way to it. A cut proxy resets
every connection and each new one, as a service does that is gone without warning, and comes back with what it held.
moto answers about a hundred messages a second, and is not AWS: it neither throttles nor refuses single entries of a batch, and SNS there drops no repeat.
"""

import itertools
import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from tests.servers.bucket import moto_url
from tests.servers.proxy import Proxy

__all__ = ["aws", "moto_url"]

REGION = "us-east-1"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "loopback-only"}
_names = itertools.count(1)


class AwsServer:
    """The services by their names, and queues, topics and buses of a test's own; `url` leads over the `proxy`."""

    def __init__(self, direct: str, proxy: Proxy) -> None:
        self.direct = direct
        self.proxy = proxy
        self.url = f"http://127.0.0.1:{proxy.port}"
        self.sqs, self.sns, self.events = (self.client(name) for name in ("sqs", "sns", "events"))

    def client(self, service: str, *, url: str | None = None) -> Any:
        """A client that goes around the proxy, or to `url`."""
        keys = {name.lower(): value for name, value in KEYS.items()}
        return boto3.client(service, endpoint_url=url or self.direct, region_name=REGION, **keys)

    def queue(self, *, fifo: bool = True, **attributes: str) -> str:
        """The URL of a new queue."""
        name = f"corrections-{next(_names)}" + (".fifo" if fifo else "")
        wanted = {**({"FifoQueue": "true"} if fifo else {}), **attributes}
        return str(self.sqs.create_queue(QueueName=name, Attributes=wanted)["QueueUrl"]).replace(self.direct, self.url)

    def arn(self, queue: str) -> str:
        """A queue's ARN."""
        return str(self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])

    def topic(self, queue: str, *, raw: bool = True, fifo: bool = True) -> str:
        """The ARN of a new topic, to which a queue subscribes."""
        name = f"corrections-{next(_names)}" + (".fifo" if fifo else "")
        arn = str(self.sns.create_topic(Name=name, Attributes={"FifoTopic": "true"} if fifo else {})["TopicArn"])
        self.sns.subscribe(
            TopicArn=arn, Protocol="sqs", Endpoint=self.arn(queue), Attributes={"RawMessageDelivery": "true" if raw else "false"}
        )
        return arn

    def bus(self, queue: str) -> str:
        """The name of a new bus, of which everything goes to a queue."""
        name = f"corrections-{next(_names)}"
        self.events.create_event_bus(Name=name)
        self.events.put_rule(
            Name=f"{name}-all", EventBusName=name, EventPattern=json.dumps({"detail": {"metadata": {"origin": ["reconciliation"]}}})
        )
        target: dict[str, Any] = {"Id": "queue", "Arn": self.arn(queue)}
        if queue.endswith(".fifo"):
            target["SqsParameters"] = {"MessageGroupId": "all"}
        self.events.put_targets(Rule=f"{name}-all", EventBusName=name, Targets=[target])
        return name

    def drained(self, queue: str) -> list[dict[str, Any]]:
        """What a queue holds, in its order; it is empty after."""
        found: list[dict[str, Any]] = []
        while True:
            got = self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"])
            if not got.get("Messages"):
                return found
            found += got["Messages"]
            entries = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(got["Messages"])]
            self.sqs.delete_message_batch(QueueUrl=queue, Entries=entries)


@pytest.fixture(scope="module")
def aws(moto_url: str) -> Iterator[AwsServer]:
    """The server for a module; credentials stand in the environment, as they do on a machine of AWS."""
    parts = urlsplit(moto_url)
    with pytest.MonkeyPatch.context() as patch, Proxy((str(parts.hostname), int(parts.port or 0))) as proxy:
        for name, value in {
            **KEYS,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "none",
            "AWS_SHARED_CREDENTIALS_FILE": "none",
        }.items():
            patch.setenv(name, value)
        logging.getLogger("werkzeug").setLevel(logging.WARNING)  # It says each request.
        yield AwsServer(moto_url, proxy)
