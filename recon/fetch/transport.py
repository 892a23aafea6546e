"""Transport: one request, one answer, within a deadline, at a declared origin. The only file that speaks to the HTTP library.

It stands on httpcore, the engine inside httpx, because only there can a deadline be laid under every single read: a timeout of
httpx is one per read, so a server that drips a byte now and then is waited for without end. Redirects are not followed, there
are no cookies, nothing is retried here, and no exception of the library gets out.
"""

import functools
import logging
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore

from recon import __version__
from recon.duration import words_of
from recon.errors import ProviderError, Unreachable
from recon.fetch.body import Bounds, read_body
from recon.fetch.origin import Origin, Origins
from recon.fetch.wire import DEADLINE, Backend

CONNECT_SECONDS = 10.0
EXTENSIONS = {"timeout": {"connect": CONNECT_SECONDS, "pool": CONNECT_SECONDS}}
KEEPALIVE_SECONDS = 30.0
ERROR_BODY_BYTES = 64 * 1024
BLOCK_BYTES = 256 * 1024
USER_AGENT = f"nightly-recon/{__version__}"
LIBRARY_LOGGERS = ("httpcore", "httpx", "hpack")


#: From one page to the next only the cursor differs.
_quoted = functools.lru_cache(maxsize=256)(quote_plus)


@dataclass(slots=True, kw_only=True)
class Request:
    """One request. `path` is percent-encoded; `query` is encoded here; `raw_query` is a query of the API's own, sent as it came."""

    origin: Origin
    path: str
    method: str = "GET"
    query: dict[str, str] = field(default_factory=dict)
    raw_query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    #: False where only the status counts (a delivery): the answer's body is then read like an error's, for messages.
    wants_body: bool = True

    @property
    def subject(self) -> str:
        """`GET /v1/charges`, for messages: without the query, which may hold a secret."""
        return f"{self.method} {self.path}"

    def target(self) -> str:
        """Path and query as they go on the wire."""
        pairs = [f"{_quoted(name)}={_quoted(value)}" for name, value in self.query.items()]
        query = "&".join([self.raw_query, *pairs] if self.raw_query else pairs)
        return f"{self.path}?{query}" if query else self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer: header names in lower case, repeated ones joined by commas; the body decoded; `wire_bytes` as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    wire_bytes: int

    @property
    def request_id(self) -> str | None:
        """What the third party's support asks for."""
        for name in ("request-id", "x-request-id", "x-amzn-requestid", "x-correlation-id", "cf-ray"):
            if name in self.headers:
                return "".join(c for c in self.headers[name][:64] if c.isprintable())
        return None


