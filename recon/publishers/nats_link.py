"""One connection to NATS, what is on its way over it to JetStream, and what it was answered."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from recon.publishers.nats_server import NatsServer, closed, words_of

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

IN_FLIGHT = 1000
"""Unanswered at once; a server drops what stands behind 10,000 unwritten messages of a stream (its `max_buffered_msgs`)."""
NOBODY = "503"
"""The status of a message that nobody listens for."""


class Error(msgspec.Struct):
    """Why JetStream refused a message."""

    description: str = ""
    err_code: int = 0


class Answer(msgspec.Struct):
    """What a stream answers to a message. https://docs.nats.io/reference/reference-protocols/nats_api_reference (read 2026-11)"""

    seq: int = 0
    duplicate: bool = False
    error: Error | None = None


said_by = msgspec.json.Decoder(Answer).decode
"""The answer in these bytes; raises msgspec.DecodeError."""


@dataclass(slots=True)
class Flight:
    """One message on its way, and what became of it."""

    subject: str
    answer: "Msg | None" = None
    denied: str | None = None
    lost: str | None = None


class Link:
    """One connection, and what is on its way over it.

    The client's own `publish_async` is not used: of an answer that is an error it says nothing, so that its caller waits for ever
    (nats-py 2.16).
    """

    client: "Client"

    def __init__(self) -> None:
        self.flying: dict[str, Flight] = {}
        self.denied: str | None = None
        self._landed = asyncio.Event()
        self._room = asyncio.Event()
        self._inbox = ""
        self._count = 0
        self._told: Callable[[], Awaitable[None]] | None = None

    async def open(self, server: NatsServer, seconds: float, *, on_closed: Callable[[], Awaitable[None]] | None = None) -> None:
        """Connects; raises NotConnected. `on_closed` is told when the connection has ended."""
        self._told = on_closed
        self.client = await server.connected(seconds, on_error=self._failed, on_closed=self._closed)
        self._inbox = self.client.new_inbox() + "."
        try:
            await self.client.subscribe(self._inbox + "*", cb=self._answered)
        except BaseException:
            await closed(self.client)
            raise

    async def send(self, subject: str, body: bytes, headers: dict[str, str] | None = None) -> Flight:
        """Hands one message over, as soon as there is room for another; raises the client's errors where it was not."""
        while len(self.flying) >= IN_FLIGHT:
            self._room.clear()
            await self._room.wait()
        self._count += 1
        token = f"{self._inbox}{self._count}"
        flight = self.flying[token] = Flight(subject)
        try:
            await self.client.publish(subject, body, reply=token, headers=headers)
        except Exception:
            # One that is cancelled instead may be on its way all the same, and stays in flight.
            self.flying.pop(token, None)
            raise
        return flight

    async def answered(self) -> None:
        """Waits until nothing is on its way any more."""
        while self.flying:
            self._landed.clear()
            await self._landed.wait()

    async def _answered(self, msg: "Msg") -> None:
        flight = self.flying.pop(msg.subject, None)
        if flight is not None:
            flight.answer = msg
        self._land()

    async def _failed(self, error: Exception) -> None:
        """A subject that we may not publish to is said beside the answers, and never answered."""
        said = words_of(error)
        if "permissions violation" in said.lower():
            self.denied = said
            for token, flight in list(self.flying.items()):
                if f'"{flight.subject.lower()}"' in str(error).lower():
                    flight.denied = said
                    del self.flying[token]
            self._land()

    async def _closed(self) -> None:
        """Nothing more is answered."""
        last = self.client.last_error
        for flight in self.flying.values():
            flight.lost = words_of(last) if last else "the connection ended"
        self.flying.clear()
        self._land()
        if self._told is not None:
            await self._told()

    def _land(self) -> None:
        if not self.flying:
            self._landed.set()
        if len(self.flying) <= IN_FLIGHT // 2:
            self._room.set()
