"""`type = "rabbitmq"`: events into RabbitMQ over AMQP 0-9-1; the extra `nightly-recon[rabbitmq]`."""

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from recon.errors import DeliveryError
from recon.publishers.address import PLACE, Address
from recon.publishers.amqp import FAULT_SECONDS, Link, fault, origin, quorum, said, unreachable, wrong
from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
from recon.publishers.extra import needs
from recon.publishers.fitting import fitting
from recon.publishers.headers import FORMS, wire_of
from recon.publishers.loop import Loop
from recon.publishers.rounds import in_rounds
from recon.section import Section

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractExchange

BATCH = 5000
MAX_BYTES = 16 * 1024 * 1024
"""`max_message_size` of RabbitMQ 4; earlier ones take more. https://www.rabbitmq.com/docs/configure (read 2026-11)"""

IN_FLIGHT = 1000
"""So many events wait for their confirms at a time."""

CONNECT_SECONDS = 10.0
KEY_BYTES = 255
"""AMQP 0-9-1 knows no longer routing key."""

CONFIRMED = Outcome(kind=OutcomeKind.CONFIRMED)
LATE = Outcome(kind=OutcomeKind.RETRY, reason="not sent: the time for this delivery was over")


class RabbitPublisher:
    """Events as persistent messages with confirms; one that no queue takes comes back and is not counted as delivered.

    Settings: `url` (`amqp://` or `amqps://`, or a reference); `exchange` and `routing_key` (by default `{type}`), or `queue` alone, by
    default `recon.{domain}`, which is made as a durable quorum queue where `declare = true`; `form`, `structured` (the stored bytes)
    or `binary` (the data alone); `max_bytes`. The attributes are `ce-` headers, the message's id is the event's. CONFIRMED is the
    server's confirm: of a quorum queue it means that most of its members have written the event to disk.
    """

    def __init__(self, section: Section) -> None:
        needs(section, "aio_pika", "rabbitmq")
        self.name = section.name
        url: str = section.text_or_secret("url")
        if urlsplit(url).scheme not in {"amqp", "amqps"}:
            raise section.bad("url", "is no URL of a RabbitMQ server", hint="amqp://user:password@host:5672/vhost, or amqps://…")
        if found := wrong(url):
            raise section.bad("url", found)
        self._exchange: str = section.text("exchange", "")
        if self._exchange and {"queue", "declare"} & section.table.keys():
            raise section.bad("queue", "goes without an exchange", hint="leave out queue and declare, and bind the queue to the exchange")
        if not self._exchange and "routing_key" in section.table:
            raise section.bad("routing_key", "goes with an exchange", hint='exchange = "…", or queue = "…" instead')
        key, default = ("routing_key", "{type}") if self._exchange else ("queue", "recon.{domain}")
        self._key = Address.of(section, key, default)
        self._declare: bool = section.flag("declare", False)
        self._form: str = section.choice("form", FORMS, "structured")
        self._max_bytes: int = section.integer("max_bytes", MAX_BYTES, low=1000)
        section.finish()
        self.capabilities = Capabilities(batch=BATCH, max_bytes=self._max_bytes, ordered=True)
        self._link = Link(url, f"nightly-recon {self.name}")
        self._lock = threading.Lock()
        self._loop: Loop | None = None
        self._declared: set[str] = set()
        #: Why nothing more is sent in the call at hand.
        self._halt: Outcome | None = None

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        until = time.monotonic() + deadline
        # Whoever closes waits for the call in hand, which its deadline ends.
        with self._lock:
            self._halt = None
            return fitting(batch, self._max_bytes, lambda small: in_rounds(small, lambda messages: self._round(messages, until)))

    def health(self) -> str:
        with self._lock:
            try:
                return self._running().run(self._looked(), CONNECT_SECONDS)
            except DeliveryError:
                raise
            except Exception as error:
                raise unreachable(f"publisher {self.name}", self._link.url, error) from error

    def close(self) -> None:
        with self._lock:
            loop, self._loop = self._loop, None
            if loop is not None:
                loop.run(self._link.drop(), CONNECT_SECONDS)
                loop.close()

    def _running(self) -> Loop:
        if self._loop is None:
            self._loop = Loop(self.name)
        return self._loop

    def _round(self, messages: Sequence[Message], until: float) -> list[Outcome]:
        """Events of different keys, all at once."""
        outcomes: list[Outcome] = [LATE] * len(messages)
        left = until - time.monotonic()
        if left > 0:
            try:
                self._running().run(self._all(messages, outcomes), left)
            except TimeoutError:
                # What is on its way may still arrive now, and must not later.
                self._running().run(self._link.drop(), CONNECT_SECONDS)
        return outcomes

    async def _all(self, messages: Sequence[Message], outcomes: list[Outcome]) -> None:
        """Fills in the outcomes; what is written there counts whenever this is cut short."""
        doubtful = await self._pass(messages, range(len(messages)), outcomes)
        # The server closed the channel over one of them, and says not which: each by itself shows it.
        for index in doubtful if len(messages) > 1 else ():
            await self._pass(messages, [index], outcomes)

    async def _pass(self, messages: Sequence[Message], indices: Sequence[int], outcomes: list[Outcome]) -> list[int]:
        """Sends these; answers which of them closed the channel together with others."""
        from aiormq.exceptions import ChannelPreconditionFailed

        place = origin(self._link.url)
        for index in indices:
            outcomes[index] = self._halt or Outcome(kind=OutcomeKind.RETRY, reason=f"not sent: {place} did not answer within the time")
        if self._halt:
            return []
        try:
            channel = await self._link.channel(CONNECT_SECONDS)
            exchange = await self._target(channel, {self._key(messages[index]) for index in indices})
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing has been sent
            await self._link.drop()
            words, way, lasting = fault(error)
            why = f"not sent: {place}: {words}; {way}"
            self._halt = Outcome(kind=OutcomeKind.RETRY, reason=why, after=FAULT_SECONDS if lasting else None)
            for index in indices:
                outcomes[index] = self._halt
            return []
        flight = _Flight(channel, exchange, self._form)
        room = asyncio.Semaphore(IN_FLIGHT)

        async def one(index: int) -> None:
            async with room:
                await flight.send(messages[index], self._key(messages[index]), outcomes, index)

        await asyncio.gather(*(one(index) for index in indices))
        flight.settle(outcomes)
        doubtful = [index for index, error in flight.failed.items() if isinstance(error, ChannelPreconditionFailed)]
        if len(indices) == 1 and doubtful:
            outcomes[indices[0]] = Outcome(kind=OutcomeKind.REJECTED, reason=said(flight.failed[indices[0]]))
        return doubtful

    async def _target(self, channel: "AbstractChannel", keys: set[str]) -> "AbstractExchange":
        if self._exchange:
            return await channel.get_exchange(self._exchange, ensure=False)
        for queue in keys - self._declared if self._declare else ():
            await channel.declare_queue(queue, durable=True, arguments=quorum(self._link.version))
            self._declared.add(queue)
        return channel.default_exchange

    async def _looked(self) -> str:
        """What `health` says."""
        from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity

        channel = await self._link.channel(CONNECT_SECONDS)
        place = origin(self._link.url)
        fixed = not PLACE.search(self._key.template)
        what, name = ("exchange", self._exchange) if self._exchange else ("queue", self._key.template)
        try:
            if self._exchange:
                await channel.get_exchange(name, ensure=True)
            elif fixed:
                await (self._target(channel, {name}) if self._declare else channel.declare_queue(name, passive=True))
        except (ChannelNotFoundEntity, ChannelAccessRefused) as error:
            msg = f"publisher {self.name}: {place}: {said(error)}"
            way = f"make the {what} {name}, or mend `{what}` in recon.toml; the user needs the right to write there"
            raise DeliveryError(msg, hint=way) from error
        return (
            f"{place} has the {what} {name}"
            if self._exchange or fixed
            else f"{place} answers; which queue of {name} is written to depends on the event"
        )


