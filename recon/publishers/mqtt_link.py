"""One connection to an MQTT 5 broker, which neither mends itself nor repeats anything: that is for the outbox."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from recon.publishers.secure import Tls, way_out
from recon.section import Section

if TYPE_CHECKING:
    from paho.mqtt.client import Client
    from paho.mqtt.reasoncodes import ReasonCode

PORTS = {"mqtt": 1883, "mqtts": 8883}
KEEPALIVE_SECONDS = 60
GOODBYE_SECONDS = 1.0
IN_FLIGHT = 1000
ANY = 65_535
LATE = "not sent: the time for this delivery was over"

# https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html#_Toc3901079, table 3-1 (read 2026-11)
NOT_LET_IN = {0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C}
"""Protocol, client id, user or password, right, ban, method of authentication: somebody has to mend them."""


class NotConnected(Exception):
    """No connection; the words say why. `lasting`: somebody has to mend a setting first, so there is no hurry to try again."""

    def __init__(self, why: str, *, lasting: bool = False) -> None:
        super().__init__(why)
        self.lasting = lasting


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where a broker is and as whom we come."""

    host: str
    port: int
    #: None for a connection in the clear.
    tls: Tls | None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    client_id: str = ""

    @classmethod
    def of(cls, section: Section) -> "Broker":
        """The broker that a table of recon.toml names; raises BadSetting."""
        url = str(section.text_or_secret("url"))
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise section.bad("url", "is not a URL", hint="mqtt://host:1883, mqtts://host:8883") from None
        if parts.scheme not in PORTS or not parts.hostname:
            raise section.bad("url", "is no address of an MQTT broker", hint="mqtt://host:1883, mqtts://host:8883")
        user: str | None = section.text("user", None)
        secret = section.secret("password", None)
        if user is not None and parts.username is not None:
            raise section.bad("user", "stands in the url as well: once is enough")
        if secret is not None and user is None:
            raise section.bad("user", "is missing: a password goes with a user")
        tls = Tls.of(section)
        if tls and parts.scheme != "mqtts":
            wrong = "ca" if tls.ca is not None else "certificate"
            raise section.bad(wrong, "is of no use to mqtt://, which is not encrypted", hint="write mqtts://")
        return cls(
            host=parts.hostname,
            port=port or PORTS[parts.scheme],
            tls=tls if parts.scheme == "mqtts" else None,
            user=unquote(parts.username) if parts.username is not None else user,
            password=unquote(parts.password) if parts.password is not None else None if secret is None else secret.reveal(),
            client_id=section.text("client_id", ""),
        )

    @property
    def place(self) -> str:
        """The address, for a person."""
        return f"{self.host}:{self.port}"


