"""Kafka against a real broker that is killed and comes back: the contract of every publisher, and what is its own."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from recon.publishers.base import Message
from recon.publishers.kafka import KafkaPublisher
from recon.section import Section
from recon.testing import publisher_suite
from tests.servers.kafka import KafkaServer, read


def publisher(brokers: str, **more: Any) -> KafkaPublisher:
    """The publisher as a table of recon.toml makes it."""
    table = {"brokers": brokers, **more}
    return KafkaPublisher(Section(name="bus", file=Path("recon.toml"), path="publishers.bus", table=table, folder=Path()))


class KafkaBench:
    """A topic of its own on the broker."""

    def __init__(self, server: KafkaServer) -> None:
        self.server = server
        self.topic = server.topic()

    def publisher(self) -> KafkaPublisher:
        return publisher(self.server.brokers, topic=self.topic)

    def arrived(self) -> Sequence[publisher_suite.Arrived]:
        return [
            publisher_suite.Arrived(id=dict(one.headers())["ce_id"].decode(), key=one.key().decode(), body=one.value())
            for one in read(self.server.brokers, self.topic)
        ]

    def refused(self) -> Message | None:
        return None

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


@pytest.mark.parametrize("check", publisher_suite.CHECKS, ids=publisher_suite.name_of)
def test_keeps_the_contract(kafka: KafkaServer, check: Any) -> None:
    """What every publisher must keep to, over a broker that is killed and comes back."""
    kafka.start()
    if check is publisher_suite.a_refused_event_costs_itself_alone:
        # A topic without a schema takes anything.
        with pytest.raises(publisher_suite.Skipped):
            check(KafkaBench(kafka))
        return
    check(KafkaBench(kafka))
