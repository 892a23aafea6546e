"""Pages that need not be sent again: in a further pass over a listing, one that has not changed is answered with 304 (RFC 9110, 13.1.2)."""

import threading
from collections.abc import Hashable
from dataclasses import dataclass, replace

import zstandard

from recon.clock import Clock
from recon.fetch.transport import Response

MAX_BYTES = 16 * 1024 * 1024
"""As much is kept of the pages of the pass before, compressed; a page beyond that is sent again."""

LONGEST_AGE = 6 * 3600.0
"""Seconds after which a page is asked for outright: what is kept belongs to the fetch in hand and to no other night's."""

TOLD = "what had not changed since the pass before was answered with 304"
"""The note of the certificate."""


@dataclass(frozen=True, slots=True)
class _Kept:
    etag: str
    answer: Response
    packed: bytes
    at: float


def is_of(told: Response, etag: str) -> bool:
    """Whether a 304 speaks of the answer with this ETag, or says no other; a weak one is the same to us (RFC 9110, 8.8.3.2)."""
    return told.headers.get("etag", etag).removeprefix("W/") == etag.removeprefix("W/")


class Unchanged:
    """Answers of a pass, by their requests, with their ETags; safe to share between threads.

    A 304 says that the page would be the same now as it was then, byte for byte or in what it says (a weak ETag). So the kept answer is
    this moment's answer too. The last page of a pass is never kept: that nothing follows it may stand in a header that no ETag is of.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: dict[Hashable, _Kept] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def keep(self, request: Hashable, answer: Response, clock: Clock) -> None:
        """Keeps an answer that leads on to a next page, in place of an earlier one to the same request."""
        etag = answer.headers.get("etag", "")
        with self._lock:
            self._forget(request)
            if not etag:
                return
            packed = zstandard.ZstdCompressor(level=1).compress(answer.body)
            if self._bytes + len(packed) <= self._max_bytes:
                self._kept[request] = _Kept(etag, replace(answer, body=b""), packed, clock.monotonic())
                self._bytes += len(packed)

    def etag(self, request: Hashable, clock: Clock) -> str | None:
        """What to ask with, where an answer is kept that is not too old."""
        with self._lock:
            kept = self._kept.get(request)
            if kept is not None and clock.monotonic() - kept.at > LONGEST_AGE:
                self._forget(request)
                return None
            return None if kept is None else kept.etag

    def answer(self, request: Hashable, told: Response) -> Response:
        """The kept answer, as the one that `told` stands for: a 304 to the ETag that `etag` gave."""
        with self._lock:
            kept = self._kept[request]
        # What the 304 says anew holds (RFC 9111, 3.2): the Link, or a count, that no ETag is of.
        headers = {**kept.answer.headers, **told.headers}
        body = zstandard.ZstdDecompressor().decompress(kept.packed)
        return replace(kept.answer, headers=headers, body=body, wire_bytes=told.wire_bytes)

    def _forget(self, request: Hashable) -> None:
        kept = self._kept.pop(request, None)
        self._bytes -= 0 if kept is None else len(kept.packed)
