"""RabbitMQ against a real server that is killed and comes back: the contract of every publisher and every reader, and what is its own."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from recon.consume.reader import Reader
from recon.consume.readers.rabbitmq import RabbitReader
from recon.errors import DeliveryError
from recon.event import binary, decode
from recon.publishers.base import Message, OutcomeKind
from recon.publishers.rabbitmq import RabbitPublisher
from recon.section import Section
from recon.testing import publisher_suite, reader_suite
from tests.integration.secured import keeps_out, lets_in, logged
from tests.integration.whole_path import emitted_and_read
from tests.servers.authority import Authority
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import RabbitServer, needed
from tests.servers.tls_front import TlsFront

pytestmark = needed
KILLING = {
    publisher_suite.nothing_is_confirmed_by_a_server_that_is_gone,
    publisher_suite.a_server_that_dies_in_the_middle_loses_nothing,
    reader_suite.a_server_that_dies_loses_nothing,
}
QUORUM = {"x-queue-type": "quorum"}


def publisher(url: str, **more: Any) -> RabbitPublisher:
    """The publisher as a table of recon.toml makes it."""
    table = {"url": url, **more}
    return RabbitPublisher(Section(name="bus", file=Path("recon.toml"), path="publishers.bus", table=table, folder=Path()))


def on_channel(url: str, work: Callable[[AbstractChannel], Coroutine[Any, Any, Any]]) -> Any:
    """What a piece of work answers that is given a channel of its own."""

    async def whole() -> Any:
        async with await aio_pika.connect(url) as connection:
            return await work(await connection.channel())

    return asyncio.run(whole())


async def held(channel: AbstractChannel, queue: str) -> list[Any]:
    """Everything a queue holds; it is left there."""
    found = []
    declared = await channel.declare_queue(queue, passive=True)
    while (one := await declared.get(fail=False)) is not None:
        found.append(one)
    return found


def came(url: str, queue: str, count: int) -> list[str]:
    """The ids of so many messages, as a reader has them."""
    reader = RabbitReader(url, queue)
    found: list[Any] = []
    until = time.monotonic() + 10.0
    while len(found) < count and time.monotonic() < until:
        found += reader.receive(count - len(found), 1.0)
    reader.close()
    return [one.headers["ce-id"] for one in found]


class RabbitBench:
    """A quorum queue of its own on the server, read through a proxy that can cut a reader off."""

    patience = 0.0

    def __init__(self, server: RabbitServer, *, settled: bool = False) -> None:
        self.server = server
        self.queue = f"recon.{uuid.uuid4().hex[:12]}"
        on_channel(server.url, lambda channel: channel.declare_queue(self.queue, durable=True, arguments=QUORUM))
        self.readers: list[tuple[RabbitReader, Proxy]] = []
        if settled:
            server.settled(self.queue)

    def publisher(self) -> RabbitPublisher:
        return publisher(self.server.url, queue=self.queue)

    def arrived(self) -> Sequence[publisher_suite.Arrived]:
        messages = on_channel(self.server.url, lambda channel: held(channel, self.queue))
        return [publisher_suite.Arrived(id=one.message_id, key=str(one.headers["ce-partitionkey"]), body=one.body) for one in messages]

    def refused(self) -> Message | None:
        (message,) = publisher_suite.messages(1, pad=self.server.max_bytes)
        return message

    def reader(self) -> RabbitReader:
        proxy = Proxy(("127.0.0.1", self.server.port))
        proxy.__enter__()
        made = RabbitReader(f"amqp://guest:guest@127.0.0.1:{proxy.port}/", self.queue, prefetch=50)
        self.readers.append((made, proxy))
        return made

    def put(self, batch: Sequence[Message]) -> None:
        sender = self.publisher()
        assert {outcome.kind for outcome in sender.publish(batch, 20.0)} == {OutcomeKind.CONFIRMED}
        sender.close()

    def lose(self, reader: Reader) -> bool:
        next(proxy for made, proxy in self.readers if made is reader).mode = "reset"
        return True

    def ended(self) -> None:
        for reader, proxy in self.readers:
            reader.close()
            proxy.__exit__()

    def stop(self) -> bool:
        self.server.kill()
        return True

    def start(self) -> None:
        self.server.start()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """It signs the server's certificate."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def rabbit(authority: Authority) -> Iterator[RabbitServer]:
    """One server for this file."""
    with RabbitServer(authority=authority) as server:
        yield server


