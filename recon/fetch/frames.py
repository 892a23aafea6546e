"""Frames: a page's items as they lie on disk, one zstd frame with a checksum, an item a line."""

import hashlib

import zstandard

from recon.fetch.page import Page

LEVEL = 1


class Damaged(Exception):
    """A frame is not what was written."""


class Frames:
    """Packs pages and unpacks them; keeps the one in hand, which is asked about and then written."""

    def __init__(self) -> None:
        self._packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, write_content_size=True)
        self._memo: tuple[Page | None, bytes, int, str] = (None, b"", 0, "")

    def packed(self, page: Page) -> tuple[bytes, int, str]:
        """A page's frame of NDJSON, its size unpacked, and the frame's digest.

        The digest is taken over the frame, which is a tenth of the text: the codec is deterministic, so the same items give the same frame.
        """
        if self._memo[0] is not page:
            text = b"\n".join([*page.items, b""]) if page.items else b""
            frame = self._packer.compress(text) if text else b""
            self._memo = (page, frame, len(text), digest_of(frame))
        return self._memo[1:]

    def forget(self) -> None:
        """Lets go of the page in hand."""
        self._memo = (None, b"", 0, "")


def unpacked(unpacker: zstandard.ZstdDecompressor, frame: bytes, raw: int) -> bytes:
    """The text of a frame that has `raw` bytes; raises Damaged."""
    try:
        text = unpacker.decompress(frame, max_output_size=raw)
    except zstandard.ZstdError as error:
        raise Damaged from error
    if len(text) != raw:
        raise Damaged
    return text


def borne_out(unpacker: zstandard.ZstdDecompressor, frame: bytes, raw: int, digest: str) -> bool:
    """Whether a frame is the one that was written under this digest."""
    if not frame:
        return raw == 0
    try:
        return digest_of(frame) == digest and len(unpacked(unpacker, frame, raw)) == raw
    except Damaged:
        return False


def digest_of(frame: bytes) -> str:
    """What tells two frames apart."""
    return hashlib.sha256(frame).hexdigest()
