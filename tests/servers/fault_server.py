"""A scripted HTTP server on loopback that can be made to do what real servers do on bad nights.

Each path has a script: answers given in turn, the last one for ever, or a function from the request to an answer. An answer's body
is a list of pieces; a number among them is a pause in seconds. It can be cut, announced with a wrong length, chunked, or left
without any length.
"""

import gzip
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import pytest

REASONS = {200: "OK", 301: "Moved Permanently", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests", 503: "Service Unavailable"}


@dataclass
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query, keep_blank_values=True).items()}


@dataclass
class Answer:
    """`framing`: length, chunked, close (ends with the connection), or cut (a length is announced and not kept)."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: Sequence[bytes | float] = ()
    framing: str = "length"
    #: Pauses before the first byte of the head, and between each of its bytes.
    head_pause: float = 0.0


def page(body: Any, status: int = 200, **headers: str) -> Answer:
    """A JSON answer; header names with `_` for `-`."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, headers={"Content-Type": "application/json", **named}, pieces=[text])


def gzipped(body: bytes, *, keep: int | None = None) -> Answer:
    """A gzip answer, cut to `keep` bytes of itself with an honest Content-Length, as a broken origin behind a proxy gives."""
    return Answer(headers={"Content-Encoding": "gzip"}, pieces=[gzip.compress(body)[:keep]])


Script = Callable[[Asked], Answer]


class FaultServer:
    """Use as a context manager; `requests` lists what was asked, in order of arrival."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Asked] = []
        self._scheme = "https" if tls else "http"
        self._scripts: dict[str, Script] = {}
        self._lock = threading.Lock()
        self.stopping = threading.Event()
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
                """A client that went away is what half of these tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def on(self, path: str, *answers: Answer | Script) -> None:
        """Scripts a path (with `*` for every other path): a function, or answers in turn."""
        if len(answers) == 1 and callable(answers[0]):
            self._scripts[path] = answers[0]
            return
        left = list(answers)

        def in_turn(_: Asked) -> Answer:
            with self._lock:
                answer = left.pop(0) if len(left) > 1 else left[0]
            assert isinstance(answer, Answer)
            return answer

        self._scripts[path] = in_turn

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
            with self._lock:
                self.requests.append(asked)
            script = self._scripts.get(asked.path) or self._scripts.get("*")
            answer = script(asked) if script else Answer(status=404)
            if not self._answer(handler, answer):
                return

    def _answer(self, handler: socketserver.StreamRequestHandler, answer: Answer) -> bool:
        """Whether the connection may go on."""
        size = sum(len(p) for p in answer.pieces if isinstance(p, bytes))
        head = [f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Status')}", *(f"{n}: {v}" for n, v in answer.headers.items())]
        if answer.framing == "chunked":
            head.append("Transfer-Encoding: chunked")
        elif answer.framing in ("length", "cut") and "Content-Length" not in answer.headers:
            head.append(f"Content-Length: {size + (64 if answer.framing == 'cut' else 0)}")
        raw = ("\r\n".join(head) + "\r\n\r\n").encode("latin-1")
        for part in [raw[i : i + 1] for i in range(len(raw))] if answer.head_pause else [raw]:
            self.stopping.wait(answer.head_pause)
            handler.wfile.write(part)
        for piece in answer.pieces:
            if isinstance(piece, bytes):
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if answer.framing == "chunked" and piece else piece)
            else:
                self.stopping.wait(piece)
        if answer.framing == "chunked":
            handler.wfile.write(b"0\r\n\r\n")
        return answer.framing in ("length", "chunked")


def _read(handler: socketserver.StreamRequestHandler) -> Asked | None:
    first = handler.rfile.readline()
    if not first:
        return None
    method, target, _ = first.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (line := handler.rfile.readline().decode("latin-1").rstrip("\r\n")) != "":
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Asked(method, target, headers, handler.rfile.read(int(headers.get("content-length", "0"))))


@pytest.fixture
def fault_server() -> Iterator[FaultServer]:
    """A fault server of this test's own."""
    with FaultServer() as server:
        yield server
