"""Faults of the answer: what goes wrong with status, head, framing and body, whatever the page is. `ON_THE_WIRE` lists them."""

import gzip
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime

from recon.testing.fault_server import Answer, Framing, page
from recon.testing.faultlab.fault import Fault, Moment, Outcome

Wire = Callable[[Moment, Answer], Answer]
HEALS, STOPS, TRUTH = Outcome.HEALS, Outcome.STOPS, Outcome.TRUTH

ONE_PIXEL = b"\x89PNG\r\n\x1a\n"
LOGIN = b"<!doctype html><html><head><title>Sign in</title></head><body><form></form></body></html>"
#: What one answer of a bomb becomes: past any bound of a test, and small on the wire.
BOMB_BYTES = 32 * 1024 * 1024


def status(code: int, *, say: str = "it is ill", **headers: str) -> Wire:
    """An error in the usual shape instead of the page."""
    return lambda _, __: page({"error": {"code": f"e{code}", "message": say}}, code, **headers)


def told_to_wait(code: int, seconds: float) -> Wire:
    """A throttle whose Retry-After is a date, by the clock of whoever asks."""

    def wire(moment: Moment, _: Answer) -> Answer:
        until = format_datetime((moment.now() + timedelta(seconds=seconds)).replace(microsecond=0), usegmt=True)
        return page({"error": {"message": "too fast"}}, code, Retry_After=until)

    return wire


def used_up(moment: Moment, _: Answer) -> Answer:
    """A throttle that says when its window is over, and nothing else."""
    over = int((moment.now() + timedelta(seconds=5)).timestamp())
    return page({"error": {"message": "too fast"}}, 429, X_RateLimit_Limit="100", X_RateLimit_Remaining="0", X_RateLimit_Reset=str(over))


def framed(framing: Framing, *, keep: float = 1.0) -> Wire:
    """The page, framed so, and of its body that share."""

    def wire(_: Moment, answer: Answer) -> Answer:
        body = answer.body
        return replace(answer, framing=framing, pieces=[body[: int(len(body) * keep)]])

    return wire


def body(text: bytes, code: int = 200, kind: str = "application/json") -> Wire:
    """This body instead of the page's."""
    return lambda _, __: Answer(status=code, headers={"Content-Type": kind}, pieces=[text])


def redirect(moment: Moment, _: Answer) -> Answer:
    """To an origin that nobody declared."""
    return Answer(status=302, headers={"Location": f"{moment.foreign}{moment.asked.target}"})


def redirect_home(moment: Moment, _: Answer) -> Answer:
    """To the very same place."""
    return Answer(status=307, headers={"Location": moment.asked.target})


def zipped(*, keep: float = 1.0, coding: str = "gzip") -> Wire:
    """The page in gzip, cut to that share of itself, with an honest length."""

    def wire(_: Moment, answer: Answer) -> Answer:
        packed = gzip.compress(answer.body, mtime=0)
        return replace(answer, headers={**answer.headers, "Content-Encoding": coding}, pieces=[packed[: int(len(packed) * keep)]])

    return wire


def bomb(_: Moment, answer: Answer) -> Answer:
    """A page that grows a thousandfold when it is unpacked."""
    return replace(answer, headers={**answer.headers, "Content-Encoding": "gzip"}, pieces=[_bomb()])


_PACKED: list[bytes] = []


def _bomb() -> bytes:
    if not _PACKED:
        _PACKED.append(gzip.compress(b"[" + b" " * BOMB_BYTES + b"]", mtime=0))
    return _PACKED[0]


def announced(_: Moment, answer: Answer) -> Answer:
    """A length that no page has."""
    return replace(answer, headers={**answer.headers, "Content-Length": str(10**12)}, framing="cut")


