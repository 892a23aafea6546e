"""No secret leaves in words: every text that is logged or printed as an error passes here.

Masked are all secrets that this process has resolved, as they are and in the forms they travel in (base64 at any alignment,
URL-encoded in any mix, JSON- and repr-escaped, hexadecimal), the password of each database URL among them, and the password of any
URL whatever. While `hiding` is open, the personal values that are being worked on are masked as well.
"""

import base64
import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, lru_cache
from types import TracebackType
from typing import TextIO
from urllib.parse import quote, quote_plus, unquote, urlsplit

from recon.secret import MASK, seen

#: Shorter secrets are not masked: they would blot out half of every text and hide nothing.
SHORTEST = 4
#: A base64 core shorter than this could stand in any text by chance.
SHORTEST_CORE = 6
#: Libraries that log each of their steps.
NOISY = ("alembic", "apscheduler")
#: Brokers' clients, which log a traceback for each connection that ends; what became of the events our own words say.
CLIENTS = ("aio_pika", "aiormq", "google.cloud", "nats", "paho")
#: Below INFO these log what they carry: a row that is read, a message, a request's body. Those are records of customers.
TALKATIVE = ("aio_pika", "aiormq", "botocore", "google.cloud", "paho", "sqlalchemy")
URL_PASSWORD = re.compile(r"(?<=://)([^/?#:@\s'\"]*):([^/?#@\s'\"]+)@")


def redact(text: str) -> str:
    """The text with every known secret masked, and every personal value that is being hidden."""
    pattern = _pattern(seen())
    if pattern is not None:
        text = pattern.sub(MASK, text)
    for hidden in tuple(_hidden):
        text = hidden.masked(text)
    return URL_PASSWORD.sub(rf"\1:{MASK}@", text)


class _Hidden:
    """Texts and what is shown for each; the expression is made when something is to be masked, which is seldom."""

    def __init__(self, marks: Mapping[str, str]) -> None:
        self.marks = marks

    @cached_property
    def _forms(self) -> dict[str, str]:
        return {form: mark for text, mark in self.marks.items() for form in forms_of(text)}

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        forms = sorted(self._forms, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, forms))) if forms else None

    def masked(self, text: str) -> str:
        if not text or self._pattern is None:
            return text
        return self._pattern.sub(lambda match: self._forms[match[0]], text)


_hidden: list[_Hidden] = []


@contextmanager
def hiding(marks: Mapping[str, str]) -> Iterator[None]:
    """While it is open, `redact` replaces each of these texts, in every form that it travels in, by what it maps to.

    It holds for all threads. An exception that leaves it has its texts masked, its causes too, since it is shown later.
    Texts shorter than `SHORTEST` are left: they would blot out half of every message.
    """
    hidden = _Hidden(marks)
    _hidden.append(hidden)
    try:
        yield
    except Exception as error:
        _mask_error(error)
        raise
    finally:
        _hidden.remove(hidden)


def _mask_error(error: BaseException | None) -> None:
    """Masks the texts of an exception and of all that led to it, in place."""
    done: set[int] = set()
    todo = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in done:
            continue
        done.add(id(one))
        one.args = tuple(redact(arg) if isinstance(arg, str) else arg for arg in one.args)
        for name in ("message", "hint"):
            if isinstance(text := getattr(one, name, None), str):
                setattr(one, name, redact(text))
        if notes := getattr(one, "__notes__", None):
            one.__notes__ = [redact(note) for note in notes]
        todo += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]


@lru_cache(maxsize=4)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str] | None:
    """One expression for all forms of all secrets, longest first, so that no part of one is left over."""
    parts = {part for secret in secrets for part in _parts(secret)}
    forms = {(len(form), re.escape(form)) for part in parts for form in forms_of(part)}
    forms |= {(3 * len(part), _in_urls(part)) for part in parts}
    if not forms:
        return None
    return re.compile("|".join(form for _, form in sorted(forms, reverse=True)))


