"""A small HTTP server on loopback, for the demo's two ends and for tests."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

MAX_BODY_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; header names in lower case, the query's last value per name."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer; `body` is sent as JSON unless it is bytes."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    def encode(self) -> bytes:
        """The whole answer, to be written at once: in two parts, Nagle's algorithm would hold the second back."""
        body = self.body if isinstance(self.body, bytes) else msgspec.json.encode(self.body)
        head = [f"HTTP/1.1 {self.status} Answer", f"Content-Length: {len(body)}", "Content-Type: application/json"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


class LoopbackServer:
    """Serves `answer` on a free port of 127.0.0.1 from construction until `close`; each connection has a thread."""

    def __init__(self, answer: Callable[[Request], Response]) -> None:
        self._server = _Server(("127.0.0.1", 0), _handler(answer))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5.0)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is an everyday thing."""


def _handler(answer: Callable[[Request], Response]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            if size > MAX_BODY_BYTES:
                self.close_connection = True
                self.wfile.write(Response(status=413, body={"error": "too large"}).encode())
                return
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(
                method=self.command,
                path=parts.path,
                query=dict(parse_qsl(parts.query)),
                headers=headers,
                body=self.rfile.read(size) if size else b"",
            )
            self.wfile.write(answer(request).encode())

        do_GET = _serve  # noqa: N815 - the name that http.server looks for
        do_POST = _serve  # noqa: N815 - the name that http.server looks for
        do_OPTIONS = _serve  # noqa: N815 - the name that http.server looks for

        def log_message(self, *_: Any) -> None:
            """Quiet: the story is told elsewhere."""

    return Handler
