"""A third party of a few lines: a real HTTP server on loopback whose answers a test gives as a function."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Call:
    """One request as it came."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What to send back: `body` is JSON, or bytes as they are."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Scripted:
    """The running server: `url` without a slash at its end, and every `call` in order."""

    def __init__(self, url: str, calls: list[Call]) -> None:
        self.url = url
        self.calls = calls


@contextmanager
def scripted(answer: Callable[[Call], Answer]) -> Iterator[Scripted]:
    """Serves `answer` until the block ends."""
    calls: list[Call] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {k.lower(): v for k, v in self.headers.items()}
            asked = self.rfile.read(int(headers.get("content-length", 0)))
            call = Call(parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), headers, asked)
            calls.append(call)
            sent = answer(call)
            body = sent.body if isinstance(sent.body, bytes) else json.dumps(sent.body).encode()
            self.send_response(sent.status)
            for name, value in {"Content-Type": "application/json", **sent.headers}.items():
                self.send_header(name, value)
            if "Content-Length" not in sent.headers:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the base class names it so

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Scripted(f"http://127.0.0.1:{server.server_address[1]}", calls)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
