"""Peeking: a value that stands near the front of an item is read there, and the rest of the item is not gone through for it."""

import re
from collections.abc import Sequence

SAFE = re.compile(r"[A-Za-z0-9_.@$ -]+")
#: One plain member of an object: `"object": "order", `. No piece can end where the next one begins, so an odd item costs no more than one look.
#: (Possessive quantifiers would say so outright; Python 3.11.2 gets them wrong.)
MEMBER = rb'"(?!NAME")[^"\\]*"\s*:\s*(?:"[^"\\]*"|[^]["{},\s]+)\s*,\s*'
#: Members that are passed over: further back the item is read whole as fast.
FRONT = rb"\{\s*(?:" + MEMBER + rb'){0,6}"NAME"\s*:\s*(?:(-?[0-9]{1,18})|"([^"\\]*)")\s*[,}]'


class Peek:
    """Reads one top-level field of valid JSON objects, where none but plain members stand before it, and it is a whole number or a text without escapes."""

    def __init__(self, name: str) -> None:
        pattern = FRONT.replace(b"NAME", re.escape(name.encode()))
        self._look = re.compile(pattern).match if SAFE.fullmatch(name) else None

    def column(self, items: Sequence[bytes]) -> list[int | str] | None:
        """The value of each item; None where one of them is not of that kind, so that all have to be read whole."""
        if self._look is None:
            return None
        found: list[int | str] = []
        for item in items:
            seen = self._look(item)
            if seen is None:
                return None
            number, text = seen.groups()
            try:
                found.append(int(number) if number is not None else text.decode())
            except UnicodeDecodeError:
                return None
        return found
