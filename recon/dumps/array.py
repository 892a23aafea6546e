"""One JSON document that holds its records in an array, read by its place on the disk: however large, memory is an item."""

import mmap
from collections.abc import Iterator
from typing import IO, cast

from recon.errors import InvalidPage
from recon.fetch.cut import LINE_ENDS, SAMPLE, fault_of
from recon.fetch.page import Unread
from recon.fetch.refusal import describe
from recon.fetch.split import Torn, find, members

BOM = b"\xef\xbb\xbf"
SEEN = 64 * 1024


def array_items(file: IO[bytes], records: str, name: str) -> Iterator[bytes | Unread]:
    """The array's members at the dotted path, each on one line. Raises InvalidPage where the document does not close, or holds no such array.

    The whole document is looked over before the first item is given out, so one that is cut gives none.
    """
    try:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:
        msg = f"{name}: the file is empty, where a JSON document is wanted"
        raise InvalidPage(msg) from None
    with mapped:
        if mapped[:3] == BOM:
            msg = f"{name}: the document begins with a byte order mark, which JSON has not (RFC 8259 section 8.1)"
            raise InvalidPage(msg, hint="have it written without one")
        # A map is sliced and searched as bytes are, without being read at once.
        text = cast("bytes", mapped)
        try:
            place = find(text, records)
            if place is None or mapped[place[0] : place[0] + 1] != b"[":
                at = f"at {records!r}" if records else "at its top"
                msg = f"{name}: no array {at}; the file is {describe(mapped[:SEEN])}"
                raise InvalidPage(msg, hint="records in the resource is the dotted path of the array")
            yield from (_item(mapped[start:end]) for start, end in members(text, place[0]))
        except Torn as torn:
            msg = f"{name}: the JSON is cut or broken: {torn} of {len(mapped):,}"
            raise InvalidPage(msg, hint="fetch the file again; it was cut on its way") from None


def _item(item: bytes) -> bytes | Unread:
    why = fault_of(item)
    return item.translate(LINE_ENDS) if why is None else Unread(raw=item[:SAMPLE], why=why)
