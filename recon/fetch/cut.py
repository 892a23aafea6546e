"""Cutting: a page's body into raw items, without decoding them, and the few values beside them that paging asks for.

A strict reader does it in one pass, in C. Only where it refuses the page (one lone surrogate, one NaN, one item nested a
hundred thousand deep) does the tolerant splitter find the same array by brackets, so that the bad items become `Unread` and the
others are kept. A body that is cut, or that holds no such array, is an InvalidPage that says what was there instead.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec

from recon.errors import InvalidPage
from recon.fetch.page import Unread
from recon.fetch.path import ABSENT, at_path, segments
from recon.fetch.peek import Peek
from recon.fetch.refusal import describe
from recon.fetch.split import Torn, find, members

SAMPLE = 2048
BOM = b"\xef\xbb\xbf"
LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
NOT_NUMBERS = re.compile(rb"[:\[,]\s*-?(?:NaN|Infinity|nan|inf)\b")


@dataclass(frozen=True, slots=True)
class Cut:
    """A page's items, each on one line; what the body holds at the paths asked for (absent ones left out); what could not be read.

    `last` is the array's last member, readable or not.
    """

    items: list[bytes]
    values: Mapping[str, Any]
    last: bytes = b""
    unread: tuple[Unread, ...] = ()


class Cutter:
    """Cuts bodies that hold their records at one dotted path; made once per resource."""

    def __init__(self, records: str, paths: Sequence[str] = ()) -> None:
        self._records = records
        self._paths = tuple(dict.fromkeys(paths))
        way = segments(records)
        around = [path for path in self._paths if (names := segments(path))[: len(way)] == way[: len(names)]]
        if around:
            msg = f"{around[0]!r} cannot be read beside the records at {records!r}: one holds the other"
            raise ValueError(msg)
        tree: dict[str, Any] = {}
        for path in self._paths:
            _plant(tree, segments(path), Any)
        _plant(tree, way, list[msgspec.Raw])
        shape = _shape(tree) if records else list[msgspec.Raw]
        self._decode = msgspec.json.Decoder(shape).decode
        self._getters = [(path, tuple(_attribute(name) for name in segments(path))) for path in self._paths]
        self._way = tuple(_attribute(name) for name in way)

    def cut(self, body: bytes, subject: str) -> Cut:
        """The page; raises InvalidPage, naming `subject` (`GET /v1/charges, page 3`)."""
        try:
            page = self._decode(body)
            # Raw items are checked for syntax only, so what is no UTF-8 is looked for here.
            if not body.isascii():
                str(body, "utf-8")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._tolerant(body, subject)
        found = _walk(page, self._way)
        if found is ABSENT:
            raise self._missing(body, subject)
        items = list(map(bytes, found))
        if b"\n" in body or b"\r" in body:
            # In valid JSON a bare line end stands between tokens only, so a space says the same.
            items = [item.translate(LINE_ENDS) for item in items]
        values = {}
        for path, way in self._getters:
            value = _walk(page, way)
            if value is not ABSENT:
                values[path] = value
        last = items[-1] if items else b""
        odd = [item for item in items if item[0] != 0x7B]
        if odd:
            return Cut([item for item in items if item[0] == 0x7B], values, last, tuple(_no_object(item) for item in odd))
        return Cut(items, values, last)

    def _tolerant(self, body: bytes, subject: str) -> Cut:
        body = body.removeprefix(BOM)
        try:
            place = find(body, self._records)
            if place is None or body[place[0] : place[0] + 1] != b"[":
                raise self._missing(body, subject)
            places = list(members(body, place[0]))
            values = self._values(body)
        except Torn as torn:
            what = describe(body)
            said = f"the JSON is cut or broken: {torn} of {len(body):,}" if what.startswith("no JSON") and body[:1] in b"{[" else what
            msg = f"{subject}: {said}, where a page of records is wanted"
            raise InvalidPage(msg) from None
        items: list[bytes] = []
        unread: list[Unread] = []
        for start, end in places:
            item = body[start:end]
            why = fault_of(item)
            if why is None:
                items.append(item.translate(LINE_ENDS))
            else:
                unread.append(Unread(raw=item[:SAMPLE], why=why))
        return Cut(items, values, body[slice(*places[-1])] if places else b"", tuple(unread))

    def _values(self, body: bytes) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for path in self._paths:
            place = find(body, path)
            if place is not None:
                values[path] = loose(body[place[0] : place[1]])
        return values

    def _missing(self, body: bytes, subject: str) -> InvalidPage:
        """The error for a body without the array; a missing array is never an empty one."""
        where = f"no array at {self._records!r}" if self._records else "the body is no array"
        msg = f"{subject}: {where}; the body is {describe(body)}"
        if "HTML" in msg:
            # Most often a session that ended, or a gateway: nothing is wrong with the declared path.
            return InvalidPage(msg, hint="a login or maintenance page: recon doctor says whether the credential and base_url still serve")
        return InvalidPage(msg, hint=None if "error body" in msg else "records = … in the resource says where the array of records is")


def loose(text: bytes) -> Any:
    """A value as a forgiving reader takes it; ABSENT where even that one cannot."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return ABSENT


def key_of(item: bytes, path: str) -> str | None:
    """An item's key as text; None where it has none that is a text or a whole number."""
    value = loose(item)
    if value is not ABSENT:
        value = at_path(value, path)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        return None
    return text if is_whole(text := str(value)) else None


