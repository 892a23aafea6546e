"""The tolerant splitter: finds the members of an object or array by brackets and strings alone.

It is the second way, for pages that a strict reader refuses whole because of one item: it never recurses and never judges what
is inside a member, so that one poisoned item costs itself and not its page.
"""

import re
from collections.abc import Iterator
from itertools import islice

from recon.fetch.path import segments

STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
# Strings first, so that brackets inside them are passed over.
NESTED = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]|"', re.DOTALL)
BARE = re.compile(rb"[^\s,\]}\[{\":]+")
SPACE = re.compile(rb"[ \t\r\n]*")


class Torn(ValueError):
    """The text ends, or goes wrong, before its structure does; `at` is the byte."""

    def __init__(self, at: int, why: str) -> None:
        super().__init__(f"{why} at byte {at:,}")
        self.at = at


def end_of_value(text: bytes, at: int) -> int:
    """The byte after the value that starts at `at`; raises Torn."""
    first = text[at : at + 1]
    if first in (b"{", b"["):
        depth = 0
        for token in NESTED.finditer(text, at):
            mark = token.group()
            if mark in (b"{", b"["):
                depth += 1
            elif mark in (b"}", b"]"):
                depth -= 1
                if depth == 0:
                    return token.end()
            elif mark == b'"':
                break
        raise Torn(len(text), "the body ends inside a value")
    found = (STRING if first == b'"' else BARE).match(text, at)
    if found is None:
        raise Torn(at, "the body ends inside a value" if at >= len(text) or first == b'"' else "no value")
    return found.end()


def members(text: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Start and end of each member of the array at `at`; raises Torn, after yielding what was whole."""
    at = _space(text, at + 1)
    if text[at : at + 1] == b"]":
        return
    while True:
        end = end_of_value(text, at)
        yield at, end
        at = _space(text, end)
        if text[at : at + 1] == b"]":
            return
        at = _space(text, _expect(text, at, b","))


def fields(text: bytes, at: int) -> Iterator[tuple[bytes, int, int]]:
    """Name (as written between its quotes), start and end of each value of the object at `at`; raises Torn."""
    at = _space(text, at + 1)
    if text[at : at + 1] == b"}":
        return
    while True:
        name = STRING.match(text, at)
        if name is None:
            raise Torn(at, "no name of a member")
        start = _space(text, _expect(text, _space(text, name.end()), b":"))
        end = end_of_value(text, start)
        yield name.group()[1:-1], start, end
        at = _space(text, end)
        if text[at : at + 1] == b"}":
            return
        at = _space(text, _expect(text, at, b","))


def find(text: bytes, path: str) -> tuple[int, int] | None:
    """Start and end of the value at a dotted path; None where there is none. The last of equal names counts, a number steps into an array. Raises Torn."""
    start = _space(text, 0)
    end = end_of_value(text, start)
    if _space(text, end) != len(text):
        raise Torn(end, "something follows the JSON document")
    for name in segments(path):
        first = text[start : start + 1]
        if first == b"{":
            wanted = name.encode()
            places = [(s, e) for key, s, e in fields(text, start) if key == wanted]
        else:
            places = list(islice(members(text, start), int(name), int(name) + 1)) if first == b"[" and name.isdigit() else []
        if not places:
            return None
        start, end = places[-1]
    return start, end


def _space(text: bytes, at: int) -> int:
    found = SPACE.match(text, at)
    return at if found is None else found.end()


def _expect(text: bytes, at: int, mark: bytes) -> int:
    if text[at : at + 1] != mark:
        raise Torn(at, "the body ends" if at >= len(text) else f"no {mark.decode()!r}")
    return at + 1
