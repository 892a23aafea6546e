"""Download: one file behind a URL, read as a stream, gone on with where the line broke, and never pieced together from two files.

The first answer pins the file: its strong ETag, else Last-Modified and length. Each further request asks for the rest of that very
file (`Range` with `If-Match` or `If-Unmodified-Since`, RFC 9110 sections 13 and 14), and whatever the server makes of it, the
answer's own headers are held against the pin. A file that is another one by then is `CursorExpired`: it must be read anew.

Bytes come as the server stores them: nothing is decoded here, so an offset means the same in every request.
"""

import re
import threading
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from recon.clock import Clock
from recon.errors import CursorExpired, ForeignOrigin, InvalidPage, OversizedBody, Refused, Unreachable
from recon.fetch.auth import Auth
from recon.fetch.body import framed
from recon.fetch.classify import Classifier
from recon.fetch.limiter import Limiter
from recon.fetch.listing import Meter
from recon.fetch.origin import KEPT, BadUrl, Location, Origins, parse_url, shown
from recon.fetch.refusal import error_words
from recon.fetch.retry import Policy, Retrier
from recon.fetch.transport import BLOCK_BYTES, Opened, Request, Response, Transport

REDIRECTS = 5
GIB = 1024**3
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What tells one file from another at the same place, as JSON keeps it. `size` is the whole of it in bytes, None where it is not told."""

    #: A strong entity tag, quotes and all; "" without one.
    etag: str = ""
    #: Last-Modified as it was written; "" without one.
    modified: str = ""
    size: int | None = None

    @property
    def pinned(self) -> bool:
        """Whether it tells at all: without it no two requests can be known to read one file."""
        return bool(self.etag or (self.modified and self.size is not None))

    def as_json(self) -> dict[str, Any]:
        """For a checkpoint; `identity_of` reads it back."""
        return {"etag": self.etag, "modified": self.modified, "size": self.size}

    def words(self) -> str:
        """For a proof: `1,204 bytes, ETag "5f-61"`."""
        size = "an unknown length" if self.size is None else f"{self.size:,} bytes"
        pin = f"ETag {self.etag}" if self.etag else f"last modified {self.modified}" if self.modified else "nothing that pins it"
        return f"{size}, {pin}"


def identity_of(document: Any) -> Identity:
    """The identity that `as_json` wrote."""
    return Identity(etag=document["etag"], modified=document["modified"], size=document["size"])


class Downloads:
    """Opens files at declared origins; safe to share between threads.

    `auth` signs requests to the base URL's own origin and no other; None sends no credential anywhere, as a pre-signed URL wants it.
    `timeout` is for the head of an answer and for each 256 KiB of a body, in seconds. `max_bytes` bounds one file as it is stored.
    """

    def __init__(
        self,
        origins: Origins,
        *,
        auth: Auth | None = None,
        counts: Meter,
        timeout: float = 30.0,
        policy: Policy | None = None,
        max_bytes: int = 64 * GIB,
    ) -> None:
        self.origins = origins
        self.auth = auth
        self.counts = counts
        self.max_bytes = max_bytes
        self.transport = Transport(origins, timeout=timeout)
        self.policy = policy or Policy()
        self.classifier = Classifier()
        self.retrier = Retrier(self.policy, Limiter(), on_retry=lambda status, _: self.count(retries=1, throttled=status == 429))
        self._counting = threading.Lock()

    def file(self, url: str, *, clock: Clock, pinned: Identity | None = None) -> "Download":
        """The file at a path below the base URL or at an absolute one; `pinned` is the file that it must still be. Raises ForeignOrigin."""
        return Download(self, self.origins.resolve(url), clock, pinned)

    def close(self) -> None:
        """Ends every connection."""
        self.transport.close()

    def count(self, *, requests: int = 0, retries: int = 0, throttled: int = 0, size: int = 0) -> None:
        """Adds to the meter; several files may be read side by side."""
        with self._counting:
            self.counts.requests += requests
            self.counts.retries += retries
            self.counts.throttled += throttled
            self.counts.bytes += size


class Download:
    """One file. `identity` is None until its first answer has come, unless it was pinned before."""

    def __init__(self, downloads: Downloads, location: Location, clock: Clock, pinned: Identity | None) -> None:
        self._by = downloads
        self._location = location
        self._clock = clock
        self.identity = pinned
        #: The encoding of the stored bytes by the server's word ("gzip"), and "" for none.
        self.encoding = ""
        #: Whether the transfer marks the file's end: a length that was kept, or chunks.
        self.framed = True
        #: How often the line broke and was taken up again.
        self.resumed = 0

    @property
    def subject(self) -> str:
        """`GET /exports/day.csv`, for messages: without the query."""
        return f"GET {self._location.path}"

    def look(self) -> Identity | None:
        """What the server says of the file by a HEAD, or where it takes none by a GET that is not read; None of one that is not there.

        Raises as `blocks` does.
        """
        for method in ("HEAD", "GET"):
            opened = self._ask(0, method=method)
            opened.close()
            if opened.response.status not in (405, 501):
                break
        if opened.response.status in (404, 410):
            return None
        if opened.response.status != 200:
            raise self._refusal(opened.response)
        self.encoding = _encoding(opened.response)
        return _identity(opened.response, 0, self.subject)

    def blocks(self, at: int = 0, *, proven_elsewhere: bool = False) -> Iterator[bytes]:
        """The stored bytes from offset `at` to the proven end, in blocks of about 256 KiB.

        `proven_elsewhere=True` takes a body that neither length nor chunks end, for a file that proves its end itself (a trailer, a
        checksum). Raises CursorExpired where the file is another one than was pinned, or where nothing pins it and it would have
        to be gone on with; Unreachable once the tries are used up; Refused, Throttled, OversizedBody, InvalidPage, ForeignOrigin.
        """
        fruitless = 0
        while True:
            came = 0
            opened = self._ask(at)
            try:
                for block in self._after(opened, at, proven_elsewhere=proven_elsewhere):
                    at += len(block)
                    came += len(block)
                    if at > self._by.max_bytes:
                        raise self._oversized(f"more than {self._by.max_bytes:,} bytes came")
                    yield block
            except Unreachable as error:
                fruitless = 0 if came >= BLOCK_BYTES else fruitless + 1
                self._take_up(error, at, fruitless)
            else:
                if self._whole(at, came):
                    return
            finally:
                opened.close()

    def _take_up(self, error: Unreachable, at: int, fruitless: int) -> None:
        """Whether the rest may be asked for; raises where it may not."""
        policy, budget = self._by.policy, self._by.retrier.budget
        if at and (self.identity is None or not self.identity.pinned):
            msg = f"{error.message}; {at:,} bytes had come, and without an ETag or Last-Modified the rest may be another file's"
            raise CursorExpired(msg) from None
        if fruitless >= policy.tries or not budget.spend():
            what = f"{fruitless} tries in a row brought less than {BLOCK_BYTES:,} bytes" if fruitless >= policy.tries else budget.words()
            msg = f"{error.message}; {at:,} bytes had come, {what}"
            raise Unreachable(msg, hint=error.hint) from None
        self.resumed += 1
        self._by.count(retries=1)
        self._clock.sleep(min(policy.cap, policy.base * 2.0 ** max(0, fruitless - 1)))

    def _ask(self, at: int, method: str = "GET") -> Opened:
        """The answer to a request for the file from `at` on, redirects within the declared origins followed."""
        location = self._location
        for _ in range(REDIRECTS + 1):
            opened = self._opened(location, at, method)
            status = opened.response.status
            if status not in (301, 302, 303, 307, 308):
                return opened
            location = self._onward(location, opened.response)
        msg = f"{self.subject}: more than {REDIRECTS} redirects"
        raise Refused(msg)

    def _opened(self, location: Location, at: int, method: str) -> Opened:
        opened: Opened | None = None
        signed_with: Hashable = None
        by = self._by
        auth = by.auth if location.origin == by.origins.base.origin else None

        def attempt() -> Response:
            nonlocal opened, signed_with
            request = Request(origin=location.origin, path=location.path, raw_query=location.query, method=method)
            request.headers.update({"Accept": "*/*", "Accept-Encoding": "identity"})
            request.headers.update(self._conditions(at))
            if auth is not None:
                signed_with = auth.ready(self._clock)
                request.headers.update(auth.headers())
                request.query.update(auth.query())
                auth.sign(request, self._clock)
            by.count(requests=1)
            opened = by.transport.open(request)
            return opened.response

        answer = by.retrier.call(attempt, self.subject, self._clock)
        if answer.status == 401 and auth is not None and auth.renew_since(signed_with, self._clock):
            by.retrier.call(attempt, self.subject, self._clock)
        assert opened is not None
        return opened

    def _conditions(self, at: int) -> dict[str, str]:
        pin = self.identity
        headers = {"Range": f"bytes={at}-"} if at else {}
        if pin is not None and pin.etag:
            headers["If-Match"] = pin.etag
            if at:
                headers["If-Range"] = pin.etag
        elif pin is not None and pin.modified:
            headers["If-Unmodified-Since"] = pin.modified
        return headers

    def _after(self, opened: Opened, at: int, *, proven_elsewhere: bool) -> Iterator[bytes]:
        """The file's bytes from `at` on out of an answer that may begin there or at the file's beginning."""
        response = opened.response
        if response.status == 416 and self.identity is not None and self.identity.size == at:
            self._hold(_identity(response, at, self.subject, known=self.identity))
            return
        if response.status in (412, 416):
            raise self._changed(f"the server answers {response.status}")
        if response.status not in (200, 206):
            raise self._refusal(response)
        self._hold(_identity(response, at, self.subject, known=self.identity))
        self.encoding = _encoding(response)
        self.framed = framed(response.headers)
        if not self.framed and not proven_elsewhere:
            msg = f"{self.subject}: the file comes with neither a Content-Length nor chunked encoding, so a cut would not show"
            raise InvalidPage(msg, hint="declare what proves its end: a trailer, a row count or a checksum")
        passed = at if response.status == 200 else 0
        if passed and not (self.identity is not None and self.identity.pinned):
            raise self._changed("the server begins it anew, and nothing says that it is the same file")
        for block in opened.blocks():
            self._by.count(size=len(block))
            kept = block[passed:] if passed else block
            passed = max(0, passed - len(block))
            if kept:
                yield kept

    def _hold(self, found: Identity) -> None:
        """Pins the file at its first answer, and holds every further answer against that."""
        if found.size is not None and found.size > self._by.max_bytes:
            raise self._oversized(f"{found.size:,} bytes are announced")
        pin = self.identity
        if pin is None or not pin.pinned:
            self.identity = found
            return
        same = found.etag == pin.etag if pin.etag else found.modified == pin.modified
        if not same or (found.size != pin.size and None not in (found.size, pin.size)):
            raise self._changed(f"it was {pin.words()}; it is {found.words()}")
        if pin.size is None:
            self.identity = found

    def _whole(self, at: int, came: int) -> bool:
        """Whether the end is reached; False where a server gives a range in smaller pieces than it was asked for."""
        size = self.identity.size if self.identity is not None else None
        if size is None or at == size:
            return True
        if at > size or not came:
            msg = f"{self.subject}: the answer ended after {at:,} bytes, and the file has {size:,}"
            raise InvalidPage(msg)
        return False

    def _changed(self, why: str) -> CursorExpired:
        return CursorExpired(f"{self.subject}: the file was replaced while it was read: {why}; it is read anew")

    def _oversized(self, what: str) -> OversizedBody:
        return OversizedBody(f"{self.subject}: {what}; the bound is {self._by.max_bytes:,} bytes")

    def _onward(self, location: Location, response: Response) -> Location:
        target = response.headers.get("location", "")
        if not target:
            msg = f"{self.subject} -> {response.status}, a redirect that leads nowhere"
            raise Refused(msg)
        if target.startswith("/") and not target.startswith("//"):
            target = f"{location.origin}{quote(target, safe=KEPT)}"
        elif target.startswith("//"):
            target = f"{location.origin.scheme}:{target}"
        try:
            onward = parse_url(target)
        except BadUrl as error:
            msg = f"{self.subject} -> {response.status}: the redirect to {shown(target)} is not followed: {error}"
            raise ForeignOrigin(msg) from None
        self._by.origins.admit(onward.origin, onward.without_query())
        return onward

    def _refusal(self, response: Response) -> Refused:
        said = error_words(response.body)
        named = f" (request {response.request_id})" if response.request_id else ""
        hint = {
            401: "check the credential",
            403: "a pre-signed URL may have run out; otherwise check the credential",
            404: "a file that is not there is no empty file: check the URL, or wait until it is delivered",
        }.get(response.status)
        return Refused(f"{self.subject} -> {response.status}{named}" + (f": {said}" if said else ""), hint=hint)


def _encoding(response: Response) -> str:
    named = response.headers.get("content-encoding", "").strip().lower()
    return {"identity": "", "x-gzip": "gzip"}.get(named, named)


def _identity(response: Response, at: int, subject: str, *, known: Identity | None = None) -> Identity:
    """What an answer says of the whole file, of which it may hold the rest only."""
    headers = response.headers
    etag = headers.get("etag", "").strip()
    length = headers.get("content-length", "").strip()
    size = int(length) if length.isdigit() else None
    if response.status == 206:
        found = RANGE.fullmatch(headers.get("content-range", "").strip())
        if found is None or int(found[1]) != at:
            told = "".join(c for c in headers.get("content-range", "nothing")[:60] if c.isprintable())
            msg = f"{subject}: the bytes from {at:,} on were asked for, and Content-Range says {told!r}"
            raise InvalidPage(msg)
        size = int(found[3]) if found[3] != "*" else known.size if known else None
    elif response.status == 416 and known is not None:
        size = known.size
        etag = etag or known.etag
        return Identity(etag=etag, modified=headers.get("last-modified", known.modified), size=size)
    return Identity(etag="" if etag.startswith("W/") else etag, modified=headers.get("last-modified", "").strip(), size=size)