def is_whole(text: str) -> bool:
    """Whether it is text that can be written and sent: JSON may escape half a character, which is none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def key_at(item: bytes, path: str) -> str | None:
    """The same as `key_of`, at a third of the cost for an item that is as it should be."""
    return keys_of([item], path)[0] or key_of(item, path)


def keys_of(items: Sequence[bytes], path: str) -> list[str | None]:
    """The same of several items, at a tenth of the cost where the key stands at the top of every item."""
    if len(segments(path)) != 1:
        return [key_of(item, path) for item in items]
    values = _reader(path).column(items)
    return [str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None for value in values]


def column_of(items: Sequence[bytes], path: str) -> list[Any]:
    """The value at a dotted path of each item; ABSENT where there is none."""
    return _reader(path).column(items)


@lru_cache(maxsize=64)
def _reader(path: str) -> "FieldReader":
    return FieldReader(path)


class FieldReader:
    """Reads one field of an item, by its dotted path, without decoding the rest."""

    def __init__(self, path: str) -> None:
        way = segments(path)
        tree: dict[str, Any] = {}
        _plant(tree, way, Any)
        self._decode = msgspec.json.Decoder(_shape(tree)).decode
        self._way = tuple(_attribute(name) for name in way)
        self._peek = Peek(way[0] if len(way) == 1 else "")

    def read(self, item: bytes) -> Any:
        """The value, decoded; ABSENT where there is none, or where the item is of another shape on the way to it."""
        try:
            return _walk(self._decode(item), self._way)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return ABSENT

    def column(self, items: Sequence[bytes]) -> list[Any]:
        """The same of a whole page, at less cost where the field stands at the top of every item, and at half of that where it is near the front."""
        if len(self._way) == 1:
            if (near := self._peek.column(items)) is not None:
                return list(near)
            decode, top = self._decode, attrgetter(self._way[0])
            try:
                found = [top(decode(item)) for item in items]
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
            else:
                return [ABSENT if value is msgspec.UNSET else value for value in found]
        return [self.read(item) for item in items]


def holds(item: bytes, path: str) -> bool:
    """Whether an item has something at a path; null is nothing."""
    value = at_path(loose(item), path)
    return value is not ABSENT and value is not None


_CHECK = msgspec.json.Decoder(msgspec.Raw).decode


def fault_of(item: bytes) -> str | None:
    """Why an item is no JSON object; None where it is one."""
    if item[:1] != b"{":
        return _no_object(item).why
    why = None
    try:
        _CHECK(item)
        str(item, "utf-8")
    except RecursionError:
        why = "nested too deeply to be read"
    except UnicodeDecodeError as error:
        why = f"not UTF-8 at byte {error.start:,} of the item"
    except msgspec.DecodeError as error:
        why = f"no valid JSON: {error}"
        if _lone_surrogate(item):
            why = "half of a surrogate pair (\\ud800 to \\udfff) in a text, which is no character"
        elif NOT_NUMBERS.search(item):
            why = "NaN or Infinity, which JSON has not"
    return why


def _lone_surrogate(item: bytes) -> bool:
    if not SURROGATE.search(item):
        return False
    value = loose(item)
    if value is ABSENT:
        return True
    return re.search("[\ud800-\udfff]", json.dumps(value, ensure_ascii=False)) is not None


def _no_object(item: bytes) -> Unread:
    kinds = {b"[": "an array", b'"': "a text", b"n": "null", b"t": "true", b"f": "false"}
    return Unread(raw=item[:SAMPLE], why=f"{kinds.get(item[:1], 'a number')} stands where a record (an object) is wanted")


def _plant(tree: dict[str, Any], names: Sequence[str], leaf: Any) -> None:
    """Adds a path to the tree of what is decoded; a value wanted whole swallows what is wanted inside it."""
    for name in names[:-1]:
        branch = tree.setdefault(name, {})
        if not isinstance(branch, dict):
            return
        tree = branch
    if names:
        tree[names[-1]] = leaf


def _shape(tree: Mapping[str, Any]) -> Any:
    """A msgspec Struct that takes from an object just what the tree names; everything in it may be absent."""
    members_ = []
    rename = {}
    for name, leaf in tree.items():
        inner = _shape(leaf) | None if isinstance(leaf, dict) else leaf
        members_.append((_attribute(name), inner | msgspec.UnsetType if leaf is not Any else Any, msgspec.UNSET))
        rename[_attribute(name)] = name
    return msgspec.defstruct("Shape", members_, rename=rename)


def _attribute(name: str) -> str:
    """A JSON name as an attribute of a Struct."""
    return "f_" + name.encode().hex()


def _walk(value: Any, way: Sequence[str]) -> Any:
    """What stands at the end of a way through Structs, or through plain values where a part was decoded whole."""
    for attribute in way:
        if isinstance(value, dict):
            value = value.get(bytes.fromhex(attribute[2:]).decode(), ABSENT)
        elif isinstance(value, msgspec.Struct):
            value = getattr(value, attribute)
        else:
            return ABSENT
        if value is msgspec.UNSET:
            return ABSENT
    return value


def raw_record(body: bytes, path: str) -> bytes | None:
    """The one object at a dotted path of a body, as written; None where there is none or it is no valid JSON."""
    body = body.removeprefix(BOM)
    try:
        place = find(body, path)
    except Torn:
        return None
    if place is None:
        return None
    record = body[place[0] : place[1]]
    return record if fault_of(record) is None else None
