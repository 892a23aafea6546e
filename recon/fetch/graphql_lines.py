"""Lines of a bulk export put together again: children, which come as lines of their own, into their parents, in bounded memory.

Shopify writes a JSONL file: an object a line, and each node of a nested connection as a further line with its parent's id in
`__parentId`. Asked to group, it writes the children directly below their parent
(https://shopify.dev/docs/api/usage/bulk-operations/queries and the changelog of 2025-06-27, read 2026-11), so one parent at a time is held.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from recon.errors import InvalidPage, OversizedBody
from recon.fetch.cut import LINE_ENDS
from recon.fetch.page import Unread

PARENT = "__parentId"
MIB = 1024 * 1024
LONGEST_LINE = 16 * MIB
LARGEST_RECORD = 64 * MIB
SAMPLE = 2048

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_TEXT = msgspec.json.Decoder(str).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """One record, or what could not be read of it."""

    item: bytes | None = None
    unread: Unread | None = None


def lines_of(blocks: Iterable[bytes], at: int, subject: str) -> Iterator[tuple[int, bytes]]:
    """Each line with the offset it begins at, without its end; empty ones are passed over. Raises OversizedBody."""
    rest = b""
    for block in blocks:
        parts = (rest + block).split(b"\n")
        rest = parts.pop()
        for line in parts:
            if line.strip():
                yield at, line
            at += len(line) + 1
        if len(rest) > LONGEST_LINE:
            msg = f"{subject}: a line has more than {LONGEST_LINE:,} bytes"
            raise OversizedBody(msg)
    if rest.strip():
        yield at, rest


class Gatherer:
    """Takes lines, gives records. `nested` maps the type of a child (`LineItem`) to the parent's field that it belongs to.

    `objects` and `roots` count the lines, and those without a parent.
    """

    def __init__(self, nested: Mapping[str, str], *, objects: int = 0, roots: int = 0) -> None:
        self.objects = objects
        self.roots = roots
        self._nested = dict(nested)
        self._fields: dict[str, msgspec.Raw] = {}
        self._id: str | None = None
        self._children: dict[str, list[bytes]] = {}
        self._why = ""
        self._sample = b""
        self._size = 0
        self._open = False

    def add(self, line: bytes) -> tuple[bool, Gathered | None]:
        """Whether the line begins a record, and the record before it where it does. Raises InvalidPage for a child of something else."""
        try:
            fields = _OBJECT(line)
            # What is raw was not looked into, so what is no UTF-8 is looked for here.
            str(line, "utf-8")
            parent = _TEXT(fields.pop(PARENT)) if PARENT in fields else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._unreadable(line)
        if parent is not None:
            self.objects += 1
            self._child(line, fields, parent)
            return False, None
        done = self.last()
        self.objects += 1
        self.roots += 1
        self._begin(line)
        self._fields, self._id = fields, _text_at(fields, "id")
        if self._id is None and self._nested:
            self._why = "the object has no id, by which its children would be known"
        return True, done

    def last(self) -> Gathered | None:
        """The record that is still open, once nothing more belongs to it; None where none is."""
        if not self._open:
            return None
        self._open = False
        if self._why:
            return Gathered(unread=Unread(raw=self._sample, why=self._why))
        for name in self._nested.values():
            self._fields[name] = msgspec.Raw(b"[" + b",".join(self._children.get(name, ())) + b"]")
        item = msgspec.json.encode(self._fields) if self._nested else self._sample
        return Gathered(item=item.translate(LINE_ENDS))

    def _begin(self, line: bytes) -> None:
        self._open = True
        self._children = {}
        self._why = ""
        self._sample = line if not self._nested else line[:SAMPLE]
        self._size = len(line)

    def _child(self, line: bytes, fields: dict[str, msgspec.Raw], parent: str) -> None:
        if not self._open or (self._id is not None and parent != self._id):
            msg = f"object {self.objects:,} of the export belongs to {parent[:80]!r}, which is not the object above it"
            raise InvalidPage(msg, hint="the export was not grouped, so no record can be told whole")
        if self._why:
            return
        kind = _kind(fields)
        name = self._nested.get(kind)
        self._size += len(line)
        if name is None:
            self._why = f"it has a child of type {kind or 'unknown'!r}, and no nested connection of it is declared"
        elif self._size > LARGEST_RECORD:
            self._why = f"it has more than {LARGEST_RECORD:,} bytes with its children"
            self._children = {}
        else:
            self._children.setdefault(name, []).append(msgspec.json.encode(fields))

    def _unreadable(self, line: bytes) -> tuple[bool, Gathered | None]:
        """A line that nobody can read: a child's spoils its record, since none is ever short; a record's spoils itself."""
        why = "a line of the export is no valid JSON object"
        if PARENT.encode() in line and self._open:
            self.objects += 1
            self._why = self._why or f"{why}, and it belongs to this one"
            return False, None
        done = self.last()
        self.objects += 1
        self.roots += 1
        self._begin(line[:SAMPLE])
        self._id, self._why = None, why
        return True, done


def _text_at(fields: Mapping[str, msgspec.Raw], name: str) -> str | None:
    raw = fields.get(name)
    try:
        return _TEXT(raw) if raw is not None else None
    except msgspec.DecodeError:
        return None


def _kind(fields: Mapping[str, msgspec.Raw]) -> str:
    """A node's type: the third part of `gid://shopify/LineItem/1`, or its `__typename`."""
    gid = _text_at(fields, "id") or ""
    parts = gid.split("/")
    return parts[3] if gid.startswith("gid://") and len(parts) > 3 else _text_at(fields, "__typename") or ""