def too_short(_: Moment, answer: Answer) -> Answer:
    """A length that is less than what comes: the rest stands where the next answer should begin."""
    return replace(answer, headers={**answer.headers, "Content-Length": str(len(answer.body) // 2)})


def silent(_: Moment, answer: Answer) -> Answer:
    """No byte for longer than anyone waits."""
    return replace(answer, hold=30.0)


def dripping_head(_: Moment, answer: Answer) -> Answer:
    """A byte of the head now and then: no single read takes long."""
    return replace(answer, head_pause=0.05)


def dripping_body(_: Moment, answer: Answer) -> Answer:
    """The same with the body."""
    text = answer.body
    pieces: list[bytes | float] = []
    for at in range(len(text)):
        pieces += [text[at : at + 1], 0.05]
    return replace(answer, pieces=pieces)


def garbled(_: Moment, answer: Answer) -> Answer:
    """What is no HTTP at all."""
    return replace(answer, status_line="HTTP/1.1 OK 200 OK")


def echo(code: int) -> Wire:
    """An error that quotes the credential it was sent."""
    return lambda moment, _: page({"error": {"message": f"this token may not: {moment.asked.headers.get('authorization', '')}"}}, code)


def too_large(moment: Moment, answer: Answer) -> Answer:
    """More than two items a page are too many for it."""
    return page({"error": {"message": "the page is too large"}}, 413) if moment.page.size > 2 else answer


def expired(_: str, place: str) -> Outcome:
    """A dead cursor: on the first page there is none, so that is a plain refusal."""
    return STOPS if place == "first" else TRUTH


def _once(name: str, wire: Wire, *, times: int = 1, expects: Outcome = HEALS, slow: bool = False) -> Fault:
    return Fault(name=name, wire=wire, times=times, expects=expects, slow=slow)


def _ever(name: str, wire: Wire, says: str, *, slow: bool = False) -> Fault:
    return Fault(name=f"{name}, for ever", wire=wire, times=None, expects=STOPS, says=says, slow=slow)


def _link(name: str, written: Callable[[str], str]) -> Fault:
    """The Link header, written as RFC 8288 allows and few servers do."""

    def wire(moment: Moment, answer: Answer) -> Answer:
        url = moment.api.url_of(moment.asked, moment.page.following)
        return answer if url is None else replace(answer, headers={**answer.headers, "Link": written(url)})

    return Fault(name=f"a Link with {name}", wire=wire, times=None, kinds=frozenset({"link"}))


THROTTLES: Sequence[Fault] = (
    _once("429, Retry-After in seconds", status(429, Retry_After="3"), times=2),
    _once("429, Retry-After as a date", told_to_wait(429, 7)),
    _once("429 without Retry-After", status(429), times=3),
    _once("429, a Retry-After that is nonsense", status(429, Retry_After="soon")),
    _once("429, a Retry-After below zero", status(429, Retry_After="-5")),
    _once("429, a Retry-After in the past", told_to_wait(429, -3600)),
    _once("429, used up until a reset", used_up),
    _once("503 with Retry-After", status(503, Retry_After="2"), times=2),
    _once("403 for going too fast", status(403, say="secondary rate limit", Retry_After="1")),
    _ever("429, a pause of a day", status(429, Retry_After="86400"), "pause of"),
    _ever("429", status(429), r"429"),
)
SICK: Sequence[Fault] = (
    _once("500, twice", status(500), times=2),
    _once("502, an HTML page of the gateway", body(b"<html><title>502</title></html>", 502, "text/html")),
    _once("503, three times", status(503), times=3),
    _once("504", status(504)),
    _once("408", status(408)),
    _ever("500", status(500), r"500"),
    _ever("503", status(503), r"503"),
    _ever("501", status(501), r"501"),
)
BROKEN: Sequence[Fault] = (
    _once("reset before the head", framed("none")),
    _once("closed before the head", framed("hung up")),
    _once("reset after the head", framed("reset", keep=0)),
    _once("reset in the body", framed("reset", keep=0.5)),
    _once("cut against its length", framed("cut", keep=0.5)),
    _once("cut in its chunks", framed("chunked cut", keep=0.5)),
    _once("all of the body, and no last chunk", framed("chunked cut")),
    _once("gzip cut at its end", zipped(keep=0.9)),
    _once("no HTTP", garbled),
    _once("chunked", framed("chunked")),
    _once("gzip", zipped()),
    _once("silence", silent, slow=True),
    _once("a head that drips", dripping_head, slow=True),
    _once("a body that drips", dripping_body, slow=True),
    _ever("reset before the head", framed("none"), "broke"),
    _ever("cut against its length", framed("cut", keep=0.5), "broke off|cut"),
    _ever("cut in its chunks", framed("chunked cut", keep=0.5), "broke off|cut"),
    _ever("gzip cut at its end", zipped(keep=0.9), "cut after"),
    _ever("silence", silent, "no whole answer", slow=True),
    _ever("neither length nor chunks", framed("close"), "neither a Content-Length"),
    _ever("a length that is too short", too_short, r"cut or broken|broke off|no array|no JSON"),
    _ever("an encoding nobody asked for", zipped(coding="br"), "encoded as 'br'"),
    _ever("a bomb in gzip", bomb, "the bound is"),
    _ever("a length of a terabyte", announced, "are announced"),
)
NO_PAGE: Sequence[Fault] = (
    _once("200 with an error body, once", body(b'{"error": {"code": "x", "message": "try later"}}'), expects=TRUTH),
    _ever("200 with an error body", body(b'{"error": {"code": "x", "message": "no such shop"}}'), "no such shop"),
    _ever(
        "200 with errors of GraphQL's shape", body(b'{"data": null, "errors": [{"message": "no such field"}]}'), "no such field|no array"
    ),
    _ever("a login page with status 200", body(LOGIN, kind="text/html"), "HTML page titled 'Sign in'"),
    _ever("an empty body with status 200", body(b""), "an empty body"),
    _ever("white space with status 200", body(b" \r\n\t "), "an empty body"),
    _ever("null", body(b"null"), "null"),
    _ever("a picture", body(ONE_PIXEL, kind="image/png"), "no JSON"),
    _ever("204 without content", lambda _, __: Answer(status=204), "204"),
    _ever("206 with a part", lambda _, answer: replace(answer, status=206), "206"),
    _ever("304 that nobody asked for", lambda _, __: Answer(status=304, framing="length", headers={"Content-Length": "0"}), "304"),
    _ever("JSON that is cut, with an honest length", framed("length", keep=0.7), "cut or broken|no array|no JSON"),
    _ever("a redirect to another host", redirect, "redirects are not followed"),
    _ever("a redirect to itself", redirect_home, "redirects are not followed"),
)
REFUSED: Sequence[Fault] = (
    _once("401, once", status(401, say="expired token"), expects=TRUTH),
    _ever("401", status(401, say="bad token"), "401"),
    _ever("403", status(403, say="not yours"), "403"),
    _ever("403 that quotes the credential", echo(403), "403"),
    _ever("500 that quotes the credential", echo(500), "500"),
    _ever("200 that quotes the credential", echo(200), "no array|this token"),
    _ever("404", status(404), "404"),
    Fault(name="410 for the cursor", wire=status(410, say="cursor expired"), times=None, until_anew=True, expects=expired),
    Fault(name="400 for the cursor", wire=status(400, say="invalid cursor"), times=None, until_anew=True, expects=expired),
    Fault(name="413, the page is too large", wire=too_large, times=None, expects=TRUTH, says="too large"),
)
LINKS: Sequence[Fault] = (
    _link("several relations in one", lambda url: f'<{url}>; rel="next last"'),
    _link("a relation in capitals, without quotes", lambda url: f"<{url}>; REL=NEXT"),
    _link("marks in the URL and in a title", lambda url: f'<{url}&x=a;b,c>; title="a, b; rel=\\"prev\\""; rel="next"'),
    _link("the next one first, another of the same name after it", lambda url: f'<{url}>; rel="next", </elsewhere>; rel="next"'),
    _link("no white space, and other parameters", lambda url: f'</up>;rel=up,<{url}>;type="a/b";rel=next'),
)
ON_THE_WIRE: Sequence[Fault] = (*THROTTLES, *SICK, *BROKEN, *NO_PAGE, *REFUSED, *LINKS)