class _Closing(ssl.SSLSocket):
    """Closes itself where the handshake fails; paho leaves it open until the collector finds it (2.2)."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class MqttLink:
    """`open`, `send`, `answered`, `close`. What is on its way when the connection ends stays unanswered: nothing is sent again here."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        #: The broker's answers by the id of the packet.
        self.answers: dict[int, ReasonCode] = {}
        self.lost = ""
        #: The largest packet that the broker takes; None where it names no limit.
        self.max_packet: int | None = None
        self._client: Client
        self._greeted: tuple[Any, Any] | None = None
        self._window = IN_FLIGHT
        self._flying = 0
        #: Held where the client's thread and ours meet.
        self._news = threading.Condition()

    def open(self, seconds: float) -> None:
        """Connects, with a session that ends with the connection: the outbox knows what was not confirmed. Raises NotConnected."""
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        until = time.monotonic() + seconds
        self._client = client = Client(
            CallbackAPIVersion.VERSION2, self.broker.client_id, protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False
        )
        client.connect_timeout = max(0.05, seconds)
        client.max_inflight_messages_set(0)  # The client knows no bound that the broker names, so the bound is kept here.
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        if self.broker.user is not None:
            client.username_pw_set(self.broker.user, self.broker.password)
        try:
            if self.broker.tls is not None:
                context = self.broker.tls.context()
                context.sslsocket_class = _Closing
                client.tls_set_context(context)
            client.connect(self.broker.host, self.broker.port, KEEPALIVE_SECONDS, clean_start=True)
        except (OSError, ValueError) as error:
            way = way_out(_said(error), ca='`ca = "authority.pem"`') or self._other_port(error)
            lasting = bool(way) and not isinstance(error, ConnectionError)
            raise NotConnected(
                f"no connection to {self.broker.place}: {_said(error)}" + (f"; {way}" if way else ""), lasting=lasting
            ) from error
        client.loop_start()
        self._wait(lambda: self._greeted is not None, until)
        self._welcomed()

    def send(self, topic: str, body: bytes, properties: Any, until: float) -> int | None:
        """Hands one message over, as soon as the broker may be sent another one: the id of its packet.

        None where the connection is gone or the time is over: it was not sent. Raises ValueError for what is no topic.
        """
        from paho.mqtt.enums import MQTTErrorCode

        if self._flying >= self._window:
            self._wait(lambda: self._flying < self._window, until)
            if self.lost or self._flying >= self._window:
                return None
        with self._news:
            self._flying += 1
        try:
            sent = self._client.publish(topic, body, qos=1, properties=properties)
        except ValueError:
            with self._news:
                self._flying -= 1
            raise
        if sent.rc == MQTTErrorCode.MQTT_ERR_NO_CONN:
            self._end("the connection is gone")
            return None
        return sent.mid

    def unsent(self) -> str:
        """Why a message was not sent."""
        return f"not sent: {self.lost}" if self.lost else LATE

    def answered(self, until: float) -> None:
        """Until all that was sent is answered, the connection ends or the time is over."""
        self._wait(lambda: self._flying <= 0, until)

    def close(self) -> None:
        """Says goodbye where nothing is on its way, and lets go; a broker that reads nothing holds nobody."""
        if not self.lost and self._flying <= 0:
            self._client.disconnect()
            self._wait(lambda: False, time.monotonic() + GOODBYE_SECONDS)
        self._end("closed")
        line: Any = self._client.socket()
        if line is not None:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        self._client.loop_stop()

    def _wait(self, until_so: Callable[[], bool], until: float) -> None:
        """Waits for that, for the connection's end, or for the time to be over."""
        with self._news:
            self._news.wait_for(lambda: bool(self.lost) or until_so(), max(0.0, until - time.monotonic()))

    def _end(self, why: str) -> None:
        with self._news:
            self.lost = self.lost or why
            self._news.notify_all()

    def _other_port(self, error: Exception) -> str:
        return (
            "if this port is not for TLS, write mqtt://" if self.broker.tls is not None and isinstance(error, ConnectionResetError) else ""
        )

    def _welcomed(self) -> None:
        if self._greeted is None:
            why = self.lost or "no answer within the time"
            if self.lost and self.broker.tls is None:
                why += "; if this port is for TLS, write mqtts://"
            self.close()
            raise NotConnected(f"no connection to {self.broker.place}: {why}")
        reason, properties = self._greeted
        if reason.value >= 0x80:
            self.close()
            if reason.value in NOT_LET_IN:
                raise NotConnected(f"{self.broker.place} does not let us in: {reason}; check user, password and client_id", lasting=True)
            raise NotConnected(f"no connection to {self.broker.place}: {reason}")
        if getattr(properties, "MaximumQoS", 1) < 1:
            self.close()
            raise NotConnected(f"{self.broker.place} confirms nothing: it takes QoS 0 only", lasting=True)
        self.max_packet = getattr(properties, "MaximumPacketSize", None)
        self._window = min(IN_FLIGHT, getattr(properties, "ReceiveMaximum", ANY))

    def _on_connect(self, client: "Client", userdata: Any, flags: Any, reason: "ReasonCode", properties: Any) -> None:  # noqa: ARG002 - the library's signature
        with self._news:
            self._greeted = (reason, properties)
            self._news.notify_all()

    def _on_publish(self, client: "Client", userdata: Any, packet: int, reason: "ReasonCode", properties: Any) -> None:  # noqa: ARG002 - the library's signature
        with self._news:
            self.answers[packet] = reason
            self._flying -= 1
            if self._flying in {0, self._window - 1}:
                self._news.notify_all()

    def _on_disconnect(self, client: "Client", userdata: Any, flags: Any, reason: "ReasonCode", properties: Any) -> None:  # noqa: ARG002 - the library's signature
        self._end(f"the broker ended the connection: {reason}")


def _said(error: Exception) -> str:
    return "".join(c for c in str(error)[:200] if c.isprintable()) or type(error).__name__
