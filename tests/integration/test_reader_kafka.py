"""Kafka read back from a real broker that is killed and comes back: the contract of every reader, and the groups of Kafka."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from recon.consume.reader import Reader
from recon.consume.readers.kafka import KafkaReader
from recon.publishers.base import Message, OutcomeKind
from recon.testing import reader_suite
from tests.integration.test_publisher_kafka import publisher
from tests.servers.kafka import KafkaServer

PARTITIONS = 3


class KafkaReaderBench:
    """A topic of its own on the broker, all of whose partitions each reader reads."""

    patience = 0.0

    def __init__(self, server: KafkaServer) -> None:
        self.server = server
        self.topic = server.topic(PARTITIONS)
        self.lost: list[Reader] = []

    def reader(self) -> KafkaReader:
        # This broker takes 23 s to let somebody into a group; the offsets are the group's all the same.
        return KafkaReader(self.server.brokers, self.topic, f"of-{self.topic}", partitions=range(PARTITIONS))

    def put(self, batch: Sequence[Message]) -> None:
        sender = publisher(self.server.brokers, topic=self.topic)
        assert {outcome.kind for outcome in sender.publish(batch, 20.0)} == {OutcomeKind.CONFIRMED}
        sender.close()

    def lose(self, reader: Reader) -> bool:
        # It is not spoken to again; its client would only tell the broker that it goes.
        self.lost.append(reader)
        return True

    def stop(self) -> bool:
        self.server.kill()
        return True

    def start(self) -> None:
        self.server.start()


@pytest.fixture(scope="module")
def kafka() -> Iterator[KafkaServer]:
    """One broker for this file."""
    with KafkaServer() as server:
        yield server


@pytest.mark.parametrize("check", reader_suite.CHECKS, ids=reader_suite.name_of)
def test_keeps_the_contract(kafka: KafkaServer, check: Any) -> None:
    """What every reader must keep to, over a broker that is killed and comes back."""
    kafka.start()
    bench = KafkaReaderBench(kafka)
    try:
        check(bench)
    finally:
        for reader in bench.lost:
            reader.close()
