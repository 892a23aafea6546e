"""FaultServer: an HTTP server on loopback that can be made to do, on the wire, what real servers do on bad nights.

Its site is a function from a request to an answer. An answer's body is a list of pieces; a number among them is a pause in seconds.
How the answer is framed, and where it breaks off, is the answer's `framing`.
"""

import json
import socket
import socketserver
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

Framing = Literal["length", "chunked", "close", "cut", "chunked cut", "reset", "none", "hung up"]
#: An answer's body is announced this many bytes longer than it is, where it is to be cut.
CUT = 64
POLL_SECONDS = 0.02
#: The most of a request's body that is read.
BODY_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came: header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path, as it was sent."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The parameters; of one that was sent several times the last."""
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query, keep_blank_values=True).items()}


@dataclass(slots=True)
class Answer:
    """What to send back.

    `framing`: `length`; `chunked`; `close` (ends with the connection, and nothing says where); `cut` (a length is announced and not kept);
    `chunked cut` (the last chunk never comes); `reset` (as `cut`, and the connection is reset); `none` (reset before a byte of it); `hung up` (closed before a byte of it).
    `hold` is a pause before the first byte of the head, `head_pause` one before each of its bytes. `status_line` stands in for a proper one.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: Sequence[bytes | float] = ()
    framing: Framing = "length"
    hold: float = 0.0
    head_pause: float = 0.0
    status_line: str | None = None

    @property
    def body(self) -> bytes:
        """The pieces together."""
        return b"".join(piece for piece in self.pieces if isinstance(piece, bytes))


def page(body: Any, status: int = 200, **headers: str) -> Answer:
    """A JSON answer, of bytes as they are; header names with `_` for `-`."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, headers={"Content-Type": "application/json", **named}, pieces=[text])


Site = Callable[[Asked], Answer]


class FaultServer:
    """Use as a context manager; `requests` lists what was asked, in order of arrival. Connections are kept alive."""

    def __init__(self, site: Site | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self.site: Site = site or (lambda _: Answer(status=404))
        self.requests: list[Asked] = []
        #: What the site raised: a mistake of whoever wrote it.
        self.errors: list[BaseException] = []
        self.stopping = threading.Event()
        self._scheme = "https" if tls else "http"
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            # Head and body are written apart: with Nagle's algorithm each answer would wait 40 ms for the client's acknowledgement.
            disable_nagle_algorithm = True

            def handle(self) -> None:
                outer._talk(self)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 64

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that went away is half of what this is for; anything else is told."""
                del request, client_address
                error = sys.exception()
                if error is not None and not isinstance(error, OSError):
                    outer.errors.append(error)

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": POLL_SECONDS}, daemon=True)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a slash at its end."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _talk(self, handler: socketserver.StreamRequestHandler) -> None:
        while not self.stopping.is_set():
            asked = _read(handler)
            if asked is None:
                return
            self.requests.append(asked)
            if not self._answer(handler, self.site(asked)):
                return

    def _answer(self, handler: socketserver.StreamRequestHandler, answer: Answer) -> bool:
        """Whether the connection may go on."""
        if answer.hold:
            self.stopping.wait(answer.hold)
        if answer.framing == "none":
            _reset(handler)
        if answer.framing in ("none", "hung up"):
            return False
        raw = _head(answer)
        for part in [raw[i : i + 1] for i in range(len(raw))] if answer.head_pause else [raw]:
            self.stopping.wait(answer.head_pause)
            handler.wfile.write(part)
        chunked = answer.framing in ("chunked", "chunked cut")
        for piece in answer.pieces:
            if isinstance(piece, bytes):
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked and piece else piece)
            else:
                self.stopping.wait(piece)
        if answer.framing == "chunked":
            handler.wfile.write(b"0\r\n\r\n")
        if answer.framing == "reset":
            _reset(handler)
        return answer.framing in ("length", "chunked")


def _head(answer: Answer) -> bytes:
    try:
        reason = HTTPStatus(answer.status).phrase
    except ValueError:
        reason = "Status"
    lines = [answer.status_line or f"HTTP/1.1 {answer.status} {reason}", *(f"{name}: {value}" for name, value in answer.headers.items())]
    if answer.framing in ("chunked", "chunked cut"):
        lines.append("Transfer-Encoding: chunked")
    elif answer.framing != "close" and "Content-Length" not in answer.headers and answer.status != HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {len(answer.body) + (0 if answer.framing == 'length' else CUT)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _reset(handler: socketserver.StreamRequestHandler) -> None:
    """Ends the connection by RST instead of FIN: what was sent before may or may not arrive."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def _read(handler: socketserver.StreamRequestHandler) -> Asked | None:
    first = handler.rfile.readline()
    if not first:
        return None
    method, target, _ = first.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (line := handler.rfile.readline().decode("latin-1").rstrip("\r\n")) != "":
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    size = min(int(headers.get("content-length", "0")), BODY_BYTES)
    return Asked(method, target, headers, handler.rfile.read(size))