class _Flight:
    """One channel's worth of events on their way at the same time."""

    def __init__(self, channel: "AbstractChannel", exchange: "AbstractExchange", form: str) -> None:
        self.failed: dict[int, Exception] = {}
        self._channel = channel
        self._exchange = exchange
        self._form = form
        self._confirmed = False
        self._closed: Exception | None = None

    async def send(self, message: Message, key: str, outcomes: list[Outcome], index: int) -> None:
        """One event; its outcome stands in `outcomes` from the moment on which it may be on its way."""
        if len(key.encode()) > KEY_BYTES:
            reason = f"its routing key has {len(key.encode())} bytes, and at most {KEY_BYTES} are taken: {key[:60]}…"
            outcomes[index] = Outcome(kind=OutcomeKind.REJECTED, reason=reason)
            return
        try:
            made = self._made(message)
        except ValueError as error:
            outcomes[index] = Outcome(kind=OutcomeKind.REJECTED, reason=str(error))
            return
        if self._closed is not None or self._channel.is_closed:
            outcomes[index] = Outcome(
                kind=OutcomeKind.RETRY, reason=f"not sent: {said(self._closed) if self._closed else 'the channel is closed'}"
            )
            return
        outcomes[index] = Outcome(kind=OutcomeKind.UNKNOWN, reason="sent, and not confirmed within the time")
        try:
            await self._exchange.publish(made, key, mandatory=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this event's outcome
            self.failed[index] = error
            outcomes[index] = self._refused(error, key)
        else:
            self._confirmed = True
            outcomes[index] = CONFIRMED

    def settle(self, outcomes: list[Outcome]) -> None:
        """An exchange that is not there, or not to be written to, has taken none of what went to it, whichever error each of them ended with."""
        from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity

        cause = next((error for error in self.failed.values() if isinstance(error, ChannelAccessRefused | ChannelNotFoundEntity)), None)
        if cause is None or self._confirmed:
            return
        reason = f"{said(cause)}; mend it there, or `exchange` in recon.toml; then: recon publish"
        for index in self.failed:
            outcomes[index] = Outcome(kind=OutcomeKind.RETRY, reason=reason, after=60.0)

    def _made(self, message: Message) -> Any:
        import aio_pika

        headers, body = wire_of(message, self._form)
        return aio_pika.Message(
            body,
            content_type=headers.pop("content-type"),
            headers=dict(headers),
            message_id=message.id,
            type=message.type,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )

    def _refused(self, error: Exception, key: str) -> Outcome:
        from aiormq.exceptions import DeliveryError as Nack
        from aiormq.exceptions import PublishError

        name = self._exchange.name
        if isinstance(error, PublishError):
            why = (
                f"the exchange {name} leads the routing key {key} to no queue: bind one"
                if name
                else f"there is no queue {key}: make it, or declare = true"
            )
            return Outcome(kind=OutcomeKind.RETRY, reason=f"{why}; then: recon publish", after=60.0)
        if isinstance(error, Nack):
            why = f"the server did not take it (nack): the queue of {key} is full, or cannot be written to now"
            return Outcome(kind=OutcomeKind.RETRY, reason=why)
        self._closed = error
        return Outcome(kind=OutcomeKind.UNKNOWN, reason=f"sent, and not confirmed: {said(error)}")
