"""Each broker's publisher beside its bare client: the same bytes, the same guarantees, one server, one process, in turn.

`python bench/brokers.py [NAME …]`. A bare client is written as its documentation shows it for many messages at once; it keeps no order
within a key beyond the connection's own, looks at no deadline, and says nothing of a single message but that it failed.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

import aws  # noqa: E402 - found by the line above
from outbox import event  # noqa: E402

from recon.publishers.base import Message, OutcomeKind, Publisher  # noqa: E402
from recon.testing.publisher_suite import message_of  # noqa: E402
from recon.testing.section import section  # noqa: E402

EVENTS = 10_000
#: These are slow, whoever asks: few events, and more often.
FEWER_EVENTS = {"sqs": 100, "sns": 100, "eventbridge": 100, "pubsub": 300}
RUNS = 3
RUNS_OF_FEWER = 9
WANTED = 0.8

Bare = Callable[[Sequence[Message]], None]
Pair = tuple[Publisher, Bare]
"""And, where a server is slower the more it holds, what empties it before each run."""


def parts(batch: Sequence[Message], size: int) -> Iterator[Sequence[Message]]:
    """The batch in pieces."""
    for start in range(0, len(batch), size):
        yield batch[start : start + size]


@contextmanager
def kafka() -> Iterator[Pair]:
    """Records with `acks=all`, idempotent, in three partitions."""
    from confluent_kafka import Producer

    from recon.publishers.headers import wire_of
    from recon.publishers.kafka import KafkaPublisher
    from tests.servers.kafka import KafkaServer

    with KafkaServer(durable=False) as server:
        topic = server.topic()
        conf = {
            "bootstrap.servers": server.brokers,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
        }
        producer = Producer(conf)
        failed: list[object] = []

        def bare(batch: Sequence[Message]) -> None:
            for message in batch:
                headers, value = wire_of(message, "structured", prefix="ce_")
                producer.produce(
                    topic,
                    value,
                    message.partitionkey.encode(),
                    headers=list(headers.items()),
                    on_delivery=lambda error, _: failed.append(error) if error else None,
                )
                producer.poll(0)
            producer.flush()
            assert not failed, failed[0]

        yield KafkaPublisher(section("bus", brokers=server.brokers, topic=topic)), bare


@contextmanager
def rabbitmq() -> Iterator[Pair]:
    """Persistent messages with confirms into a quorum queue."""
    import aio_pika

    from recon.publishers.headers import wire_of
    from recon.publishers.loop import Loop
    from recon.publishers.rabbitmq import RabbitPublisher
    from tests.servers.rabbitmq import RabbitServer

    with RabbitServer() as server:
        loop = Loop("bare")

        async def opened() -> aio_pika.abc.AbstractChannel:
            channel = await (await aio_pika.connect(server.url)).channel(publisher_confirms=True)
            await channel.declare_queue("bench", durable=True, arguments={"x-queue-type": "quorum"})
            return channel

        channel = loop.run(opened(), 10)

        async def sent(batch: Sequence[Message]) -> None:
            for part in parts(batch, 1000):
                made = []
                for message in part:
                    headers, body = wire_of(message, "structured")
                    kind = headers.pop("content-type")
                    one = aio_pika.Message(
                        body,
                        headers=dict(headers),
                        content_type=kind,
                        message_id=message.id,
                        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                    )
                    made.append(channel.default_exchange.publish(one, "bench", mandatory=True))
                await asyncio.gather(*made)

        yield RabbitPublisher(section("bus", url=server.url, queue="bench")), lambda batch: loop.run(sent(batch), 300)
        loop.close()


@contextmanager
def nats() -> Iterator[Pair]:
    """Messages of a JetStream stream, each answered by it."""
    import nats as client

    from recon.publishers.headers import wire_of
    from recon.publishers.loop import Loop
    from recon.publishers.nats import NatsPublisher
    from tests.servers.nats import NatsTestServer

    with NatsTestServer() as server:
        loop = Loop("bare")
        server.ask(lambda js: js.add_stream(name="bench", subjects=["recon.>"]))

        async def opened() -> object:
            return (await client.connect(server.url)).jetstream(publish_async_max_pending=4000)

        stream = loop.run(opened(), 10)

        async def sent(batch: Sequence[Message]) -> None:
            answers = []
            for message in batch:
                headers, body = wire_of(message, "structured")
                answers.append(await stream.publish_async("recon.orders", body, headers={**headers, "Nats-Msg-Id": message.dedupe}))
            await asyncio.gather(*answers)

        yield NatsPublisher(section("bus", url=server.url)), lambda batch: loop.run(sent(batch), 300)
        loop.close()


@contextmanager
def redis() -> Iterator[Pair]:
    """Entries of a stream, pipelined; the bare client adds a repeat a second time."""
    import redis as client

    from recon.publishers.redis import RedisPublisher
    from tests.servers.valkey import ValkeyServer

    with ValkeyServer() as server:
        valkey = client.Redis.from_url(server.url)

        def bare(batch: Sequence[Message]) -> None:
            for part in parts(batch, 500):
                pipe = valkey.pipeline(transaction=False)
                for one in part:
                    fields = {"id": one.id, "type": one.type, "subject": one.subject, "key": one.partitionkey, "event": one.body}
                    pipe.xadd("recon.bare", fields)
                pipe.execute()

        yield RedisPublisher(section("bus", url=server.url)), bare
        valkey.close()


@contextmanager
def redis_once() -> Iterator[Pair]:
    """The same, beside a client that asks of each token whether it is new, and then adds those that are: in two steps, as is plainest."""
    import redis as client

    from recon.publishers.redis import RedisPublisher
    from tests.servers.valkey import ValkeyServer

    with ValkeyServer() as server:
        valkey = client.Redis.from_url(server.url)

        def bare(batch: Sequence[Message]) -> None:
            for part in parts(batch, 500):
                pipe = valkey.pipeline(transaction=False)
                for one in part:
                    pipe.set(f"bare:{one.dedupe}", "1", nx=True, ex=86_400)
                new = pipe.execute()
                for one in [one for one, is_new in zip(part, new, strict=True) if is_new]:
                    fields = {"id": one.id, "type": one.type, "subject": one.subject, "key": one.partitionkey, "event": one.body}
                    pipe.xadd("recon.bare", fields)
                pipe.execute()

        yield RedisPublisher(section("bus", url=server.url)), bare
        valkey.close()


@contextmanager
def mqtt() -> Iterator[Pair]:
    """QoS 1 to a broker with one subscriber that is away."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    from recon.publishers.headers import wire_of
    from recon.publishers.mqtt import MqttPublisher
    from tests.servers.mosquitto import Mosquitto, Subscriber

    with Mosquitto() as server:
        subscriber = Subscriber(server, "bench", "recon/#")
        subscriber.on()
        subscriber.off()
        bare_client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        bare_client.max_inflight_messages_set(1000)
        bare_client.max_queued_messages_set(0)
        bare_client.connect("127.0.0.1", server.port)
        bare_client.loop_start()

        def bare(batch: Sequence[Message]) -> None:
            sent = []
            for message in batch:
                headers, body = wire_of(message, "structured")
                properties = Properties(PacketTypes.PUBLISH)
                properties.ContentType = headers.pop("content-type")
                properties.UserProperty = list(headers.items())
                sent.append(bare_client.publish("recon/orders/order", body, qos=1, properties=properties))
            for one in sent:
                one.wait_for_publish(60)

        yield MqttPublisher(section("bus", url=server.url)), bare
        bare_client.loop_stop()
        bare_client.disconnect()