class Transport:
    """Sends requests to declared origins; safe to share between threads. `timeout` is the whole of one attempt, in seconds."""

    def __init__(self, origins: Origins, *, timeout: float = 30.0, bounds: Bounds | None = None) -> None:
        self._origins = origins
        self._timeout = timeout
        self._bounds = bounds or Bounds()
        self._free: dict[Origin, list[Connection]] = {}
        self._closed = False
        for name in LIBRARY_LOGGERS:
            # They log whole URLs and headers, and so credentials.
            logging.getLogger(name).setLevel(logging.ERROR)

    def send(self, request: Request) -> Response:
        """The answer, whatever its status; the bodies of errors are cut at 64 KiB.

        Raises Unreachable (no connection, no answer in time, a cut body), OversizedBody, InvalidPage (a body whose end nothing
        proves) and ForeignOrigin, which is checked here too so that no way around it exists.
        """
        self._origins.admit(request.origin)
        wire = _wire(request)
        DEADLINE.at = time.monotonic() + self._timeout
        connection = self._borrow(request.origin)
        try:
            response = connection.handle_request(wire)
            try:
                return self._read(response, request)
            finally:
                response.close()
        except FAULTS as error:
            raise _unreachable(request, error, self._timeout) from None
        finally:
            self._give_back(request.origin, connection)

    def open(self, request: Request) -> "Opened":
        """As `send`, but the body of a 200 or 206 stays on the line and is read block by block, undecoded; close it afterwards.

        `timeout` then bounds the time to the head, and to each block of 256 KiB.
        """
        self._origins.admit(request.origin)
        wire = _wire(request)
        DEADLINE.at = time.monotonic() + self._timeout
        connection = self._borrow(request.origin)
        kept = False
        try:
            raw = connection.handle_request(wire)
            try:
                if raw.status in (200, 206):
                    head = Response(status=raw.status, headers=_headers(raw), body=b"", wire_bytes=0)
                    kept = True
                    return Opened(head, raw, request, self._timeout, functools.partial(self._give_back, request.origin, connection))
                return Opened(self._read(raw, request), None, request, self._timeout, lambda: None)
            finally:
                if not kept:
                    raw.close()
        except FAULTS as error:
            raise _unreachable(request, error, self._timeout) from None
        finally:
            if not kept:
                self._give_back(request.origin, connection)

    def close(self) -> None:
        """Ends every connection; one that is in use ends when it is given back."""
        self._closed = True
        for free in self._free.values():
            while free:
                free.pop().close()

    def _borrow(self, origin: Origin) -> "Connection":
        """A connection for one thread alone.

        The library's pool closes, now and then, a connection that another thread has just begun to use (it looks whether the
        connection is idle, then whether it is readable, and the answer may come between the two). So connections are lent here,
        to one thread at a time; `list.pop` and `append` are atomic.
        """
        free = self._free.setdefault(origin, [])
        while free:
            try:
                connection = free.pop()
            except IndexError:
                break
            if not connection.has_expired():
                return connection
            connection.close()
        return _open(origin)

    def _give_back(self, origin: Origin, connection: "Connection") -> None:
        """Keeps a connection that can take another request; one that broke, or brought less or more than its answer, is closed."""
        if self._closed or not connection.is_available() or _holds_more(connection):
            with suppress(*FAULTS):
                connection.close()
        else:
            self._free[origin].append(connection)

    def _read(self, response: httpcore.Response, request: Request) -> Response:
        headers = _headers(response)
        assert isinstance(response.stream, Iterable)
        if response.status == 200 and request.wants_body:
            body, size = read_body(response.stream, headers, self._bounds, request.subject)
        else:
            body, size = _error_body(response.stream, headers, request.subject)
        return Response(status=response.status, headers=headers, body=body, wire_bytes=size)


class Opened:
    """An answer whose body, where it has one worth reading (200, 206), is still on the line. One thread reads it to its end, or closes it."""

    def __init__(
        self, response: Response, raw: httpcore.Response | None, request: Request, timeout: float, give_back: Callable[[], None]
    ) -> None:
        #: Status and headers; the body too where it is an error's.
        self.response = response
        self._raw = raw
        self._request = request
        self._timeout = timeout
        self._give_back = give_back

    def blocks(self) -> Iterator[bytes]:
        """The body as it comes, in blocks of about 256 KiB. What had come is yielded before an Unreachable is raised."""
        if self._raw is None:
            return
        assert isinstance(self._raw.stream, Iterable)
        stream = iter(self._raw.stream)
        while True:
            DEADLINE.at = time.monotonic() + self._timeout
            parts: list[bytes] = []
            fault: Exception | None = None
            try:
                size = 0
                while size < BLOCK_BYTES and (part := next(stream, None)) is not None:
                    parts.append(part)
                    size += len(part)
            except FAULTS as error:
                fault = error
            if parts:
                yield b"".join(parts)
            if fault is not None:
                raise _unreachable(self._request, fault, self._timeout) from None
            if not parts:
                return

    def close(self) -> None:
        """Lets go of the connection; a body that was not read to its end is cut off."""
        if self._raw is not None:
            try:
                self._raw.close()
            except FAULTS:
                pass
            finally:
                self._raw = None
                self._give_back()


Connection = httpcore.ConnectionInterface
FAULTS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    OSError,
)


def _unreachable(request: Request, error: Exception, timeout: float) -> Unreachable:
    if isinstance(error, httpcore.TimeoutException):
        msg = f"{request.subject}: no whole answer from {request.origin} within {words_of(timeout)}"
        return Unreachable(msg, hint="timeout in the provider's table of recon.toml bounds each attempt")
    return Unreachable(f"{request.subject}: {request.origin} {_words(error)}")


