"""Entries of a Redis stream, through a consumer group; the extra `nightly-recon[redis]`. Valkey and others that speak the protocol do."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeVar

from recon.consume.reader import Received
from recon.errors import DeliveryError
from recon.event.cloudevents import PREFIX, STRUCTURED
from recon.publishers.redis_link import WrongUrl, client_of, fault

T = TypeVar("T")
Id = tuple[int, int]

LEFT_SECONDS = 60.0
BLOCK_SECONDS = 0.5
"""One wait within `receive`; after it we look whether we were closed."""
ANSWER_SECONDS = 10.0
PAGE = 500
ATTRIBUTES = {"id": "id", "type": "type", "subject": "subject", "key": "partitionkey"}

log = logging.getLogger(__name__)


class RedisReader:
    """Reads `stream` as `consumer` of `group`, which is made where it is not there and begins with the first entry.

    What a consumer has been given stays its own until it is done, so a reader that comes back under the same name is given it again, before
    anything else. What another consumer of the group has held for `left_after` seconds is taken over; that should be longer than a
    batch takes.

    Order: what is given back, and what was left, is handed over again before anything behind it. That holds for one reader at a time
    under one name: two share the stream's entries, and a key's may then be in both.
    Redis 6.2 or later. https://redis.io/docs/latest/commands/xreadgroup/ (read 2026-11)
    """

    prefix = PREFIX

    def __init__(self, url: str, stream: str, group: str, *, consumer: str = "recon", left_after: float = LEFT_SECONDS) -> None:
        self.name = f"redis {stream}/{group}"
        if find_spec("redis") is None:
            raise DeliveryError(f"{self.name}: the library redis is not installed", hint='pip install "nightly-recon[redis]"')
        try:
            self._client = client_of(url, socket_timeout=ANSWER_SECONDS + BLOCK_SECONDS, socket_connect_timeout=ANSWER_SECONDS)
        except WrongUrl as error:
            raise DeliveryError(f"{self.name}: the url {error}", hint="mend the url") from None
        self._stream = stream
        self._group = group
        self._consumer = consumer
        self._left_after = left_after
        self._lock = threading.Lock()
        self._closed = False
        self._ready = False
        self._looked_at = -left_after
        #: Given back or left over, to be handed over before anything else; by their place in the stream.
        self._back: dict[Id, Received] = {}
        self._in_hand: dict[Id, Received] = {}

    def receive(self, most: int, wait: float) -> Sequence[Received]:
        until = time.monotonic() + wait
        with self._lock:
            while not self._closed:
                self._asked(self._prepared)
                left = until - time.monotonic()
                # What was given back comes first, and what is there behind it with it: it holds up its own key, and no other.
                if len(self._back) < most:
                    self._take(self._asked(partial(self._new, most - len(self._back), 0.0 if self._back else left)), {})
                if self._back or left <= 0:
                    break
            handed = {place: self._back.pop(place) for place in sorted(self._back)[:most]}
            self._in_hand |= handed
            return list(handed.values())

    def done(self, received: Sequence[Received]) -> None:
        with self._lock:
            if not received:
                return
            try:
                self._asked(lambda: self._client.xack(self._stream, self._group, *[one.handle for one in received]))
            except DeliveryError:
                # What the server has not heard of comes again.
                self._keep(received)
                raise
            for one in received:
                self._in_hand.pop(_place(one.handle), None)
                self._back.pop(_place(one.handle), None)

    def again(self, received: Sequence[Received]) -> None:
        with self._lock:
            self._keep(received)

    def close(self) -> None:
        self._closed = True
        with self._lock:
            self._client.close()
            self._in_hand.clear()
            self._back.clear()

    def _keep(self, received: Sequence[Received]) -> None:
        for one in received:
            self._in_hand.pop(_place(one.handle), None)
            self._back[_place(one.handle)] = replace(one, attempt=one.attempt + 1)

    def _prepared(self) -> None:
        """After a connection was made, what is ours from before; now and then, what another consumer left."""
        import redis

        if not self._ready:
            with suppress(redis.ResponseError):  # BUSYGROUP: it is there.
                self._client.xgroup_create(self._stream, self._group, id="0", mkstream=True)
            self._ours()
            self._ready = True
        if time.monotonic() - self._looked_at >= self._left_after / 2:
            self._others()
            self._looked_at = time.monotonic()

    def _ours(self) -> None:
        """What this consumer was given before and has not done."""
        after = "0"
        while entries := self._entries(self._client.xreadgroup(self._group, self._consumer, {self._stream: after}, count=PAGE)):
            self._take(entries, self._counts(entries))
            after = entries[-1][0]

    def _others(self) -> None:
        """What another consumer has held for too long, which is ours from here on."""
        after: Any = "0-0"
        while True:
            after, entries, *_ = self._client.xautoclaim(
                self._stream, self._group, self._consumer, round(self._left_after * 1000), after, count=PAGE
            )
            found = [(_text(place), fields) for place, fields in entries if place is not None]
            self._take(found, self._counts(found))
            if _text(after) == "0-0":
                return

    def _new(self, most: int, left: float) -> list[tuple[str, Mapping[bytes, bytes]]]:
        """What nobody has been given yet; waits a little where there is nothing."""
        block = max(1, round(min(left, BLOCK_SECONDS) * 1000)) if left > 0 else None
        return self._entries(self._client.xreadgroup(self._group, self._consumer, {self._stream: ">"}, count=most, block=block))

    def _counts(self, entries: Sequence[tuple[str, Any]]) -> dict[str, int]:
        """How often each was handed over, as the server counts."""
        if not entries:
            return {}
        first, last = entries[0][0], entries[-1][0]
        pending: Any = self._client.xpending_range(self._stream, self._group, first, last, len(entries), consumername=self._consumer)
        return {_text(one["message_id"]): int(one["times_delivered"]) for one in pending}

    def _take(self, entries: Iterable[tuple[str, Mapping[bytes, bytes]]], counts: Mapping[str, int]) -> None:
        gone = []
        for place, fields in entries:
            if not fields:
                gone.append(place)
            elif _place(place) not in self._in_hand and _place(place) not in self._back:
                self._back[_place(place)] = self._received(place, fields, counts.get(place, 1))
        if gone:
            # Nobody can be given them any more.
            log.warning("%s: %d entries were cut off the stream before they were read, such as %s", self.name, len(gone), gone[0])
            self._client.xack(self._stream, self._group, *gone)

    def _received(self, place: str, fields: Mapping[bytes, bytes], attempt: int) -> Received:
        named = {name.decode(errors="replace"): value for name, value in fields.items()}
        headers = {"content-type": STRUCTURED}
        headers |= {PREFIX + attribute: _text(named[name]) for name, attribute in ATTRIBUTES.items() if name in named}
        if "replay" in named:
            headers["recon-replay-id"] = _text(named["replay"])
        return Received(body=named.get("event", b""), headers=headers, place=f"{self._stream}@{place}", attempt=attempt, handle=place)

    def _asked(self, ask: Callable[[], T]) -> T:
        """What the server answers; raises DeliveryError, with the way out."""
        import redis

        try:
            return ask()
        except redis.RedisError as error:
            # The next call makes the connection, and the group where it went away, anew.
            self._ready = False
            self._client.connection_pool.disconnect()
            words, way, _ = fault(error)
            raise DeliveryError(f"{self.name}: {words}", hint=f"{way}; and see what the stream is: TYPE {self._stream}") from error

    def _entries(self, answer: Any) -> list[tuple[str, Mapping[bytes, bytes]]]:
        """The entries of our one stream in an answer that speaks of several."""
        return [(_text(place), fields) for _, entries in answer or () for place, fields in entries]


def _place(entry: str) -> Id:
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number or 0)


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
