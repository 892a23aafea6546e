"""The Link header, RFC 8288: relation -> target, read as the grammar says and not by cutting at commas."""

from collections.abc import Iterator

SPACE = " \t\r\n"


def parse_links(header: str) -> dict[str, str]:
    """Each relation, in lower case, and the target of the first link that has it.

    Relations are lists (`rel="next last"`), names of parameters know no case (`REL=next`), and both targets and quoted
    values may hold `,` and `;`. Only a link's first `rel` counts, and a link with an `anchor` speaks of another page
    (RFC 8288, section 3.2 and 3.3), so it is left out. What cannot be read ends the reading: nothing is guessed.
    """
    found: dict[str, str] = {}
    for target, parameters in _links(header):
        if "anchor" in parameters:
            continue
        for relation in parameters.get("rel", "").lower().split():
            found.setdefault(relation, target)
    return found


def _links(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    at = 0
    while True:
        at = _skip(header, at, SPACE + ",")
        if at >= len(header) or header[at] != "<":
            return
        close = header.find(">", at)
        if close < 0:
            return
        target = header[at + 1 : close].strip(SPACE)
        parameters, at = _parameters(header, close + 1)
        yield target, parameters


def _parameters(header: str, at: int) -> tuple[dict[str, str], int]:
    """The `; name=value` pairs from `at` on, the first of each name, and where they end."""
    found: dict[str, str] = {}
    while True:
        at = _skip(header, at, SPACE)
        if at >= len(header) or header[at] != ";":
            return found, at
        at = _skip(header, at + 1, SPACE)
        start = at
        while at < len(header) and header[at] not in "=;, \t\r\n":
            at += 1
        name = header[start:at].lower()
        at = _skip(header, at, SPACE)
        value = ""
        if at < len(header) and header[at] == "=":
            value, at = _value(header, _skip(header, at + 1, SPACE))
        if name:
            found.setdefault(name, value)


def _value(header: str, at: int) -> tuple[str, int]:
    """A token, or a quoted string with its escapes undone."""
    if at >= len(header) or header[at] != '"':
        start = at
        while at < len(header) and header[at] not in ";," + SPACE:
            at += 1
        return header[start:at], at
    parts: list[str] = []
    at += 1
    while at < len(header) and header[at] != '"':
        if header[at] == "\\" and at + 1 < len(header):
            at += 1
        parts.append(header[at])
        at += 1
    return "".join(parts), at + 1


def _skip(header: str, at: int, these: str) -> int:
    while at < len(header) and header[at] in these:
        at += 1
    return at
