"""`type = "redis"`: events into Redis Streams, or what speaks its protocol (Valkey); the extra `nightly-recon[redis]`."""

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from recon.errors import DeliveryError
from recon.publishers.address import Address
from recon.publishers.base import Capabilities, Message, Outcome, OutcomeKind
from recon.publishers.extra import needs
from recon.publishers.fitting import fitting
from recon.publishers.redis_link import FAULT_SECONDS, WrongUrl, client_of, fault, said_by
from recon.publishers.redis_script import ADD, calls
from recon.publishers.rounds import in_rounds
from recon.section import Section

if TYPE_CHECKING:
    from redis import Redis

BATCH = 500
MAX_BYTES = 8 * 1024 * 1024
DEDUPE_SECONDS = 86_400
"""Longer than a night, so that what was sent without an answer and is sent again stands in the stream once."""

LASTING = ("WRONGTYPE", "permission")
"""Words of errors that somebody has to mend; the others pass, as a full memory or a change of master does.

None of them is about the event: a wrong setting must not turn a night's events into dead letters.
https://redis.io/docs/latest/develop/reference/protocol-spec/ (read 2026-11)
"""


class RedisPublisher:
    """Events as stream entries, each added once however often it is sent within `dedupe`.

    Settings: `url` (`redis://`, `rediss://`, `unix://`, or a reference); `stream`, by default `recon.{domain}`; `dedupe`, how long a
    repeat is known (`"24h"`); `maxlen`, about how many entries a stream keeps, by default all. An entry has the fields `id`, `type`,
    `subject`, `key`, `event` (CloudEvents JSON), and `replay` where it is one. CONFIRMED means that the server has taken it into
    the stream; whether it outlasts the server's death is the server's `appendonly` and `appendfsync`.
    """

    def __init__(self, section: Section) -> None:
        needs(section, "redis", "redis")
        self.name = section.name
        self._url: str = section.text_or_secret("url")
        self._stream = Address.of(section, "stream", "recon.{domain}")
        self._dedupe = int(section.duration("dedupe", float(DEDUPE_SECONDS)))
        self._maxlen: int = section.integer("maxlen", 0, low=0)
        section.finish()
        if self._dedupe < 1:
            raise section.bad("dedupe", "wants a second or more")
        self.capabilities = Capabilities(batch=BATCH, max_bytes=MAX_BYTES, ordered=True, dedupe_seconds=float(self._dedupe))
        self._lock = threading.Lock()
        self._client = self._made(section)

    def publish(self, batch: Sequence[Message], deadline: float) -> Sequence[Outcome]:
        # Whoever closes waits for the call in hand, which its deadline ends.
        with self._lock:
            until = time.monotonic() + deadline
            # A server that refuses one event may take the next: those of one key go one after another.
            return fitting(batch, MAX_BYTES, lambda small: in_rounds(small, lambda part: self._sent(part, until)))

    def _sent(self, batch: Sequence[Message], until: float) -> Sequence[Outcome]:
        import redis

        try:
            client = self._connected(until - time.monotonic())
        except (redis.ConnectionError, redis.TimeoutError) as error:
            words, way, lasting = fault(error)
            why = f"no connection: {words}; {way}"
            return [Outcome(kind=OutcomeKind.RETRY, reason=why, after=FAULT_SECONDS if lasting else None)] * len(batch)
        except redis.RedisError as error:
            return [Outcome(kind=OutcomeKind.RETRY, reason=said_by(error), after=FAULT_SECONDS)] * len(batch)
        try:
            made = list(calls(batch, [self._stream(message) for message in batch]))
            with client.pipeline(transaction=False) as pipe:
                for call in made:
                    pipe.eval(ADD, *call.words(batch, self._dedupe, self._maxlen))
                answers = pipe.execute(raise_on_error=False)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            self._drop()
            why = f"sent, and no whole answer: {said_by(error)}" if time.monotonic() < until else "no answer within the time"
            return [Outcome(kind=OutcomeKind.UNKNOWN, reason=why)] * len(batch)
        outcomes: dict[int, Outcome] = {}
        for call, answer in zip(made, answers, strict=True):
            each = [answer] * len(call.numbers) if isinstance(answer, Exception) else answer
            for number, one in zip(call.numbers, each, strict=True):
                outcomes[number] = _outcome(one)
        return [outcomes[number] for number in range(len(batch))]

    def health(self) -> str:
        import redis

        try:
            client = self._connected(5.0)
            about = client.info("server")
        except redis.RedisError as error:
            words, way, _ = fault(error)
            raise DeliveryError(f"publisher {self.name}: the server cannot be asked: {words}", hint=way) from error
        return f"{about.get('server_name', 'redis')} {about.get('valkey_version') or about.get('redis_version', '')} takes events into {self._stream.template}"

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _connected(self, deadline: float) -> "Redis":
        """The client; its waits end with the deadline, and it repeats nothing by itself."""
        pool = self._client.connection_pool
        pool.connection_kwargs["socket_timeout"] = pool.connection_kwargs["socket_connect_timeout"] = max(0.05, deadline)
        self._client.ping()
        return self._client

    def _made(self, section: Section) -> "Redis":
        try:
            return client_of(self._url)
        except ValueError as error:
            hint = "redis://host:6379/0, rediss://…, unix:///path"
            raise section.bad("url", str(error) if isinstance(error, WrongUrl) else "is no URL of a Redis server", hint=hint) from None

    def _drop(self) -> None:
        # Connections made from here on are new ones; the client itself stays good.
        self._client.connection_pool.disconnect()


def _outcome(answer: Any) -> Outcome:
    """What the server's answer says of one event."""
    if isinstance(answer, Exception | bytes | str):
        said = said_by(answer)
        after = FAULT_SECONDS if any(word in said for word in LASTING) else None
        return Outcome(kind=OutcomeKind.RETRY, reason=said, after=after)
    return Outcome(kind=OutcomeKind.CONFIRMED, duplicate=answer == 0)
