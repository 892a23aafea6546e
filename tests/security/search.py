"""Looking for a text everywhere: in every form that gives it back, in files of every kind that a night leaves."""

import base64
import gzip
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

ROWS = re.compile(rb'<script type="application/octet-stream" id="rows">(.*?)</script>', re.DOTALL)


def forms(text: str) -> dict[str, re.Pattern[bytes]]:
    """Name to an expression over bytes that finds the text in that form; letters of hexadecimal and of %XX in either case."""
    raw = text.encode()
    found = {
        "plain": re.escape(raw),
        "reversed": re.escape(raw[::-1]),
        "url": re.escape(quote(text, safe="").encode()),
        "plus": re.escape(quote_plus(text).encode()),
        "double url": re.escape(quote(quote(text, safe=""), safe="").encode()),
        "hex": b"(?i:" + raw.hex().encode() + b")",
        "utf-16": re.escape(text.encode("utf-16-le")),
    }
    for shift in range(3):
        # The characters at the seams depend on what stands beside; between them the text alone decides.
        encoded = base64.b64encode(b"\0" * shift + raw).decode()
        core = encoded[(0, 2, 3)[shift] : (shift + len(raw)) * 8 // 6]
        found[f"base64+{shift}"] = re.escape(core.encode()).replace(rb"\+", b"[+-]").replace(b"/", b"[/_]")
    return {name: re.compile(pattern) for name, pattern in found.items()}


def hits(secrets: Mapping[str, str], places: Mapping[str, bytes]) -> list[tuple[str, str, str]]:
    """(secret, form, place) for each secret that stands somewhere in some form."""
    every = [(name, form, pattern) for name, text in secrets.items() for form, pattern in forms(text).items()]
    return sorted({(name, form, place) for place, body in places.items() for name, form, pattern in every if pattern.search(body)})


def readable(path: Path) -> bytes:
    """A file's bytes, and what is packed in them: zstd frames, columns of Parquet, the rows inside a report."""
    raw = path.read_bytes()
    if path.suffix == ".zst":
        import zstandard

        with path.open("rb") as file:
            return raw + zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return raw + repr(pq.read_table(path).to_pylist()).encode()
    if path.suffix == ".html" and (rows := ROWS.search(raw)):
        return raw + gzip.decompress(base64.b64decode(rows[1]))
    return raw


def files(folder: Path, *, without: Iterable[str] = ()) -> dict[str, bytes]:
    """Every file below a folder, by its path there, but those whose names are in `without`."""
    left = set(without)
    return {
        str(path.relative_to(folder)): readable(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not left & set(path.relative_to(folder).parts) and path.name not in left
    }
