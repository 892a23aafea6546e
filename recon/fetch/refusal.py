"""What a body is that is no page, in words: an error body, a login page, nothing. All of it bounded and made inert."""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

TITLE = re.compile(rb"<title[^>]*>(.{0,200}?)</title", re.IGNORECASE | re.DOTALL)
SHOWN = 200
LOOKED_AT = 64 * 1024
ERROR_KEYS = ("error", "errors", "fault", "problem")
CODES = ("code", "type", "error", "error_code", "status", "name")
WORDS = ("message", "detail", "error_description", "description", "title", "reason", "error_message")


def describe(body: bytes) -> str:
    """`an HTML page titled 'Login'`, `an error body: rate_limited: Too many requests`, `an empty body`, …"""
    head = body[:LOOKED_AT].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head:
        return "an empty body"
    if head[:1] == b"<":
        title = TITLE.search(head)
        kind = "an XML document" if head[:5].lower() == b"<?xml" and b"<html" not in head[:2000].lower() else "an HTML page"
        return kind if title is None else f"{kind} titled {inert(title.group(1).decode('utf-8', 'replace'))!r}"
    value = _decoded(body)
    if isinstance(value, dict):
        told = said(value)
        names = ", ".join(inert(str(name), 40) for name in list(value)[:8])
        return f"an error body: {told}" if told else f"an object with {names}" if names else "an empty object"
    if isinstance(value, list):
        return f"an array of {len(value):,}"
    if value is not None or head[:4] == b"null":
        return f"the JSON value {inert(json.dumps(value), 60)}"
    return f"no JSON: {inert(head[:80].decode('utf-8', 'replace'), 60)!r}"


def error_words(body: bytes) -> str:
    """What an error's body says, for a message: "" where it says nothing that can be read."""
    value = _decoded(body)
    if isinstance(value, dict):
        return said(value) or ""
    if body.lstrip()[:1] == b"<":
        return describe(body)
    return ""


def error_body_words(body: bytes) -> str:
    """The same for an answer with status 200: only what stands at an error's key speaks, and GraphQL's `extensions.code` beside it."""
    value = _decoded(body)
    inner = next((value[n] for n in ERROR_KEYS if value.get(n)), None) if isinstance(value, dict) else None
    if inner is None:
        return ""
    first = inner[0] if isinstance(inner, list) else inner
    extensions = first.get("extensions") if isinstance(first, dict) else None
    code = _first(extensions, CODES) if isinstance(extensions, dict) else None
    return " ".join(part for part in (code, said(value)) if part)


def said(value: Mapping[str, Any]) -> str | None:
    """`code: message` of an error body in the usual shapes (RFC 9457 problems among them); None where it is none."""
    inner = next((value[n] for n in ERROR_KEYS if value.get(n)), None)
    if isinstance(inner, list):
        inner = inner[0] if inner else None
    if isinstance(inner, dict):
        return _line(inner) or "an error without words"
    if isinstance(inner, str):
        words = _first(value, WORDS)
        return inert(f"{inner}: {words}" if words and words != inner else inner)
    problem = any(name in value for name in WORDS) and any(name in value for name in (*CODES, "message", "detail"))
    return _line(value) if problem else None


def _line(value: Mapping[str, Any]) -> str | None:
    code, words = _first(value, CODES), _first(value, WORDS)
    return inert(": ".join(part for part in (code, words) if part)) or None


def _first(value: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        found = value.get(name)
        if isinstance(found, str | int) and not isinstance(found, bool) and found != "":
            return str(found)
    return None


def inert(text: str, limit: int = SHOWN) -> str:
    """One line without anything that a terminal acts on, of at most `limit` characters."""
    line = "".join(c if c.isprintable() else " " for c in text[: limit * 4])
    line = " ".join(line.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _decoded(body: bytes) -> Any:
    if len(body) > LOOKED_AT * 16:
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        # The standard reader takes what the strict one refuses (NaN, lone surrogates), which will do for a message.
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