@pytest.mark.parametrize("check", publisher_suite.CHECKS, ids=publisher_suite.name_of)
def test_keeps_the_contract(rabbit: RabbitServer, check: Any) -> None:
    """What every publisher must keep to, over a server that is killed and comes back."""
    rabbit.start()
    check(RabbitBench(rabbit, settled=check in KILLING))


@pytest.mark.parametrize("check", reader_suite.CHECKS, ids=reader_suite.name_of)
def test_keeps_the_contract_of_a_reader(rabbit: RabbitServer, check: Any) -> None:
    """What every reader must keep to, over a server that is killed and comes back."""
    rabbit.start()
    bench = RabbitBench(rabbit, settled=check in KILLING)
    try:
        check(bench)
    finally:
        bench.ended()


def test_a_message_is_what_it_says(rabbit: RabbitServer) -> None:
    """The message's own properties, `ce-` headers and body of both forms, the replay's header; it is persistent."""
    rabbit.start()
    bench = RabbitBench(rabbit)
    one, two = publisher_suite.messages(2)
    sender, plain = bench.publisher(), publisher(rabbit.url, queue=bench.queue, form="binary")

    sender.publish([one, replace(two, replay="01REPLAY")], 10.0)
    plain.publish([one], 10.0)
    sender.close()
    plain.close()

    first, again, bare = on_channel(rabbit.url, lambda channel: held(channel, bench.queue))
    wanted, data = binary(decode(one.body))
    kind = wanted.pop("content-type")
    assert (first.message_id, first.type, first.delivery_mode) == (one.id, one.type, aio_pika.DeliveryMode.PERSISTENT)
    assert (first.content_type, bare.content_type) == ("application/cloudevents+json", kind)
    assert (first.body, bare.body) == (one.body, data)
    assert [{name: value for name, value in one.headers.items() if name.startswith("ce-")} for one in (first, bare)] == [wanted, wanted]
    assert again.headers["recon-replay-id"] == "01REPLAY"


def test_an_event_that_no_queue_takes_waits(rabbit: RabbitServer) -> None:
    """An exchange without a fitting binding, and a queue that is not there: RETRY with both names; once there is a binding it arrives by its type."""
    rabbit.start()
    bench = RabbitBench(rabbit)
    exchange = f"x.{bench.queue}"
    batch = publisher_suite.messages(3)

    async def bind(channel: AbstractChannel) -> None:
        made = await channel.declare_exchange(exchange, "topic", durable=True)
        await (await channel.declare_queue(bench.queue, passive=True)).bind(made, "order.#")

    on_channel(rabbit.url, lambda channel: channel.declare_exchange(exchange, "topic", durable=True))
    sender, nowhere = publisher(rabbit.url, exchange=exchange), publisher(rabbit.url, queue="recon.nowhere")
    unbound, lost = sender.publish(batch, 10.0), nowhere.publish(batch[:1], 10.0)
    on_channel(rabbit.url, bind)
    found, health = sender.publish(batch, 10.0), sender.health()
    with pytest.raises(DeliveryError, match=r"recon\.nowhere"):
        nowhere.health()
    sender.close()
    nowhere.close()

    assert {one.kind for one in [*unbound, *lost]} == {OutcomeKind.RETRY}
    assert all(exchange in one.reason and "order.updated" in one.reason for one in unbound)
    assert "there is no queue recon.nowhere" in lost[0].reason
    assert {one.kind for one in found} == {OutcomeKind.CONFIRMED}
    assert exchange in health
    assert {one.id for one in bench.arrived()} == {one.id for one in batch}


def test_a_missing_exchange_is_a_fault_of_the_destination(rabbit: RabbitServer) -> None:
    """The server closes the channel: every event waits, with the exchange's name, and the same publisher goes on once there is one."""
    rabbit.start()
    bench = RabbitBench(rabbit)
    exchange = f"x.{bench.queue}"
    batch = publisher_suite.messages(20)
    sender = publisher(rabbit.url, exchange=exchange, routing_key="{domain}.{key}")

    async def make(channel: AbstractChannel) -> None:
        made = await channel.declare_exchange(exchange, "topic", durable=True)
        await (await channel.declare_queue(bench.queue, passive=True)).bind(made, "orders.*")

    missing = sender.publish(batch, 10.0)
    with pytest.raises(DeliveryError, match=exchange) as failure:
        sender.health()
    on_channel(rabbit.url, make)
    found = sender.publish(batch, 10.0)
    sender.close()

    assert {one.kind for one in missing} == {OutcomeKind.RETRY}
    assert all(exchange in one.reason for one in missing)
    assert exchange in (failure.value.hint or "")
    assert {one.kind for one in found} == {OutcomeKind.CONFIRMED}


