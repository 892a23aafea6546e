"""RabbitMQ against a real server that is killed and comes back: the contract of every publisher and every reader, and what is its own."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from recon.consume.reader import Reader
from recon.consume.readers.rabbitmq import RabbitReader
from recon.publishers.base import Message, OutcomeKind
from recon.publishers.rabbitmq import RabbitPublisher
from recon.section import Section
from recon.testing import publisher_suite, reader_suite
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import RabbitServer, needed

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
def rabbit() -> Iterator[RabbitServer]:
    """One server for this file."""
    with RabbitServer() as server:
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
