"""Events out of a RabbitMQ queue, over AMQP 0-9-1; the extra `nightly-recon[rabbitmq]`."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from recon.consume.reader import Received
from recon.errors import DeliveryError
from recon.publishers.amqp import Link, origin, quorum, said, unreachable, wrong
from recon.publishers.loop import Loop

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

T = TypeVar("T")

PREFETCH = 100
ANSWER_SECONDS = 10.0
CONNECT_SECONDS = 5.0


class RabbitReader:
    """Messages of a queue, each done when it is acknowledged.

    What is given back is kept here, not acknowledged, and handed over again ahead of what follows it. It is not sent back to the server (a
    `nack`): a quorum queue without a delivery limit puts such a message at its end, behind later ones of its key, and one with a limit
    drops it in the end (seen on 3.10; https://github.com/rabbitmq/rabbitmq-server/issues/3776, read 2026-11). Whatever is not
    acknowledged when the connection ends, the server gives to the next reader, in its old order.

    Order within a key holds for one reader of a queue at a time: RabbitMQ gives several readers the messages in turn. Where there are
    several, make the queue with `x-single-active-consumer`, or a queue for each share of the keys. `declare = True` makes the
    queue, durable and quorum, with one active reader.
    """

    prefix = "ce-"

    def __init__(self, url: str, queue: str, *, prefetch: int = PREFETCH, declare: bool = False, name: str = "rabbitmq") -> None:
        self.name = name
        if found := wrong(url):
            raise DeliveryError(f"reader {name}: the url {found}", hint="mend the url")
        self._queue = queue
        self._prefetch = prefetch
        self._declare = declare
        self._link = Link(url, f"nightly-recon {name}")
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._loop: Loop | None = None
        self._channel: AbstractChannel | None = None
        self._news: asyncio.Event | None = None
        #: Which connection a message came over: what came over an older one comes again, and is not settled here.
        self._turn = 0
        self._fresh: deque[AbstractIncomingMessage] = deque()
        self._open: dict[int, AbstractIncomingMessage] = {}
        self._back: list[Received] = []

    def receive(self, most: int, wait: float) -> Sequence[Received]:
        with self._lock:
            if self._closing.is_set():
                return ()
            return self._run(self._next(most, wait), wait + CONNECT_SECONDS + ANSWER_SECONDS)

    def done(self, received: Sequence[Received]) -> None:
        with self._lock:
            self._run(self._acknowledged(received), ANSWER_SECONDS)

    def again(self, received: Sequence[Received]) -> None:
        with self._lock:
            waiting = {one.handle for one in self._back}
            for one in received:
                turn, tag = one.handle
                # What came over a connection that is gone comes again by itself.
                if turn == self._turn and tag in self._open and one.handle not in waiting:
                    self._back.append(replace(one, attempt=one.attempt + 1))
            self._back.sort(key=lambda one: one.handle)

    def close(self) -> None:
        self._closing.set()
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # Closed from two sides at once.
                loop.run(self._wake(), ANSWER_SECONDS)
        with self._lock:
            loop, self._loop = self._loop, None
            if loop is not None:
                loop.run(self._link.drop(), ANSWER_SECONDS)
                loop.close()

    def _run(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        if self._loop is None:
            self._loop = Loop(self.name)
        try:
            return self._loop.run(work, seconds)
        except DeliveryError:
            raise
        except Exception as error:
            # Whatever state the connection is in, it is not gone on with: what is not acknowledged comes again over the next one.
            self._channel = None
            self._loop.run(self._link.drop(), ANSWER_SECONDS)
            raise unreachable(f"reader {self.name}", self._link.url, error) from error

    async def _next(self, most: int, wait: float) -> list[Received]:
        until = time.monotonic() + wait
        await self._consuming()
        if self._back:
            # It comes first, and what is there behind it with it: it holds up its own key, and no other.
            found, self._back = self._back[:most], self._back[most:]
            return found + [self._handed(self._fresh.popleft()) for _ in range(min(most - len(found), len(self._fresh)))]
        assert self._news is not None
        while not self._fresh and not self._closing.is_set() and (left := until - time.monotonic()) > 0:
            self._news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), left)
            await self._consuming()
        return [self._handed(self._fresh.popleft()) for _ in range(min(most, len(self._fresh)))]

    def _handed(self, message: "AbstractIncomingMessage") -> Received:
        assert message.delivery_tag is not None
        self._open[message.delivery_tag] = message
        headers = {name.lower(): _text(value) for name, value in message.headers.items()}
        headers["content-type"] = message.content_type or ""
        # A quorum queue counts; any other one says only that it is not the first time.
        before = int(headers.get("x-delivery-count") or bool(message.redelivered))
        place = f"{self._queue}: message {message.message_id or message.delivery_tag}"
        return Received(body=message.body, headers=headers, place=place, attempt=before + 1, handle=(self._turn, message.delivery_tag))

    async def _acknowledged(self, received: Sequence[Received]) -> None:
        mine = [tag for turn, tag in (one.handle for one in received) if turn == self._turn and tag in self._open]
        gone = len(received) - len(mine)
        if mine:
            channel = self._channel
            assert channel is not None
            for tag in mine:
                await self._open[tag].ack()
            # Asked after the acknowledgements on the same channel, so that its answer says that they are there.
            await channel.set_qos(prefetch_count=self._prefetch)
            for tag in mine:
                del self._open[tag]
            self._back = [one for one in self._back if one.handle[1] in self._open]
        if gone:
            msg = f"reader {self.name}: {gone} of {len(received)} messages came over a connection that is gone, and were not acknowledged"
            raise DeliveryError(msg, hint="nothing is to be done: they come again, and are recognised by their ids")

    async def _consuming(self) -> None:
        """Sees to a channel on which the queue's messages come. Raises DeliveryError for a queue that is not there."""
        from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity, ChannelPreconditionFailed

        if self._channel is not None and not self._channel.is_closed:
            return
        self._channel = None
        # Of the connection before, nothing is settled any more.
        self._turn += 1
        self._fresh.clear()
        self._open.clear()
        self._back.clear()
        self._news = self._news or asyncio.Event()
        channel = await self._link.channel(CONNECT_SECONDS)
        arguments = quorum(self._link.version) if self._declare else None
        try:
            # A server that has just started takes connections before its quorum queues have a leader, and then does not answer.
            async with asyncio.timeout(CONNECT_SECONDS):
                await channel.set_qos(prefetch_count=self._prefetch)
                queue = await channel.declare_queue(self._queue, durable=True, passive=not self._declare, arguments=arguments)
                channel.close_callbacks.add(self._ended)
                await queue.consume(self._came)
        except (ChannelNotFoundEntity, ChannelAccessRefused, ChannelPreconditionFailed) as error:
            msg = f"reader {self.name}: {origin(self._link.url)}: {said(error)}"
            way = (
                f"make the queue {self._queue} as this reader wants it, or mend the reader's queue; the user needs the right to read there"
            )
            raise DeliveryError(msg, hint=way) from error
        self._channel = channel

    async def _came(self, message: "AbstractIncomingMessage") -> None:
        self._fresh.append(message)
        await self._wake()

    def _ended(self, *_: object) -> None:
        if self._news is not None:
            self._news.set()

    async def _wake(self) -> None:
        if self._news is not None:
            self._news.set()


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