def _headers(response: httpcore.Response) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name = raw_name.decode("latin-1").lower()
        value = raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _open(origin: Origin) -> Connection:
    proxy = _proxy_for(origin)
    place = httpcore.Origin(scheme=origin.scheme.encode(), host=origin.host.encode(), port=origin.port)
    options: dict[str, Any] = {
        "ssl_context": _trust() if origin.scheme == "https" else None,
        "keepalive_expiry": KEEPALIVE_SECONDS,
        "network_backend": Backend(),
    }
    if proxy is None:
        return httpcore.HTTPConnection(place, **options)
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    login = (unquote(parts.username).encode(), unquote(parts.password or "").encode()) if parts.username else None
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return httpcore.HTTPProxy(proxy_url=address, proxy_auth=login, **options).create_connection(place)


def _holds_more(connection: Any) -> bool:
    """Whether more came than the answer had: the library would take the rest for the beginning of the next one, whatever is asked then.

    It has no door of its own for that. Connections through a proxy have theirs within.
    """
    while (within := getattr(connection, "_connection", None)) is not None:
        connection = within
    protocol = getattr(connection, "_h11_state", None)
    return protocol is None or bool(protocol.trailing_data[0])


def _wire(request: Request) -> httpcore.Request:
    origin, body = request.origin, request.body
    own = {name.lower() for name in request.headers}
    headers = [(name, value) for name, value, taken_by in _usual(origin) if taken_by not in own]
    if body is not None:
        headers.append((b"Content-Length", b"%d" % len(body)))
    headers += [(name.encode("ascii"), value.encode("latin-1")) for name, value in request.headers.items()]
    url = httpcore.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=request.target())
    # Nothing at all costs the library less than a body of no bytes.
    return httpcore.Request(request.method, url, headers=headers, content=() if body is None else body, extensions=EXTENSIONS)


@functools.cache
def _usual(origin: Origin) -> tuple[tuple[bytes, bytes, str], ...]:
    """The headers of every request to an origin, each with the name of the request's own one that takes its place."""
    return (
        (b"Host", origin.netloc.encode(), ""),
        (b"User-Agent", USER_AGENT.encode(), "user-agent"),
        (b"Accept-Encoding", b"gzip", "accept-encoding"),
        (b"Accept", b"application/json", "accept"),
    )


def _error_body(chunks: Iterable[bytes], headers: Mapping[str, str], subject: str) -> tuple[bytes, int]:
    """As much of an error's body as a message needs; the status is the news, so a bad body is no second error."""
    try:
        return read_body(chunks, headers, Bounds(max_bytes=ERROR_BODY_BYTES), subject, proven=False)
    except (ProviderError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
        return b"", 0


@functools.cache
def _trust() -> ssl.SSLContext:
    """The same trust store as httpx: certifi's, or what SSL_CERT_FILE and SSL_CERT_DIR name."""
    from httpx import create_ssl_context

    return create_ssl_context()


def _proxy_for(origin: Origin) -> str | None:
    """The proxy that the environment names for this origin, in curl's variables; never one for this machine itself."""
    if origin.loopback:
        return None
    proxies = getproxies()
    proxy = proxies.get(origin.scheme, proxies.get("all"))
    return None if proxy is None or proxy_bypass(origin.host) else proxy


def _words(error: Exception) -> str:
    """What happened, in words; never the library's own for a request that it refused, since they quote the header's value."""
    if isinstance(error, httpcore.ConnectError):
        return f"cannot be connected to ({_reason(error)})"
    if isinstance(error, httpcore.LocalProtocolError):
        return "was not asked: a header or the URL holds a character that cannot be sent"
    if isinstance(error, httpcore.RemoteProtocolError):
        return f"broke off its answer ({_reason(error)})"
    if isinstance(error, httpcore.ProxyError):
        return "cannot be reached through the proxy of this environment"
    return f"broke the connection ({_reason(error)})"


def _reason(error: Exception) -> str:
    return "".join(c for c in str(error)[:160] if c.isprintable()) or type(error).__name__
