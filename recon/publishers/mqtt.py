"""`type = "mqtt"`: events to an MQTT 5 broker; the extra `nightly-recon[mqtt]`."""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote

from recon.errors import DeliveryError
from recon.publishers.address import Address
from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
from recon.publishers.extra import needs
from recon.publishers.headers import FORMS, wire_of
from recon.publishers.mqtt_link import IN_FLIGHT, LATE, Broker, MqttLink, NotConnected
from recon.publishers.rounds import in_rounds
from recon.section import Section

if TYPE_CHECKING:
    from paho.mqtt.reasoncodes import ReasonCode

CONNECT_SECONDS = 10.0
HEALTH_SECONDS = 5.0
FAULT_SECONDS = 300.0
"""Before a fault that somebody has to mend is tried again."""
NOBODY_SECONDS = 60.0
LONGEST_TEXT = 65_535

# https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html#_Toc3901124, table 3-4 (read 2026-11)
NOBODY = 0x10
FAILED = 0x80
OF_THE_EVENT = {0x95, 0x99}
"""Packet too large, payload format invalid."""
LASTING = {0x87, 0x90}
"""Not authorised, topic name not accepted."""
PACKET_HEAD = 1 + 4 + 2 + 2
"""What a packet has at most beside topic, properties and body: kind, length, the topic's length, its id."""


class MqttPublisher:
    """Events as messages of QoS 1: each is confirmed by the broker.

    Settings: `url` (`mqtt://`, `mqtts://`, or a reference), `user` and `password`, `client_id`, `ca`, `certificate` and `key`; `topic`, by default
    `recon/{domain}/{entity}`; `subscribers`, `required` unless you say `optional`: a broker keeps nothing for nobody, so a message that it
    took while nobody was subscribed is lost, and not confirmed here. `form`. The attributes are user properties under their own
    names, as https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/mqtt-protocol-binding.md says (read 2026-11).
    MQTT knows no repeats: what is sent again comes again. Of each key one event is on its way at a time.
    """

    def __init__(self, section: Section) -> None:
        needs(section, "paho", "mqtt")
        self.name = section.name
        self._broker = Broker.of(section)
        self._topic = Address.of(section, "topic", "recon/{domain}/{entity}", unwanted=r"[+#/\x00]")
        self._required: bool = section.choice("subscribers", ("required", "optional"), "required") == "required"
        self._form: str = section.choice("form", FORMS, "structured")
        section.finish()
        if set(self._topic.template) & set("+#\x00"):
            raise section.bad("topic", "has a wildcard, and an event goes to one topic")
        self.capabilities = Capabilities(batch=IN_FLIGHT, ordered=True)
        self._lock = threading.Lock()
        self._link: MqttLink | None = None

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        until = time.monotonic() + deadline
        # Whoever closes waits for the call in hand, which its deadline ends.
        with self._lock:
            return in_rounds(batch, lambda part: self._sent(part, until))

    def health(self) -> str:
        with self._lock:
            try:
                self._drop()
                self._linked(HEALTH_SECONDS)
            except NotConnected as error:
                msg = f"publisher {self.name}: {error}"
                raise DeliveryError(msg, hint="check url, user, password and ca, and that the broker runs") from error
        return f"{self._broker.place} lets us in; events go to {self._topic.template}, and who is subscribed is known when one is sent"

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _sent(self, batch: Sequence[Message], until: float) -> list[Outcome]:
        """Each one's outcome; those on their way together are so many as the broker may be sent unanswered."""
        outcomes: list[Outcome] = []
        for start in range(0, len(batch), IN_FLIGHT):
            outcomes += self._together(batch[start : start + IN_FLIGHT], until)
        return outcomes

    def _together(self, batch: Sequence[Message], until: float) -> list[Outcome]:
        left = until - time.monotonic()
        if left <= 0:
            return [Outcome(kind=OutcomeKind.RETRY, reason=LATE)] * len(batch)
        try:
            link = self._linked(left)
        except NotConnected as error:
            after = FAULT_SECONDS if error.lasting else None
            return [Outcome(kind=OutcomeKind.RETRY, reason=str(error), after=after)] * len(batch)
        link.answers.clear()
        handed = [self._handed(link, message, until) for message in batch]
        link.answered(until)
        outcomes = [
            one if isinstance(one, Outcome) else self._outcome(link, one, message) for one, message in zip(handed, batch, strict=True)
        ]
        if any(outcome.kind is OutcomeKind.UNKNOWN for outcome in outcomes):
            # What is still on its way goes down with its connection, and not past what is sent next.
            self._drop()
        return outcomes

    def _handed(self, link: MqttLink, message: Message, until: float) -> int | Outcome:
        """One event, handed to the client: the id of its packet, or the outcome of one that was not sent."""
        if time.monotonic() >= until or link.lost:
            return Outcome(kind=OutcomeKind.RETRY, reason=link.unsent())
        topic = self._topic(message)
        try:
            properties, body = packet(message, self._form)
            if link.max_packet is not None:
                size = PACKET_HEAD + len(topic.encode()) + len(properties.pack()) + len(body)
                if size > link.max_packet:
                    why = f"the event makes a packet of {size:,} bytes, and the broker takes at most {link.max_packet:,} (its max_packet_size)"
                    return Outcome(kind=OutcomeKind.REJECTED, reason=why)
            sent = link.send(topic, body, properties, until)
        except ValueError as error:
            return Outcome(kind=OutcomeKind.REJECTED, reason=f"no message to {topic[:200]}: {error}")
        return sent if sent is not None else Outcome(kind=OutcomeKind.RETRY, reason=link.unsent())

    def _outcome(self, link: MqttLink, packet: int, message: Message) -> Outcome:
        reason = link.answers.get(packet)
        if reason is None:
            why = f"sent, and no answer: {link.lost}" if link.lost else "sent, and no answer within the time"
            return Outcome(kind=OutcomeKind.UNKNOWN, reason=why)
        if reason.value == NOBODY and self._required:
            why = f"nobody is subscribed to {self._topic(message)}, so the broker kept it for nobody; {WAY_OUT}"
            return Outcome(kind=OutcomeKind.RETRY, reason=why, after=NOBODY_SECONDS)
        return self._refused(reason, message) if reason.value >= FAILED else Outcome(kind=OutcomeKind.CONFIRMED)

    def _refused(self, reason: "ReasonCode", message: Message) -> Outcome:
        if reason.value in OF_THE_EVENT:
            return Outcome(kind=OutcomeKind.REJECTED, reason=f"the event has {len(message.body):,} bytes: {reason}")
        after = FAULT_SECONDS if reason.value in LASTING else None
        return Outcome(kind=OutcomeKind.RETRY, reason=f"{self._topic(message)}: {reason}", after=after)

    def _linked(self, seconds: float) -> MqttLink:
        """The connection, made where there is none. Raises NotConnected."""
        if self._link is not None and not self._link.lost:
            return self._link
        self._drop()
        link = MqttLink(self._broker)
        link.open(min(seconds, CONNECT_SECONDS))
        self._link = link
        return link

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()


