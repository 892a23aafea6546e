"""Bounded decoding: a body is read to its proven end, and never past its bounds."""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from recon.errors import InvalidPage, OversizedBody, Unreachable

MIB = 1024 * 1024
FREE_OF_RATIO = 8 * MIB
"""Below this many decoded bytes no ratio is held against a body: small repetitive pages may compress very well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much of a body is read: bytes on the wire and decoded, and how many decoded bytes one encoded byte may become."""

    max_bytes: int = 64 * MIB
    max_ratio: int = 200


def read_body(
    chunks: Iterable[bytes], headers: Mapping[str, str], bounds: Bounds, subject: str, *, proven: bool = True
) -> tuple[bytes, int]:
    """The decoded body and its size on the wire. `proven=False` takes a body whose end nothing marks, for one that is only shown.

    Raises OversizedBody past a bound; Unreachable for a compressed body without its end (a cut one: asking again may help);
    InvalidPage for an encoding nobody asked for, and for a body whose end nothing marks.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > bounds.max_bytes:
        raise _oversized(subject, f"{int(declared):,} bytes are announced", bounds)
    if encoding in ("", "identity"):
        if proven and not framed(headers):
            msg = f"{subject}: the body has neither a Content-Length nor chunked encoding, so a cut would not show; it proves nothing"
            raise InvalidPage(msg, hint="a proxy may have taken the length off; ask the API's operator for HTTP/1.1 with a length")
        return _plain(chunks, bounds, subject)
    if encoding in ("gzip", "x-gzip", "deflate"):
        return _Inflater(encoding, bounds, subject).read(chunks)
    msg = f"{subject}: the body is encoded as {encoding[:40]!r}, and only gzip was asked for"
    raise InvalidPage(msg)


def framed(headers: Mapping[str, str]) -> bool:
    """Whether the transfer itself marks the body's end."""
    return "content-length" in headers or headers.get("transfer-encoding", "").strip().lower().endswith("chunked")


def _plain(chunks: Iterable[bytes], bounds: Bounds, subject: str) -> tuple[bytes, int]:
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > bounds.max_bytes:
            raise _oversized(subject, f"more than {bounds.max_bytes:,} bytes came", bounds)
        parts.append(chunk)
    return b"".join(parts), size


class _Inflater:
    """gzip (several members, RFC 1952) and deflate (with zlib's frame or without, as servers differ)."""

    def __init__(self, encoding: str, bounds: Bounds, subject: str) -> None:
        self._encoding = encoding
        self._bounds = bounds
        self._subject = subject
        self._inflate: zlib._Decompress | None = None
        self._ended = False
        self._parts: list[bytes] = []
        self._encoded = 0
        self._decoded = 0

    def read(self, chunks: Iterable[bytes]) -> tuple[bytes, int]:
        try:
            for chunk in chunks:
                self._encoded += len(chunk)
                if self._encoded > self._bounds.max_bytes:
                    raise _oversized(self._subject, f"more than {self._bounds.max_bytes:,} bytes came", self._bounds)
                self._feed(chunk)
        except zlib.error:
            msg = f"{self._subject}: the {self._encoding} body is damaged after {self._decoded:,} decoded bytes"
            raise Unreachable(msg) from None
        if not self._ended:
            msg = f"{self._subject}: the {self._encoding} body was cut after {self._encoded:,} bytes; its end is not there"
            raise Unreachable(msg)
        return b"".join(self._parts), self._encoded

    def _feed(self, chunk: bytes) -> None:
        while chunk:
            if self._inflate is None or self._ended:
                self._inflate = zlib.decompressobj(self._window(chunk))
                self._ended = False
            room = self._room()
            part = self._inflate.decompress(chunk, room + 1)
            self._decoded += len(part)
            if len(part) > room:
                raise _oversized(self._subject, f"{self._encoded:,} bytes became more than {self._decoded - 1:,}", self._bounds)
            self._parts.append(part)
            self._ended = self._inflate.eof
            chunk = self._inflate.unused_data if self._ended else self._inflate.unconsumed_tail

    def _room(self) -> int:
        by_ratio = max(FREE_OF_RATIO, self._encoded * self._bounds.max_ratio)
        return max(0, min(self._bounds.max_bytes, by_ratio) - self._decoded)

    def _window(self, chunk: bytes) -> int:
        if self._encoding != "deflate":
            return 31
        framed_by_zlib = chunk[0] & 0x0F == 8 and (len(chunk) < 2 or int.from_bytes(chunk[:2], "big") % 31 == 0)
        return 15 if framed_by_zlib else -15


def _oversized(subject: str, what: str, bounds: Bounds) -> OversizedBody:
    limit = f"the bound is {bounds.max_bytes:,} bytes and {bounds.max_ratio} to 1"
    return OversizedBody(
        f"{subject}: {what}; {limit}", hint="ask for smaller pages, or raise max_body in the provider's table of recon.toml"
    )