@contextmanager
def pubsub() -> Iterator[Pair]:
    """Ordered messages to the stand-in for Google's service, which takes one key in a call."""
    import grpc
    from google.cloud.pubsub_v1 import PublisherClient
    from google.cloud.pubsub_v1.types import PublisherOptions
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

    from recon.publishers.headers import wire_of
    from recon.publishers.pubsub import PubSubPublisher
    from tests.servers.pubsub import PubSubServer

    with PubSubServer() as server:
        transport = PublisherGrpcTransport(channel=grpc.insecure_channel(server.url))
        client = PublisherClient(publisher_options=PublisherOptions(enable_message_ordering=True), transport=transport)
        topic = "projects/bench/topics/recon"
        client.create_topic(request={"name": topic})

        def bare(batch: Sequence[Message]) -> None:
            sent = []
            for message in batch:
                headers, body = wire_of(message, "structured")
                sent.append(client.publish(topic, body, message.partitionkey, **headers))
            for one in sent:
                one.result(60)

        yield PubSubPublisher(section("bus", project="bench", topic="recon", endpoint=server.url)), bare
        client.stop()


BROKERS = {
    "kafka": kafka,
    "rabbitmq": rabbitmq,
    "nats": nats,
    "redis": redis,
    "redis_once": redis_once,
    "mqtt": mqtt,
    "sqs": aws.sqs,
    "sns": aws.sns,
    "eventbridge": aws.eventbridge,
    "pubsub": pubsub,
}


def published(publisher: Publisher, batch: Sequence[Message]) -> None:
    """Hands the batch over in pieces as large as the publisher takes, as a drain does."""
    for part in parts(batch, max(1, publisher.capabilities.batch)):
        outcomes = publisher.publish(part, 120.0)
        lacking = [one for one in outcomes if one.kind is not OutcomeKind.CONFIRMED]
        assert not lacking, f"{len(lacking)} of {len(outcomes)}: {lacking[0].kind}: {lacking[0].reason}"


def compared(name: str) -> dict:
    """Events a second of both, medians of runs in turn, and the median of the paired ratios."""
    count = FEWER_EVENTS.get(name, EVENTS)
    speeds: dict[str, list[float]] = {"publisher": [], "bare": []}
    with BROKERS[name]() as (publisher, bare, *emptied):
        for run in range(1 + (RUNS_OF_FEWER if name in FEWER_EVENTS else RUNS)):
            for who in ("publisher", "bare"):
                batch = [message_of(event(run * 2 * count + (who == "bare") * count + number)) for number in range(count)]
                for empty in emptied:
                    empty()
                began = time.perf_counter()
                published(publisher, batch) if who == "publisher" else bare(batch)
                # The first of each makes connections, and is not counted.
                if run:
                    speeds[who].append(count / (time.perf_counter() - began))
        publisher.close()
    ratio = median(ours / theirs for ours, theirs in zip(speeds["publisher"], speeds["bare"], strict=True))
    return {"events": count, "publisher": median(speeds["publisher"]), "bare": median(speeds["bare"]), "ratio": ratio}


if __name__ == "__main__":
    found = {}
    for one in sys.argv[1:] or BROKERS:
        try:
            found[one] = compared(one)
        except Exception as error:  # noqa: BLE001 - a server that is not installed leaves out its own line and no other.
            found[one] = {"fault": f"{type(error).__name__}: {error}"[:300]}
        print(one, found[one], file=sys.stderr)
    print(json.dumps(found))
