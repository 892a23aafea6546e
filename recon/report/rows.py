"""The table's rows inside the page: JSON, gzipped, in base64, made piece by piece while the items stream past.

A row is `[key, kind, standing, changed, source, target, first seen, nights, event, link, created, money, currency, acknowledged]`;
`kind` and `standing` are numbers into `KINDS` and `STANDINGS`, `changed` numbers into the fields, a record is `[shape, value, …]`, and a shape
is a list of numbers into the fields. Fields and shapes are known at the end only, so they follow the rows in `Rows.meta`.
"""

import base64
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from recon.clock import iso
from recon.currency import digits_of
from recon.discrepancy import DiscrepancyKind
from recon.inert import json_bytes
from recon.report.figures import Item, Standing
from recon.report.words import shown

KINDS = tuple(DiscrepancyKind)
STANDINGS = tuple(Standing)
# A browser's text may hold 512 MiB; half of that is far beyond what a person scrolls through.
MOST_BYTES = 256 * 1024 * 1024
SAFE_INTEGER = 2**53 - 1
# Divides by three, so that the base64 of the pieces is the base64 of the whole.
PIECE_BYTES = 48 * 1024


class Rows:
    """One pass over the items: iterate `pieces`, then ask `meta` what the page's script needs to read them."""

    def __init__(self, items: Callable[[], Iterable[Item]], *, most_bytes: int = MOST_BYTES) -> None:
        self._items = items
        self._most_bytes = most_bytes
        self._fields: dict[str, int] = {}
        self._shapes: dict[tuple[str, ...], int] = {}
        self._currencies: dict[str, int] = {}
        self.count = 0
        self.dropped = 0

    def pieces(self) -> Iterator[str]:
        """The base64 text, in pieces."""
        # Level 6 of a stream: twice the size of level 9's gain is not worth the wait.
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        waiting = bytearray()
        for raw in self._json():
            waiting += packer.compress(raw)
            if len(waiting) >= PIECE_BYTES:
                whole = len(waiting) // 3 * 3
                yield base64.b64encode(waiting[:whole]).decode() + "\n"
                del waiting[:whole]
        waiting += packer.flush()
        yield base64.b64encode(waiting).decode()

    def _json(self) -> Iterator[bytes]:
        separator, written = b"[", 0
        for item in self._items():
            if self.dropped:
                self.dropped += 1
                continue
            raw = json_bytes(self._row(item))
            if written + len(raw) > self._most_bytes:
                self.dropped = 1
                continue
            written += len(raw)
            self.count += 1
            yield separator + raw
            separator = b",\n"
        yield b"]" if self.count else b"[]"

    def _row(self, item: Item) -> list[Any]:
        currency = item.currency.upper() if item.currency else None
        if currency and currency not in self._currencies:
            self._currencies[currency] = digits_of(currency)
        return [
            item.key,
            KINDS.index(item.kind),
            STANDINGS.index(item.standing),
            [self._fields.setdefault(name, len(self._fields)) for name in item.changed],
            self._record(item.source),
            self._record(item.target),
            iso(item.first_seen),
            item.nights,
            item.event,
            web_link(item.link),
            iso(item.created_at) if item.created_at else None,
            page_value(item.money),
            currency,
            item.acknowledged,
        ]

    def _record(self, record: Mapping[str, Any] | None) -> list[Any] | None:
        if record is None:
            return None
        names = tuple(record)
        shape = self._shapes.get(names)
        if shape is None:
            shape = self._shapes[names] = len(self._shapes)
            for name in names:
                self._fields.setdefault(name, len(self._fields))
        return [shape, *map(page_value, record.values())]

    def meta(self) -> dict[str, Any]:
        """What the rows refer to; whole only after `pieces` came to its end."""
        return {
            "kinds": [kind.value for kind in KINDS],
            "standings": [standing.value for standing in STANDINGS],
            "fields": list(self._fields),
            "shapes": [[self._fields[name] for name in names] for names in self._shapes],
            "digits": self._currencies,
            "count": self.count,
            "dropped": self.dropped,
        }


def page_value(value: Any) -> Any:
    """A wire value as the page carries it: what a browser's numbers would round, and all that has parts, as text."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int) and abs(value) <= SAFE_INTEGER:
        return value
    return shown(value)


def web_link(link: str | None) -> str | None:
    """The link where it is http or https with a host; anything else (`javascript:`, `data:`, no host) is no link."""
    if not link or not link.isprintable() or " " in link:
        return None
    try:
        parts = urlsplit(link)
    except ValueError:
        return None
    return link if parts.scheme in {"http", "https"} and parts.hostname else None
