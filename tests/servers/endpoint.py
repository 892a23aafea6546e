"""An application's ordinary endpoint for webhooks on loopback: a real HTTP server around a handler that a test writes as an application would."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Handler = Callable[[Mapping[str, str], bytes], tuple[int, str]]


@dataclass
class Endpoint:
    """`url` to post to; each request that came, and what it was answered."""

    url: str = ""
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answered: list[tuple[int, str]] = field(default_factory=list)


@contextmanager
def endpoint(handle: Handler) -> Iterator[Endpoint]:
    """Serves `handle` (headers by lower-case names, raw body -> status, text) until the block ends; what it raises is a 500."""
    found = Endpoint()

    class Server(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.came.append((headers, body))
            try:
                status, text = handle(headers, body)
            except Exception as error:  # as the framework of an application would
                status, text = 500, repr(error)
            found.answered.append((status, text))
            self.answer(status, text)

        def do_OPTIONS(self) -> None:
            self.answer(204, "")

        def answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}/webhooks"
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