WAY_OUT = 'start the subscriber with a session that outlasts its connection, or write subscribers = "optional" where losing it is meant'


class Packed:
    """The properties of one message, packed: the client's own class takes ten times as long over a dozen user properties.

    https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html#_Toc3901109 (read 2026-11)
    """

    def __init__(self, kind: str, named: Mapping[str, str]) -> None:
        parts = [b"\x03", _text(kind)]
        for name, value in named.items():
            parts += (b"\x26", _text(name), _text(value))
        inner = b"".join(parts)
        self._bytes = _length(len(inner)) + inner

    def pack(self) -> bytes:
        """What the client asks of its own class."""
        return self._bytes


def packet(message: Message, form: str) -> tuple[Packed, bytes]:
    """The properties and the body of one message. Raises ValueError for what is no event, or has a value that MQTT cannot carry."""
    headers, body = wire_of(message, form, prefix="")
    kind = headers.pop("content-type")
    # Texts of MQTT are UTF-8 and need no encoding.
    return Packed(kind, {name: unquote(value) if "%" in value else value for name, value in headers.items()}), body


def _text(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > LONGEST_TEXT or b"\0" in raw:
        msg = f"a text of {len(raw):,} bytes, or with a NUL in it, is none that MQTT carries: {text[:60]!r}"
        raise ValueError(msg)
    return len(raw).to_bytes(2, "big") + raw


def _length(number: int) -> bytes:
    """A variable byte integer."""
    found = bytearray()
    while True:
        number, digit = divmod(number, 128)
        found.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(found)
