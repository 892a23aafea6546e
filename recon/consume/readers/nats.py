"""Messages of a NATS JetStream stream, through a durable pull consumer; the extra `nightly-recon[nats]`."""

import asyncio
import threading
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from recon.consume.reader import Received
from recon.consume.readers.nats_pull import Puller
from recon.errors import DeliveryError
from recon.event.cloudevents import PREFIX
from recon.publishers.loop import Loop
from recon.publishers.nats_server import NatsServer, NotConnected, words_of
from recon.publishers.secure import Tls

if TYPE_CHECKING:
    from nats.aio.msg import Msg

T = TypeVar("T")

ACK_WAIT = 30.0
PENDING = 1000
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 10.0
POLL_SECONDS = 0.1
CLOSING_SECONDS = 3.0


class NatsReader:
    """Reads a stream through the durable consumer `durable`, which is made where it is not there: all messages from the first one on.

    `subject` keeps to some of them (`recon.orders`, `recon.*.deleted`). What is not done within `ack_wait` seconds is given to
    another reader of the same consumer, so that should be longer than a batch takes. `pending` messages at most are out at once.
    Credentials as for the publisher.

    Order: what is given back, and what a reader before this one left, is handed over again before anything behind it; a new reader
    waits up to `ack_wait` for what another one still has. That holds for one reader at a time: two on one consumer share its messages,
    and a key's may then be in both. https://docs.nats.io/nats-concepts/jetstream/consumers (read 2026-11)
    """

    prefix = PREFIX

    def __init__(
        self,
        url: str,
        stream: str,
        durable: str,
        *,
        subject: str | None = None,
        user: str | None = None,
        password: str | None = None,
        token: str | None = None,
        nkey: str | None = None,
        credentials: str | None = None,
        ca: Path | str | None = None,
        certificate: Path | str | None = None,
        key: Path | str | None = None,
        ack_wait: float = ACK_WAIT,
        pending: int = PENDING,
    ) -> None:
        self.name = f"nats {stream}/{durable}"
        if find_spec("nats") is None:
            raise DeliveryError(f"{self.name}: the library nats-py is not installed", hint='pip install "nightly-recon[nats]"')
        named = {"ca": ca, "certificate": certificate, "key": key}
        for what, file in named.items():
            if file is not None and not Path(file).is_file():
                raise DeliveryError(f"{self.name}: there is no file {file} ({what})", hint=f"mend the reader's {what}")
        self._server = NatsServer(
            urls=tuple(one.strip() for one in url.split(",")),
            user=user,
            password=password,
            token=token,
            nkey=nkey,
            credentials=credentials,
            tls=Tls(**{name: None if file is None else Path(file) for name, file in named.items()}),
        )
        self._stream = stream
        self._consumer = {"durable_name": durable, "filter_subject": subject, "ack_wait": ack_wait, "max_ack_pending": pending}
        self._lock = threading.Lock()
        self._closed = False
        self._loop: Loop | None = None
        self._puller: Puller | None = None
        #: Given back or left over, to be handed over before anything else; by their place in the stream.
        self._back: dict[int, Received] = {}
        self._in_hand: dict[int, Received] = {}
        #: How many are still with a reader before this one, and until when they may be.
        self._missing = 0
        self._missing_until = 0.0

    def receive(self, most: int, wait: float) -> Sequence[Received]:
        until = time.monotonic() + wait
        with self._lock:
            while not self._closed:
                puller = self._pulling()
                left = until - time.monotonic()
                if self._missing > 0:
                    self._recover(puller)
                elif len(self._back) < most:
                    # What was given back comes first, and what is there behind it with it: it holds up its own key, and no other.
                    left = 0.0 if self._back else max(0.0, left)
                    self._take(puller, self._run(puller.pull(most - len(self._back), left), wait + ANSWER_SECONDS))
                if (self._back and self._missing <= 0) or left <= 0:
                    break
                if self._missing > 0:
                    time.sleep(min(POLL_SECONDS, left))
            if self._missing > 0:
                return []
            handed = {number: self._back.pop(number) for number in sorted(self._back)[:most]}
            self._in_hand |= handed
            return list(handed.values())

    def done(self, received: Sequence[Received]) -> None:
        with self._lock:
            if not received:
                return
            puller = self._pulling()
            if any(one.handle.puller is not puller for one in received):
                # A server that was killed may not know that it gave them out, and answers nothing to whoever is done with them.
                msg = f"{self.name}: the connection was lost while {len(received)} messages were in hand, and they come again"
                raise DeliveryError(msg, hint="nothing is to be done: what was taken in already is recognised by its id")
            self._run(puller.settle([one.handle.message.reply for one in received], b"+ACK"), ANSWER_SECONDS)
            for one in received:
                self._in_hand.pop(one.handle.number, None)
                self._back.pop(one.handle.number, None)

    def again(self, received: Sequence[Received]) -> None:
        # Kept here and not sent back: the server would hand them over in the order in which they were refused, and not in their own.
        with self._lock:
            for one in received:
                if one.handle.puller is self._puller:
                    self._in_hand.pop(one.handle.number, None)
                    self._back[one.handle.number] = replace(one, attempt=one.attempt + 1)

    def close(self) -> None:
        self._closed = True
        puller, loop = self._puller, self._loop
        unsettled = {**self._in_hand, **self._back}
        if puller is not None and loop is not None:
            with suppress(Exception):  # Not heard, they come to the next reader after `ack_wait`, and not at once.
                loop.run(puller.settle([unsettled[number].handle.message.reply for number in sorted(unsettled)], b"-NAK"), CLOSING_SECONDS)
            with suppress(Exception):  # Whoever waits for messages in another thread finds the connection gone.
                loop.run(puller.close(), CLOSING_SECONDS)
        with self._lock:
            self._in_hand.clear()
            self._back.clear()
            self._puller = None
            if self._loop is not None:
                self._loop.close()
                self._loop = None

    def _take(self, puller: Puller, messages: Sequence["Msg"]) -> int:
        """Puts what came in its place; answers how many of them another reader had before."""
        before = 0
        for message in messages:
            about = message.metadata
            number = about.sequence.stream
            # One that we have already comes when it was out for longer than `ack_wait`.
            if number in self._in_hand or number in self._back:
                continue
            before += about.num_delivered > 1
            self._back[number] = Received(
                body=message.data,
                headers={name.lower(): value for name, value in (message.headers or {}).items()},
                place=f"{message.subject}[{self._stream}]@{number}",
                attempt=about.num_delivered,
                handle=_Handle(number, message, puller),
            )
        return before

    def _recover(self, puller: Puller) -> None:
        """Takes what another reader left; until all of it is here, what comes behind it is kept back."""
        self._missing -= self._take(puller, self._run(puller.again(self._missing, POLL_SECONDS), ANSWER_SECONDS))
        if time.monotonic() >= self._missing_until:
            self._missing = 0

    def _pulling(self) -> Puller:
        """The connection, made where there is none."""
        if self._puller is not None and self._puller.link.client.is_connected:
            return self._puller
        self._drop()
        puller = Puller(self._stream, self._consumer)
        pending, ack_wait = self._run(puller.open(self._server, CONNECT_SECONDS), CONNECT_SECONDS + ANSWER_SECONDS)
        self._puller = puller
        # Whatever came over another connection comes again over this one.
        self._in_hand.clear()
        self._back.clear()
        self._missing = pending
        self._missing_until = time.monotonic() + ack_wait
        return puller

    def _run(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        from nats import errors

        self._loop = self._loop or Loop(self.name)
        try:
            return self._loop.run(work, seconds)
        except (NotConnected, errors.Error, TimeoutError, asyncio.CancelledError) as error:
            self._drop()
            why = words_of(error) or f"{self._server.place}: no answer within {seconds:.0f} s"
            hint = "check that the server runs, the credentials, and that the stream is there: nats stream info " + self._stream
            raise DeliveryError(f"{self.name}: {why}", hint=hint) from error

    def _drop(self) -> None:
        puller, self._puller = self._puller, None
        if puller is not None and self._loop is not None:
            self._loop.run(puller.close(), 2 * ANSWER_SECONDS)


@dataclass(frozen=True, slots=True)
class _Handle:
    """A message's place in the stream, and the connection over which it came."""

    number: int
    message: "Msg"
    puller: Puller