def test_a_full_queue_is_waited_for(rabbit: RabbitServer) -> None:
    """A queue that takes no more answers with a nack: RETRY for what it did not take, CONFIRMED for what it did, none lost."""
    rabbit.start()
    bench = RabbitBench(rabbit)
    full = f"full.{bench.queue}"
    arguments: dict[str, Any] = {"x-max-length": 3, "x-overflow": "reject-publish"}
    on_channel(rabbit.url, lambda channel: channel.declare_queue(full, durable=True, arguments=arguments))
    sender = publisher(rabbit.url, queue=full)

    outcomes = sender.publish(publisher_suite.messages(10), 10.0)
    sender.close()

    confirmed = sum(one.kind is OutcomeKind.CONFIRMED for one in outcomes)
    assert confirmed == len(on_channel(rabbit.url, lambda channel: held(channel, full)))
    assert {one.kind for one in outcomes} == {OutcomeKind.CONFIRMED, OutcomeKind.RETRY}
    assert all("nack" in one.reason for one in outcomes if one.kind is OutcomeKind.RETRY)


def test_a_queue_is_made_where_it_is_wanted(rabbit: RabbitServer) -> None:
    """`declare = true` makes a durable quorum queue for each place that events go to; one that is there otherwise is said, and its events wait."""
    rabbit.start()
    name = uuid.uuid4().hex[:8]
    sender = publisher(rabbit.url, queue=f"{name}.{{key}}", declare=True)
    batch = [replace(message, partitionkey=key) for message, key in zip(publisher_suite.messages(3), "abb", strict=True)]
    on_channel(rabbit.url, lambda channel: channel.declare_queue(f"{name}.c", durable=False))
    (other,) = [replace(message, partitionkey="c") for message in publisher_suite.messages(1)]

    outcomes = sender.publish(batch, 10.0)
    (refused,) = sender.publish([other], 10.0)
    sender.close()

    assert {one.kind for one in outcomes} == {OutcomeKind.CONFIRMED}
    assert [came(rabbit.url, f"{name}.{key}", count) for key, count in (("a", 1), ("b", 2))] == [[batch[0].id], [batch[1].id, batch[2].id]]
    assert refused.kind is OutcomeKind.RETRY
    assert f"{name}.c" in refused.reason


def test_a_refused_login_and_a_silent_server_are_said_in_time(rabbit: RabbitServer) -> None:
    """A wrong password is RETRY with the server's words and not with the password; a connection that swallows everything is UNKNOWN by the deadline."""
    rabbit.start()
    bench = RabbitBench(rabbit)
    wrong = publisher(f"amqp://guest:wr0ng-password@127.0.0.1:{rabbit.port}/", queue=bench.queue)
    (refused,) = wrong.publish(publisher_suite.messages(1), 10.0)
    with pytest.raises(DeliveryError) as failure:
        wrong.health()
    wrong.close()
    with Proxy(("127.0.0.1", rabbit.port)) as proxy:
        sender = publisher(f"amqp://guest:guest@127.0.0.1:{proxy.port}/", queue=bench.queue)
        batch = publisher_suite.messages(3)
        assert sender.publish(batch[:1], 10.0)[0].kind is OutcomeKind.CONFIRMED
        proxy.mode = "silent"
        begun = time.monotonic()
        lost = sender.publish(batch[1:], 1.0)
        took = time.monotonic() - begun
        proxy.passes()
        found = sender.publish(batch[1:], 10.0)
        sender.close()

    assert refused.kind is OutcomeKind.RETRY
    assert "ACCESS_REFUSED" in refused.reason or "authentication" in refused.reason
    assert "wr0ng-password" not in refused.reason + str(failure.value)
    assert "password" in (failure.value.hint or "")
    assert {one.kind for one in lost} == {OutcomeKind.UNKNOWN}
    assert took < 1.0 + publisher_suite.SLACK
    assert {one.kind for one in found} == {OutcomeKind.CONFIRMED}
    assert {one.id for one in bench.arrived()} == {one.id for one in batch}


def test_an_event_comes_out_as_it_was_emitted(rabbit: RabbitServer, tmp_path: Path) -> None:
    """From the night's outbox by a drain through the server to a reader; both may make the queue, and want the same one: every event is the one that was stored."""
    rabbit.start()
    queue = f"recon.{uuid.uuid4().hex[:12]}"
    reader = RabbitReader(rabbit.url, queue, declare=True)
    assert not reader.receive(1, 0.1)
    sender = publisher(rabbit.url, queue=queue, declare=True)

    stored, came = emitted_and_read(tmp_path, sender, reader)
    sender.close()
    reader.close()

    assert came == stored


