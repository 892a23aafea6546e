"""`type = "nats"`: events into a NATS JetStream stream; the extra `nightly-recon[nats]`."""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence

import msgspec

from recon.errors import DeliveryError
from recon.publishers.address import Address
from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
from recon.publishers.extra import needs
from recon.publishers.headers import FORMS, wire_of
from recon.publishers.loop import Loop
from recon.publishers.nats_link import NOBODY, Answer, Error, Flight, Link, said_by
from recon.publishers.nats_server import NatsServer, NotConnected, closed, words_of
from recon.publishers.rounds import in_rounds
from recon.section import Section

BATCH = 1000
CONNECT_SECONDS = 10.0
HEALTH_SECONDS = 5.0
FAULT_SECONDS = 300.0
"""Before a fault that somebody has to mend is tried again."""
GRACE_SECONDS = 2.0
HEAD = len("NATS/1.0\r\n") + len("\r\n")
"""What headers take beside their names and values."""

# https://github.com/nats-io/nats-server/blob/main/server/errors.json (read 2026-11)
TOO_LARGE = {10054, 10097}
OTHER_STREAM = 10060
LASTING = {10035, 10039, OTHER_STREAM, 10076, 10109}
"""Wrong account, JetStream off, another stream than the one named, a sealed stream."""


