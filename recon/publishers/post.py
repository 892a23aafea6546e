"""One POST under a deadline that holds, for the webhook publisher.

Beside `recon.fetch.transport` this is the one file that uses httpx: a delivery is a single POST to a single URL of ours, needs none of the
transport's origins, retries and paging, and must be able to tell "never sent" from "sent, and no answer came".
"""

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from recon import __version__

#: How much of an answer is read: enough for a batch's statuses, and a bound on what a broken receiver can send.
MAX_ANSWER_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `status` is None where none came; then `sent` says whether the request may have arrived, and `failure` why."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    sent: bool = True
    failure: str = ""


class Poster:
    """A connection to one URL, kept open between requests. Redirects are not followed, cookies are not kept."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url = url
        host = urlsplit(url).hostname
        # A proxy from the environment is for the world outside; loopback is asked directly.
        trust = host not in {"localhost", "127.0.0.1", "::1"}
        agent = {"user-agent": f"nightly-recon/{__version__}", "accept": "application/json", "accept-encoding": "identity"}
        limits = httpx.Limits(max_connections=1, keepalive_expiry=5.0)
        self._made = partial(httpx.Client, headers=agent | headers, follow_redirects=False, trust_env=trust, limits=limits)
        self._client = self._made()
        self._lock = threading.Lock()
        self._wire = _Wire()

    def post(self, body: bytes, headers: dict[str, str], seconds: float) -> Answer:
        """The answer to one POST, within `seconds` whatever the other side does. Never raises for what the network does."""
        with self._lock:
            self._open().cookies.clear()
            cutter = _Cutter(self._wire, seconds)
            request = self._client.build_request(
                "POST", self._url, content=body, headers=headers, timeout=seconds, extensions={"trace": cutter.trace}
            )
            try:
                with cutter:
                    return self._exchange(request)
            except httpx.HTTPError as error:
                late = cutter.fired or isinstance(error, httpx.TimeoutException)
                why = f"no answer within {seconds:.0f} s" if late else _words(error)
                return Answer(sent=cutter.sending, failure=why)

    def reach(self, seconds: float) -> str | None:
        """Connects and lets go; None, or why it could not."""
        try:
            with self._open().stream("OPTIONS", self._url, timeout=seconds):
                return None
        except httpx.HTTPError as error:
            return _words(error)

    def close(self) -> None:
        """Let go of the connection; the next request makes another."""
        self._client.close()

    def _open(self) -> httpx.Client:
        if self._client.is_closed:
            self._client = self._made()
        return self._client

    def _exchange(self, request: httpx.Request) -> Answer:
        response = self._client.send(request, stream=True)
        try:
            body = b""
            # A status is an answer; a body that breaks off after it changes nothing about what the receiver has.
            with suppress(httpx.HTTPError):
                for part in response.iter_raw():
                    body += part
                    if len(body) > MAX_ANSWER_BYTES:
                        break
            return Answer(status=response.status_code, headers=dict(response.headers), body=body[:MAX_ANSWER_BYTES])
        finally:
            response.close()


@dataclass(slots=True)
class _Wire:
    """The connection in use, which outlives a request."""

    stream: Any = None


class _Cutter:
    """Cuts the connection when the time is over: httpx's timeouts are per read, so a receiver that drips would never meet one.

    Through httpcore's trace events (https://www.encode.io/httpcore/extensions/#trace) it learns of the socket, and of the moment
    from which the receiver may have the request.
    """

    def __init__(self, wire: _Wire, seconds: float) -> None:
        self.fired = False
        self.sending = False
        self._wire = wire
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def trace(self, name: str, info: dict[str, Any]) -> None:
        if name in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            self._wire.stream = info["return_value"]
            if self.fired:
                self._cut()
        elif name.endswith("send_request_headers.started"):
            self.sending = True

    def _cut(self) -> None:
        self.fired = True
        found = None if self._wire.stream is None else self._wire.stream.get_extra_info("socket")
        if found is not None:
            with suppress(OSError):
                # The plain shutdown, also under TLS: the reader wakes with an end of file and leaves by its own way.
                socket.socket.shutdown(found, socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _words(error: httpx.HTTPError) -> str:
    """Without the URL: its path may be a capability."""
    cause: BaseException = error
    while cause.__cause__ is not None or cause.__context__ is not None:
        cause = cause.__cause__ or cause.__context__ or cause
    text = str(cause) or str(error)
    kind = type(error).__name__
    return f"{kind}: {text[:200]}" if text else kind