def test_a_message_that_was_in_hand_says_how_often_it_came(rabbit: RabbitServer) -> None:
    """Given back it comes as the second attempt; after its reader's death a quorum queue still counts."""
    rabbit.start()
    bench = RabbitBench(rabbit)
    bench.put(publisher_suite.messages(1))
    reader = bench.reader()
    (first,) = reader.receive(1, 10.0)
    reader.again([first])
    (second,) = reader.receive(1, 10.0)
    bench.lose(reader)
    (third,) = bench.reader().receive(1, 10.0)
    bench.ended()

    assert [one.attempt for one in (first, second, third)] == [1, 2, 2]


def test_a_queue_that_is_not_there_is_said(rabbit: RabbitServer) -> None:
    """A reader of no queue: DeliveryError with the queue's name and the way out."""
    rabbit.start()
    reader = RabbitReader(rabbit.url, "recon.nowhere")

    with pytest.raises(DeliveryError, match=r"recon\.nowhere") as failure:
        reader.receive(1, 1.0)
    reader.close()

    assert "make the queue recon.nowhere" in (failure.value.hint or "")


def test_over_tls_only_who_we_know_and_who_knows_us(rabbit: RabbitServer, authority: Authority, tmp_path: Path) -> None:
    """A server of a known authority takes an event, by password or by our certificate; a stranger's, an expired and another name's get nothing."""
    rabbit.start()
    queue = f"recon.{uuid.uuid4().hex[:12]}"
    own, stranger, port, known = authority.made("guest"), Authority(tmp_path).made("guest"), rabbit.tls_port, f"?cafile={authority.ca}"
    files = [f"{known}&auth=external&certfile={certificate}&keyfile={key}" for certificate, key in (own, stranger)]

    def both(login: str, port: int, query: str, scheme: str = "amqps", vhost: str = "") -> Any:
        url = f"{scheme}://{login}127.0.0.1:{port}/{vhost}{query}"
        return publisher(url, queue=queue, declare=True), lambda: RabbitReader(url, queue, declare=True)

    lets_in(*both("guest:guest@", port, known))
    lets_in(*both("", port, files[0]))
    # Its alert comes after the handshake, together with the end of the connection, and may be overtaken by it.
    keeps_out(*both("", port, files[1]), "127.0.0.1", lasting=None)
    keeps_out(*both("guest:guest@", port, ""), "certificate verify failed", "?cafile=")
    keeps_out(*both("guest:guest@", port, f"?cafile={tmp_path}/ca.pem"), "certificate verify failed", "?cafile=")
    keeps_out(*both("guest:wr0ng-password@", port, known), "ACCESS_REFUSED", "check the user and the password", secret="wr0ng-password")
    keeps_out(*both("guest:guest@", port, known, vhost="nowhere"), "check the virtual host")
    keeps_out(*both("guest:guest@", port, "", scheme="amqp"), "amqps:// where the server speaks TLS", lasting=False)
    keeps_out(*both("guest:guest@", rabbit.port, known), "speaks no TLS at this port")
    with TlsFront(("127.0.0.1", rabbit.port), authority.made("old", expired=True)) as front:
        keeps_out(*both("guest:guest@", front.port, known), "certificate has expired", "renew")
        front.shown = authority.made("other", hosts=("elsewhere.example",))
        keeps_out(*both("guest:guest@", front.port, known), "certificate is for other names")


def test_a_server_that_is_gone_leaves_no_traceback_in_a_persons_log(rabbit: RabbitServer) -> None:
    """The client's own loggers say nothing at -v while the server is killed under a publisher and a reader; the outcome does."""
    rabbit.start()
    bench = RabbitBench(rabbit)
    sender, reader = bench.publisher(), RabbitReader(rabbit.url, bench.queue)
    with logged(logging.INFO) as lines:
        bench.put(publisher_suite.messages(1))
        assert sender.publish(publisher_suite.messages(1), 10.0)[0].kind is OutcomeKind.CONFIRMED
        assert reader.receive(1, 10.0)
        rabbit.kill()
        outcomes = [sender.publish(publisher_suite.messages(1), 3.0)[0] for _ in range(2)]
        with pytest.raises(DeliveryError):
            reader.receive(1, 1.0)
        sender.close()
        reader.close()

    assert lines.getvalue() == ""
    assert outcomes[-1].kind is OutcomeKind.RETRY
    assert "Connect call failed" in outcomes[-1].reason
