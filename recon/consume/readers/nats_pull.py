"""Asking a JetStream consumer for messages, and telling it what became of them.

The client's own `fetch` is not used: asked for fifty where there is one it waits for the others until its time is over, and what comes
too late stays in a queue of its own (nats-py 2.16).
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recon.publishers.nats_link import NOBODY, Link
from recon.publishers.nats_server import NatsServer, NotConnected, closed

if TYPE_CHECKING:
    from nats.aio.msg import Msg

SLACK_SECONDS = 5.0
"""After a request's time is over the server says so; this long we wait for it."""
OVER = ("404", "408")
"""No messages; the request's time is over. https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-37.md (read 2026-11)"""
FULL = "maxackpending"


class Puller:
    """One connection to one durable consumer."""

    def __init__(self, stream: str, consumer: Mapping[str, Any]) -> None:
        self.link = Link()
        self._stream = stream
        self._consumer = consumer
        self._came: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._inbox = ""
        self._requests = 0

    async def open(self, server: NatsServer, seconds: float) -> tuple[int, float]:
        """Connects, and makes the consumer where it is not there: how many messages are with a reader, and for how long they may be."""
        await self.link.open(server, seconds, on_closed=self._closed)
        try:
            return await self._bound(seconds)
        except BaseException:
            await self.close()
            raise

    async def _bound(self, seconds: float) -> tuple[int, float]:
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
        from nats.js.errors import NotFoundError

        manager = self.link.client.jsm(timeout=seconds)
        durable = self._consumer["durable_name"]
        try:
            info = await manager.consumer_info(self._stream, durable)
        except NotFoundError:
            wanted = ConsumerConfig(**self._consumer, ack_policy=AckPolicy.EXPLICIT, deliver_policy=DeliverPolicy.ALL)
            info = await manager.add_consumer(self._stream, wanted)
        config = info.config
        if config.deliver_subject or config.ack_policy != AckPolicy.EXPLICIT or (config.max_deliver or -1) > 0:
            what = (
                "pushes"
                if config.deliver_subject
                else "gives up after some tries"
                if (config.max_deliver or -1) > 0
                else "acknowledges by itself"
            )
            msg = f"the consumer {durable} of {self._stream} {what}, and would lose messages: a pull consumer with explicit acks and no limit is wanted"
            raise NotConnected(msg)
        self._inbox = self.link.client.new_inbox() + "."
        await self.link.client.subscribe(self._inbox + "*", cb=self._came.put)
        return info.num_ack_pending or 0, float(config.ack_wait or 0.0)

    async def pull(self, most: int, wait: float) -> Sequence["Msg"]:
        """What is there, at most so many; where there is nothing, what comes first within `wait` seconds and what is there then."""
        found = await self._asked(most, {"no_wait": True}, 0.0)
        if not found and wait > 0:
            found = await self._asked(1, {"expires": max(1, round(wait * 1e9))}, wait)
            if found and most > 1:
                found += await self._asked(most - 1, {"no_wait": True}, 0.0)
        return found

    async def again(self, most: int, wait: float) -> Sequence["Msg"]:
        """What is handed over once more within `wait` seconds, and what is new and there, at most so many."""
        # With an end: where as many are out as may be, the server answers nothing to one that has none, and `pull` would wait for it.
        return await self._asked(most, {"no_wait": True, "expires": max(1, round(wait * 1e9))}, wait)

    async def settle(self, places: Sequence[str], word: bytes) -> None:
        """Sends a word on each of these messages, and waits until the server has heard all of them. Raises NotConnected."""
        flights = [await self.link.send(place, word) for place in places]
        await self.link.answered()
        for flight in flights:
            if flight.answer is None or (flight.answer.headers or {}).get("Status") == NOBODY:
                why = flight.lost or flight.denied or "the consumer is gone"
                msg = f"the server was told, and has not confirmed it: {why}"
                raise NotConnected(msg)

    async def close(self) -> None:
        """Ends the connection; whoever waits for messages finds that out."""
        if hasattr(self.link, "client"):
            await closed(self.link.client)

    async def _asked(self, most: int, how: Mapping[str, Any], wait: float) -> list["Msg"]:
        """One request, until it is answered in full or the server says that it is over: no message of it comes later."""
        self._requests += 1
        reply = f"{self._inbox}{self._requests}"
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer['durable_name']}"
        await self.link.client.publish(subject, json.dumps({"batch": most, **how}).encode(), reply=reply)
        found: list[Msg] = []
        async with asyncio.timeout(wait + SLACK_SECONDS):
            while len(found) < most:
                message = await self._came.get()
                if message is None:
                    if found:
                        break
                    msg = "the connection ended"
                    raise NotConnected(msg)
                if message.reply:
                    found.append(message)
                elif message.subject == reply:
                    status, said = (message.headers or {}).get("Status", ""), (message.headers or {}).get("Description", "")
                    if status not in OVER and FULL not in said.lower().replace(" ", ""):
                        msg = f"{status} {said or 'no such consumer'}"
                        raise NotConnected(msg)
                    break
        return found

    async def _closed(self) -> None:
        await self._came.put(None)