def _in_urls(secret: str) -> str:
    """An expression for the secret in a URL: libraries differ in which characters they encode, and in whose case."""

    def one(character: str) -> str:
        if character.isascii() and character.isalnum():
            return character
        octets = "".join(f"%(?:25)*{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
        return f"(?:{re.escape(character)}|(?i:{octets}){'|[+]' if character == ' ' else ''})"

    return "".join(map(one, secret))


def _parts(secret: str) -> set[str]:
    """The secret itself; of a URL also its password, plain and decoded; of several lines each line, as a log would cut them."""
    parts = (
        {secret, *secret.splitlines()}
        if "-----" not in secret
        else {secret, *(line for line in secret.splitlines() if "-----" not in line)}
    )
    if "://" in secret:
        try:
            password = urlsplit(secret).password
        except ValueError:
            password = None
        if password:
            parts |= {password, unquote(password)}
    return {part for part in parts if len(part) >= SHORTEST}


def forms_of(secret: str) -> set[str]:
    """A secret in every form that a log, a URL, a header or a JSON body would carry it."""
    forms = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    forms.add(quote(secret, safe="").replace("%", "%25"))
    forms.add(json.dumps(secret, ensure_ascii=False)[1:-1])
    raw = secret.encode("utf-8", "surrogatepass")
    forms |= {raw.hex(), raw.hex().upper()}
    for shift in range(3):
        # Inside a longer text (`user:secret`) the same bytes stand at one of three alignments; the characters at the
        # seams depend on the neighbours, so only what the secret alone decides is looked for.
        encoded = base64.b64encode(b"\0" * shift + raw).decode()
        start = (0, 2, 3)[shift]
        core = encoded[start : (shift + len(raw)) * 8 // 6]
        if len(core) >= SHORTEST_CORE:
            forms |= {core, core.replace("+", "-").replace("/", "_")}
    return {form for form in forms if len(form) >= SHORTEST}


class RedactingFilter(logging.Filter):
    """On a handler: masks message, arguments, exception with its causes, and stack of each record that passes."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True; the record's texts are made final, so that whatever formats it later finds nothing to betray."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = f"{record.msg} {record.args!r}"  # A log line with the wrong arguments is still worth reading.
        record.msg, record.args = redact(message), None
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = redact("".join(traceback.format_exception(*record.exc_info)).rstrip())
            record.exc_info = None
        elif record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


class RedactingFormatter(logging.Formatter):
    """The same once more over the finished line, for what a record carries beside its message."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, masked."""
        return redact(super().format(record))


def install(level: int = logging.WARNING, stream: TextIO | None = None) -> logging.Handler:
    """Sets logging up for a command: one handler on `stream` (stderr), everything through the redactor, uncaught errors too.

    A second call replaces the handler of the first. Returns the handler.
    """
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if getattr(handler, "of_recon", False)]:
        root.removeHandler(old)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.of_recon = True  # type: ignore[attr-defined]  # a mark of ours, so that a second call finds it
    handler.addFilter(RedactingFilter())
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    root.setLevel(level)
    # At -v their chatter would bury ours; -vv shows it.
    deep = level <= logging.DEBUG
    for name in (*NOISY, *CLIENTS, *TALKATIVE):
        least = logging.INFO if name in TALKATIVE else logging.DEBUG
        logging.getLogger(name).setLevel(least if deep else logging.CRITICAL if name in CLIENTS else logging.WARNING)
    # It warns of how a client ends a connection over TLS, which nobody can mend; an error there is a fault of ours.
    logging.getLogger("asyncio").setLevel(logging.DEBUG if deep else logging.ERROR)
    sys.excepthook = _excepthook
    threading.excepthook = _thread_excepthook
    return handler


def formatted(error: BaseException) -> str:
    """A traceback with its causes, masked."""
    return redact("".join(traceback.format_exception(error)))


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


def _thread_excepthook(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        sys.stderr.write(f"in thread {args.thread.name if args.thread else '?'}:\n{formatted(args.exc_value)}")
