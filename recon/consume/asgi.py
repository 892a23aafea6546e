"""An HTTP endpoint for the webhook publisher's requests, as an ASGI 3 application: mount it in your own, or serve it alone.

What it answers is what the publisher makes outcomes of (`recon.publishers.verdict`):

| answer                | when                                                                                       |
|-----------------------|--------------------------------------------------------------------------------------------|
| 200                   | applied, or something newer is known                                                        |
| 409                   | it was so already                                                                           |
| 422                   | a conflict, or a dead letter: it is recorded here, and shown at the sender as well          |
| 200 with a list       | a batch: each event with its own status                                                     |
| 400                   | the request broke off, or is no HTTP that can be understood                                  |
| 401                   | no signature that fits, or one that is too old                                              |
| 405, 413              | not a POST; more than `limit` bytes                                                         |
| 500                   | an effect raised                                                                            |
| 503 with Retry-After  | the database is down                                                                        |

https://asgi.readthedocs.io/en/latest/specs/www.html (read 2026-11)
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import exc

from recon.consume.applied import Applied, AppliedKind
from recon.consume.applier import Applier
from recon.consume.effects import Effect, named, words_about
from recon.consume.incoming import REPLAY, events_of
from recon.consume.lines import outcome, place_of, veiled
from recon.consume.reader import Received
from recon.errors import ReconError
from recon.event import Event
from recon.event.cloudevents import BATCHED
from recon.publishers.signing import TOLERANCE_SECONDS, BadSignature, key_of, verify

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HERE = Received(body=b"", place="the webhook")
"""Where the log says that a message came in."""
LIMIT_BYTES = 8 * 1024 * 1024
AGAIN_SECONDS = 30
STATUS = {
    AppliedKind.APPLIED: 200,
    AppliedKind.OLDER: 200,
    AppliedKind.ALREADY: 409,
    AppliedKind.SEEN: 409,
    AppliedKind.CONFLICT: 422,
    AppliedKind.DEAD: 422,
    AppliedKind.FAILED: 500,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


class Gone(Exception):
    """The client hung up before its request was whole."""


class WebhookApp:
    """`app = WebhookApp(applier, secrets=[…])`: one applier behind every path that leads here.

    `secrets` are `whsec_…`, one, or several while one is being changed for another; a secret that is none raises ValueError. `tolerance` is how many seconds
    a timestamp may be off, `limit` how many bytes a request may have. `told` is called with every event's answer, after its commit; what it raises is logged and counted in
    `untold`.
    """

    def __init__(
        self,
        applier: Applier,
        *,
        secrets: Sequence[str],
        effect: Effect | None = None,
        told: Callable[[Applied], Any] | None = None,
        limit: int = LIMIT_BYTES,
        tolerance: float = TOLERANCE_SECONDS,
    ) -> None:
        if isinstance(secrets, str) or not secrets:
            msg = "secrets wants a list of one or more whsec_… secrets: without one anybody could write corrections"
            raise ValueError(msg)
        self.applier = applier
        self._keys = [key_of(secret) for secret in secrets]
        self._effect = effect or applier.effect
        self._named = None if self._effect is None else named(self._effect)
        self._told = told
        #: How often `told` raised.
        self.untold = 0
        self._limit = limit
        self._tolerance = tolerance

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        elif scope["type"] == "http":
            answer = await self._answered(scope, receive)
            if answer is not None:
                await _sent(answer, send)

    async def _answered(self, scope: MutableMapping[str, Any], receive: Receive) -> Answer | None:
        if scope["method"] != "POST":
            return Answer(405, {"error": "events are POSTed here"}, {"allow": "POST"})
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            body = await self._read(headers, receive)
        except Gone:
            return None
        if body is None:
            return Answer(413, {"error": f"at most {self._limit:,} bytes are taken"}, {"connection": "close"})
        try:
            signed = verify(self._keys, headers=headers, body=body, now=time.time(), tolerance=self._tolerance)
        except BadSignature as error:
            return Answer(401, {"error": str(error)})
        # The database is waited for in a thread; other requests go on.
        return await asyncio.to_thread(self._taken, signed, headers, body)

    async def _read(self, headers: dict[str, str], receive: Receive) -> bytes | None:
        """The whole body; None where it is too large. Raises Gone."""
        told = headers.get("content-length", "")
        if told.isascii() and told.isdigit() and int(told[:19]) > self._limit:
            return None
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            body += message.get("body", b"")
            if len(body) > self._limit:
                return None
            if not message.get("more_body", False):
                return bytes(body)

    def _taken(self, signed: str, headers: dict[str, str], body: bytes) -> Answer:
        """In a thread of its own: the events are applied, one after another."""
        try:
            events = events_of(body, headers)
        except ValueError:
            return self._unreadable(headers, body)
        if "ce-id" in headers and any(event.id != signed for event in events):
            return Answer(401, {"error": "the signature is of another webhook-id than ce-id says"})
        if len(events) == 1 and not headers.get("content-type", "").startswith(BATCHED):
            return self._one(events[0], replayed=REPLAY in headers)
        return Answer(200, self._each(events, replayed=REPLAY in headers))

    def _each(self, events: Sequence[Event], *, replayed: bool) -> list[dict[str, Any]]:
        """A status for every event of a batch; behind one that could not be taken now, no later one of its key is."""
        try:
            applied = self.applier.apply_many(events, effect=self._effect, replayed=replayed)
        except Exception as error:  # noqa: BLE001 -- Whatever it is, it is answered.
            applied = [Applied(kind=AppliedKind.FAILED, error=error)] * len(events)
        rows: list[dict[str, Any]] = []
        stuck: dict[str, Answer] = {}
        last = Answer(500, {})
        for event, one in zip(events, applied, strict=True):
            if one.kind is not AppliedKind.FAILED:
                answer = self._of(one, event)
            elif one.error is not None:
                last = stuck[event.partitionkey] = answer = _failed(one.error, event)
            else:
                # It comes behind one of its key, or, like all that follow, behind one that the database did not take.
                answer = stuck.get(event.partitionkey, last)
            row: dict[str, Any] = {
                "id": event.id,
                "status": answer.status,
                "reason": answer.body.get("reason") or answer.body.get("error", ""),
            }
            rows.append(row | ({"retry_after": AGAIN_SECONDS} if answer.status == 503 else {}))
        return rows

    def _one(self, event: Event, *, replayed: bool) -> Answer:
        try:
            applied = self.applier.apply_event(event, effect=self._named, replayed=replayed)
        except Exception as error:  # noqa: BLE001 -- An effect is the application's own code and may raise anything.
            return _failed(error, event)
        return self._of(applied, event)

    def _unreadable(self, headers: dict[str, str], body: bytes) -> Answer:
        """Signed, so it is the sender's: kept, and the sender is told."""
        kept = {name: value for name, value in headers.items() if name == "content-type" or name.startswith(("ce-", "recon-"))}
        try:
            (answer,) = self.applier.apply_all(body, headers=kept)
        except Exception as error:  # noqa: BLE001 -- Whatever it is, it is answered.
            return _failed(error)
        return self._of(answer)

    def _of(self, applied: Applied, event: Event | None = None) -> Answer:
        if not applied.taken:
            level = logging.ERROR if applied.kind is AppliedKind.DEAD else logging.WARNING
            log.log(level, "%s", outcome(event, HERE, applied, keys=False))
        if self._told is not None:
            try:
                self._told(applied)
            except Exception as error:  # noqa: BLE001 -- It is committed: what the application's own code raises changes nothing of it.
                self.untold += 1
                log.warning("%s is %s, and stays so; told= raised %s", applied.id, applied.kind.value, words_about(error))
        return Answer(STATUS[applied.kind], {"outcome": applied.kind.value, "reason": _reason(applied)})


