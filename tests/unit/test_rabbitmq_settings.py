"""What RabbitMQ's publisher and reader take in their settings, with no server."""

from pathlib import Path
from typing import Any

import pytest

from recon.consume.readers.rabbitmq import RabbitReader
from recon.errors import BadSetting, DeliveryError
from recon.publishers.amqp import quorum
from recon.publishers.rabbitmq import RabbitPublisher
from recon.section import Section


@pytest.mark.parametrize(("version", "limit"), [("4.1.2", -1), ("10.0", -1), ("3.13.7", None), ("", None)])
def test_a_queue_that_is_made_drops_nothing(version: str, limit: int | None) -> None:
    """The limit of deliveries is lifted where the server has one by itself, and not where lifting it would make one."""
    assert quorum(version).get("x-delivery-limit") == limit


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"url": "http://x"}, "url: is no URL of a RabbitMQ server"),
        ({"url": "amqps://127.0.0.1/?no_verify_ssl=1"}, "url: has no_verify_ssl"),
        ({"url": "amqps://127.0.0.1/?no_verify_ssl"}, "url: has no_verify_ssl"),
        ({"url": "amqps://127.0.0.1/?cafile=/no/such.pem"}, r"url: names /no/such\.pem \(cafile\)"),
        ({"exchange": "x", "queue": "y"}, "queue: goes without an exchange"),
        ({"exchange": "x", "declare": True}, "queue: goes without an exchange"),
        ({"routing_key": "{type}"}, "routing_key: goes with an exchange"),
        ({"queue": "a{tenant}"}, "has {tenant}, which no event has"),
        ({"form": "avro"}, "'avro' is none of"),
        ({"queues": "x"}, "queues: is not a setting"),
    ],
)
def test_wrong_settings_are_refused(table: dict[str, Any], says: str) -> None:
    """Each mistake in the table is named with its key."""
    with pytest.raises(BadSetting, match=says):
        RabbitPublisher(
            Section(
                name="bus", file=Path("recon.toml"), path="publishers.bus", table={"url": "amqp://127.0.0.1:1/", **table}, folder=Path()
            )
        )


def test_a_reader_verifies_as_well() -> None:
    """A url that switches the verification off is refused by the reader too."""
    with pytest.raises(DeliveryError, match="always verified"):
        RabbitReader("amqps://127.0.0.1/?no_verify_ssl=1", "q")