class NatsPublisher:
    """Events as messages of a JetStream stream.

    Settings: `url` (`nats://`, `tls://`, several of a cluster with commas; or a reference), `user` and `password`, or `token`, or `nkey`,
    or `credentials`; `ca`, `certificate` and `key`; `subject`, by default `recon.{domain}`; `stream`, the one that must take them; `form`. CONFIRMED means
    that the stream has answered with its sequence; whether it outlasts the machine's death is the stream's replicas and the server's
    `sync_interval`. A repeat within the stream's `duplicate_window` (two minutes unless it was made with more) is known and not
    stored again. Of each key one event is on its way at a time, so none is stored ahead of one that was not.
    https://docs.nats.io/nats-concepts/jetstream/headers (read 2026-11)
    """

    def __init__(self, section: Section) -> None:
        needs(section, "nats", "nats")
        self.name = section.name
        self._server = NatsServer.of(section)
        self._subject = Address.of(section, "subject", "recon.{domain}", unwanted=r"[\s.*>\x00-\x1f\x7f]")
        self._stream: str | None = section.text("stream", None)
        self._form: str = section.choice("form", FORMS, "structured")
        section.finish()
        if any(not token or set(token) & set("*> \t\r\n") for token in self._subject.template.split(".")):
            raise section.bad("subject", "is no subject to publish to", hint="words with dots between, such as recon.{domain}.{op}")
        self.capabilities = Capabilities(batch=BATCH, ordered=True)
        self._lock = threading.Lock()
        self._loop: Loop | None = None
        self._link: Link | None = None

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        until = time.monotonic() + deadline
        # Whoever closes waits for the call in hand, which its deadline ends.
        with self._lock:
            return in_rounds(batch, lambda part: self._sent(part, until))

    def health(self) -> str:
        with self._lock:
            try:
                link = self._linked(HEALTH_SECONDS)
                assert self._loop is not None
                return self._loop.run(self._asked(link), HEALTH_SECONDS)
            except (NotConnected, TimeoutError) as error:
                self._drop()
                msg = f"publisher {self.name}: {words_of(error) or f'{self._server.place}: no answer within {HEALTH_SECONDS:.0f} s'}"
                raise DeliveryError(msg, hint="check url, user, password and ca, and that the server runs") from error

    def close(self) -> None:
        with self._lock:
            self._drop()
            if self._loop is not None:
                self._loop.close()
                self._loop = None

    def _sent(self, batch: Sequence[Message], until: float) -> Sequence[Outcome]:
        left = until - time.monotonic()
        if left <= 0:
            return [Outcome(kind=OutcomeKind.RETRY, reason=LATE)] * len(batch)
        try:
            link = self._linked(left)
        except NotConnected as error:
            after = FAULT_SECONDS if error.lasting else None
            return [Outcome(kind=OutcomeKind.RETRY, reason=str(error), after=after)] * len(batch)
        assert self._loop is not None
        try:
            outcomes = self._loop.run(self._round(link, batch, until - time.monotonic()), until - time.monotonic() + GRACE_SECONDS)
        except TimeoutError:
            outcomes = [Outcome(kind=OutcomeKind.UNKNOWN, reason=UNANSWERED)] * len(batch)
        if any(outcome.kind is OutcomeKind.UNKNOWN for outcome in outcomes):
            # What is still on its way goes down with its connection, and not past what is sent next.
            self._drop()
        return outcomes

    async def _round(self, link: Link, batch: Sequence[Message], seconds: float) -> list[Outcome]:
        """Sends events of different keys and waits for their answers: what is not answered in time is UNKNOWN, what was not sent RETRY."""
        flights: list[Flight | Outcome] = []
        until = time.monotonic() + seconds
        try:
            async with asyncio.timeout(max(0.001, seconds)):
                for message in batch:
                    # The client swallows a cancellation while it waits for a peer that reads nothing (nats-py 2.16).
                    if time.monotonic() >= until:
                        break
                    flights.append(await self._handed(link, message))
                else:
                    await link.answered()
        except TimeoutError:
            if len(flights) < len(batch):
                # The one that was being handed over when the time ended may be on its way.
                flights.append(Outcome(kind=OutcomeKind.UNKNOWN, reason=UNANSWERED))
        flights += [Outcome(kind=OutcomeKind.RETRY, reason=LATE)] * (len(batch) - len(flights))
        return [one if isinstance(one, Outcome) else self._outcome(one, message) for one, message in zip(flights, batch, strict=True)]

    async def _handed(self, link: Link, message: Message) -> Flight | Outcome:
        """One event, handed to the client: where its answer will be, or the outcome of one that was not sent."""
        from nats import errors

        try:
            headers, body = wire_of(message, self._form)
        except ValueError as error:
            return Outcome(kind=OutcomeKind.REJECTED, reason=str(error))
        headers["Nats-Msg-Id"] = message.dedupe
        if self._stream is not None:
            headers["Nats-Expected-Stream"] = self._stream
        if _may_exceed(len(message.body), link.client.max_payload) and (size := _size(headers, body)) > link.client.max_payload:
            # The server would end the connection over it.
            reason = (
                f"the event has {size:,} bytes with its headers, and the server takes at most {link.client.max_payload:,} (its max_payload)"
            )
            return Outcome(kind=OutcomeKind.REJECTED, reason=reason)
        try:
            return await link.send(self._subject(message), body, headers)
        except errors.Error as error:
            return Outcome(kind=OutcomeKind.RETRY, reason=f"not sent: {words_of(error)}")

    def _outcome(self, flight: Flight, message: Message) -> Outcome:
        if flight.denied is not None:
            why = f"the user may not publish to {flight.subject}: {flight.denied}"
            return Outcome(kind=OutcomeKind.RETRY, reason=why, after=FAULT_SECONDS)
        if flight.answer is None:
            why = UNANSWERED if flight.lost is None else f"sent, and no answer: {flight.lost}"
            return Outcome(kind=OutcomeKind.UNKNOWN, reason=why)
        if (flight.answer.headers or {}).get("Status") == NOBODY:
            why = f"no stream takes the subject {flight.subject}; make one: {self._making(_wild(self._subject.template))}"
            return Outcome(kind=OutcomeKind.RETRY, reason=why, after=FAULT_SECONDS)
        try:
            said = said_by(flight.answer.data)
        except msgspec.DecodeError:
            said = Answer()
        if said.error is not None:
            return self._refused(said.error, message, flight.subject)
        if not said.seq:
            return Outcome(kind=OutcomeKind.UNKNOWN, reason=f"{flight.subject} is answered by something that is no stream")
        return Outcome(kind=OutcomeKind.CONFIRMED, duplicate=said.duplicate)

    def _refused(self, error: Error, message: Message, subject: str) -> Outcome:
        """What JetStream itself said no to."""
        said = f"{error.description} ({error.err_code})"
        if error.err_code in TOO_LARGE:
            why = f"the event has {len(message.body):,} bytes, and the stream of {subject} takes less in one message (its max_msg_size): {said}"
            return Outcome(kind=OutcomeKind.REJECTED, reason=why)
        where = (
            f"the stream {self._stream} is not the one that takes {subject}"
            if error.err_code == OTHER_STREAM
            else f"the stream of {subject}"
        )
        return Outcome(kind=OutcomeKind.RETRY, reason=f"{where}: {said}", after=FAULT_SECONDS if error.err_code in LASTING else None)

    def _making(self, subject: str) -> str:
        """The command that makes a stream for it as the documentation has it; without a stream's name in the settings it is called RECON."""
        return f"nats stream add {self._stream or 'RECON'} --subjects '{subject}' --storage file --dupe-window 24h --defaults"

    async def _asked(self, link: Link) -> str:
        """What the server says of the stream; raises DeliveryError where there is none for our subject."""
        from nats import errors
        from nats.js.errors import NotFoundError

        subject = _wild(self._subject.template)
        try:
            streams = link.client.jsm(timeout=HEALTH_SECONDS / 5)
            name = await streams.find_stream_name_by_subject(subject)
            info = await streams.stream_info(self._stream or name)
        except NotFoundError as error:
            what = f"no stream takes {subject}" if self._stream is None else f"no stream {self._stream} that takes {subject}"
            hint = f"make it: {self._making(subject)}"
            raise DeliveryError(f"publisher {self.name}: {self._server.place}: {what}", hint=hint) from error
        except (errors.Error, TimeoutError) as error:
            if isinstance(error, TimeoutError) and link.denied is None:
                raise
            return (
                f"{self._server.place} takes connections; which stream takes {subject} could not be asked: {link.denied or words_of(error)}"
            )
        if "*" not in subject and name != info.config.name:
            msg = f"publisher {self.name}: {self._server.place}: {subject} goes to the stream {name}, not to {self._stream}"
            raise DeliveryError(msg, hint=f'write stream = "{name}", or another subject')
        window = info.config.duplicate_window or 0
        return f"{self._server.place} takes {subject} into the stream {info.config.name}, which knows a repeat for {window:g} s"

    def _linked(self, seconds: float) -> Link:
        """The connection, made where there is none. Raises NotConnected."""
        if self._link is not None and self._link.client.is_connected:
            return self._link
        self._drop()
        self._loop = self._loop or Loop(f"nats-{self.name}")
        link = Link()
        seconds = min(seconds, CONNECT_SECONDS)
        try:
            self._loop.run(link.open(self._server, seconds), seconds + GRACE_SECONDS)
        except TimeoutError as error:
            raise NotConnected(f"no connection to {self._server.place}: no answer within the time") from error
        self._link = link
        return link

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None and self._loop is not None:
            self._loop.run(closed(link.client), 2 * GRACE_SECONDS)


LATE = "not sent: the time for this delivery was over"
UNANSWERED = "sent, and no answer within the time"


def _may_exceed(length: int, limit: int) -> bool:
    """Whether it is worth counting: headers have at most three times the event's bytes, each percent-encoded, and their names."""
    return 4 * length + 4096 > limit


def _size(headers: Mapping[str, str], body: bytes) -> int:
    """What the server counts of a message."""
    return HEAD + sum(len(name) + len(value) + 4 for name, value in headers.items()) + len(body)


def _wild(template: str) -> str:
    """A subject's template as a filter: `recon.{domain}` is `recon.*`."""
    return ".".join("*" if "{" in token else token for token in template.split("."))
