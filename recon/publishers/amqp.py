"""The way to a RabbitMQ server: one connection and one channel, made when they are wanted, and its errors in words."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from recon.errors import DeliveryError
from recon.publishers.secure import way_out

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractConnection

CLOSE_SECONDS = 1.0
FILES = ("cafile", "certfile", "keyfile")
FAULT_SECONDS = 300.0
"""Before a fault that somebody has to mend is tried again."""


class Link:
    """A connection with a channel. Its coroutines run on one event loop, one at a time."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = name
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None

    async def channel(self, seconds: float) -> "AbstractChannel":
        """An open channel with confirms, of a new connection where the old one is gone. Raises what aio-pika raises, and TimeoutError."""
        import aio_pika

        if self._connection is not None and self._channel is not None and not self._channel.is_closed:
            return self._channel
        if self._connection is not None:
            # A channel is closed by itself over a fault of its own, or because the connection is gone, which that does not always tell.
            with suppress(Exception):
                self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
                return self._channel
        await self.drop()
        # Not aio-pika's robust connection: what it does by itself in the background is nobody's outcome.
        self._connection = await aio_pika.connect(self.url, timeout=seconds, client_properties={"connection_name": self.name})
        self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        return self._channel

    @property
    def version(self) -> str:
        """The server's version, `3.10.8`; "" where it tells none."""
        transport = self._connection.transport if self._connection is not None else None
        told: object = (transport.connection.server_properties or {}).get("version", "") if transport is not None else ""
        return told.decode() if isinstance(told, bytes) else str(told)

    async def drop(self) -> None:
        """Closes the connection; nothing of what it still held is sent after."""
        import asyncio

        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with suppress(Exception):  # It is let go of; what is wrong with it has been said.
                await asyncio.wait_for(connection.close(), CLOSE_SECONDS)


def quorum(version: str) -> dict[str, Any]:
    """The arguments of a queue that is made here, on a server of this version: a quorum queue whose messages go to one reader at a time.

    From 4.0 on such a queue drops a message that came back 20 times unless it is told not to (rabbitmq-server pull requests 11937 and 12250,
    read 2026-11). Before, there is no limit, and the number that lifts it in 4.0 would drop a message the first time that it comes back.
    """
    arguments: dict[str, Any] = {"x-queue-type": "quorum", "x-single-active-consumer": True}
    major = version.partition(".")[0]
    return arguments | ({"x-delivery-limit": -1} if major.isdigit() and int(major) >= 4 else {})


def wrong(url: str) -> str:
    """What is wrong with the url before anything is asked; "" where nothing is known."""
    # aiormq takes the bare word, with no value, as well.
    named = parse_qs(urlsplit(url).query, keep_blank_values=True)
    if "no_verify_ssl" in named:
        return "has no_verify_ssl: a server's certificate is always verified; ?cafile=… names an authority of your own"
    # The library would say of it only that there is no file.
    lacking = [
        f"names {name} ({key}), and there is no such file" for key in FILES for name in named.get(key, ()) if not Path(name).is_file()
    ]
    return lacking[0] if lacking else ""


def origin(url: str) -> str:
    """The server's address without the login."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "") + parts.path


def said(error: BaseException) -> str:
    """An error of aio-pika in words."""
    if isinstance(error, TimeoutError):
        return "no answer within the time"
    text = (str(error) or repr(error)).removesuffix(".")  # The way out comes behind it.
    return "".join(c for c in text[:300] if c.isprintable())


def unreachable(who: str, url: str, error: BaseException) -> DeliveryError:
    """What is wrong with the way there, with the way out."""
    words, way, _ = fault(error)
    return DeliveryError(f"{who}: {origin(url)}: {words}", hint=way)


def fault(error: BaseException) -> tuple[str, str, bool]:
    """What is wrong with the way there, the way out, and whether somebody has to mend a setting first."""
    from aiormq.exceptions import AuthenticationError, ConnectionNotAllowed, InvalidFrameError, ProbableAuthenticationError

    words = said(error)
    if isinstance(error, InvalidFrameError) and "Connection.Close" in words:
        # The server's own words stand in the frame, and are not passed on (`Connection._rpc`, aiormq 7.2).
        return "the virtual host is closed to us", VHOST, True
    if isinstance(error, AuthenticationError | ProbableAuthenticationError):
        return words, LOGIN, True
    if isinstance(error, ConnectionNotAllowed):
        return words, VHOST, True
    if way := way_out(words, ca="`?cafile=/path/authority.pem` in the url"):
        return words, way, True
    return words, "check the url (amqps:// where the server speaks TLS), that the server runs, and that it can be reached from here", False


VHOST = "check the virtual host in the url (amqp://host/vhost), and that the user may use it"
LOGIN = "check the user and the password in the url; `guest` may come from the server's own machine only"