def _reason(applied: Applied) -> str:
    match applied.kind:
        case AppliedKind.CONFLICT:
            return f"conflict: {applied.reason}"
        case AppliedKind.DEAD:
            return f"kept as a dead letter: {applied.reason}"
        case _:
            return applied.reason


def _failed(error: Exception, event: Event | None = None) -> Answer:
    """Nothing of it was written. What is told outside names no table and no value, nor does the log."""
    which = "a message" if event is None else f"{event.type} {event.id}"
    words = f"{veiled(words_about(error), event, keys=False)}{place_of(error)}"
    if isinstance(error, exc.SQLAlchemyError | ReconError):
        log.warning("%s could not be applied, the sender is told to come again: %s", which, words)
        return Answer(503, {"error": "the application's database cannot take it now"}, {"retry-after": str(AGAIN_SECONDS)})
    log.error("%s could not be applied, the sender is told to come again: %s", which, words)
    return Answer(500, {"error": "the application could not handle it"})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _sent(answer: Answer, send: Send) -> None:
    body = msgspec.json.encode(answer.body)
    headers = {"content-type": "application/json", "content-length": str(len(body)), **answer.headers}
    await send({"type": "http.response.start", "status": answer.status, "headers": [(n.encode(), v.encode()) for n, v in headers.items()]})
    await send({"type": "http.response.body", "body": body})
