"""Unpacking: gzip and zstd as streams, within bounds, and never taken for whole without their end.

The libraries' own file objects come to an end quietly where a file was cut between two reads (zstd), and unpack a small file into any
number of bytes. So the blocks are fed by hand, and the end is asked for.
"""

import io
import zlib
from collections.abc import Iterable, Iterator
from typing import Literal

import zstandard

from recon.errors import InvalidPage, OversizedBody

Packing = Literal["gzip", "zstd"]
MIB = 1024 * 1024
BLOCK = 256 * 1024
MAX_RATIO = 500
"""Bytes that one packed byte may become: gzip's own most is 1,032, and files of records stay below 50."""
FREE_OF_RATIO = 64 * MIB
ZSTD_FEED = 2048
"""zstd cannot be told where to stop, so it is fed little: what 2 KiB become is 64 MiB at the very most."""
SUFFIXES: dict[str, Packing] = {".gz": "gzip", ".zst": "zstd"}


def packing_of(name: str) -> Packing | None:
    """How a file is packed by its name's end."""
    return next((how for suffix, how in SUFFIXES.items() if name.lower().endswith(suffix)), None)


def unpacked(blocks: Iterable[bytes], how: Packing, name: str) -> Iterator[bytes]:
    """The bytes that were packed. Raises InvalidPage where the packing is damaged or has no end, OversizedBody past the ratio."""
    return (_Gzip(name) if how == "gzip" else _Zstd(name)).run(blocks)


class _Unpacking:
    """Several members one after another are one file, in both formats (RFC 1952 section 2.2, RFC 8878 section 3.1)."""

    word = ""

    def __init__(self, name: str) -> None:
        self._name = name
        self._packed = 0
        self._came = 0
        self._whole = False

    def run(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self._packed += len(block)
            try:
                for part in self._feed(block):
                    self._came += len(part)
                    if self._came > max(FREE_OF_RATIO, self._packed * MAX_RATIO):
                        msg = f"{self._name}: {self._packed:,} bytes became more than {self._came - 1:,}; the bound is {MAX_RATIO} to 1"
                        raise OversizedBody(msg, hint="no file of records packs so well; look at it, or have it delivered unpacked")
                    yield part
            except (zlib.error, zstandard.ZstdError):
                msg = f"{self._name}: the {self.word} file is damaged after {self._came:,} unpacked bytes"
                raise InvalidPage(msg, hint="fetch the file again; it was damaged on its way") from None
        if not self._whole:
            msg = f"{self._name}: the packed file breaks off before its end, after {self._packed:,} bytes"
            raise InvalidPage(msg, hint="fetch the file again; it was cut on its way")

    def _feed(self, block: bytes) -> Iterator[bytes]:
        """What a block becomes; each way of packing says."""
        raise TypeError(block)


class _Gzip(_Unpacking):
    word = "gzip"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._inflate: zlib._Decompress | None = None

    def _feed(self, block: bytes) -> Iterator[bytes]:
        while block:
            if self._inflate is None or self._whole:
                if self._whole and not block.strip(b"\0"):
                    return  # Padding behind the last member, as tapes and block devices leave it.
                self._inflate, self._whole = zlib.decompressobj(31), False
            yield self._inflate.decompress(block, BLOCK)
            self._whole = self._inflate.eof
            block = self._inflate.unused_data if self._whole else self._inflate.unconsumed_tail


class _Zstd(_Unpacking):
    word = "zstd"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._inflate: zstandard.ZstdDecompressionObj | None = None

    def _feed(self, block: bytes) -> Iterator[bytes]:
        for start in range(0, len(block), ZSTD_FEED):
            left = block[start : start + ZSTD_FEED]
            while left:
                if self._inflate is None or self._whole:
                    self._inflate, self._whole = zstandard.ZstdDecompressor().decompressobj(), False
                yield self._inflate.decompress(left)
                self._whole = self._inflate.eof
                left = self._inflate.unused_data if self._whole else b""


class Stream(io.RawIOBase):
    """Blocks as a file to read; what their iterator raises comes through."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]  # the base names a type that no buffer has
        while not self._left:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._left = memoryview(block)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size
