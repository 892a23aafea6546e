"""A real HTTP receiver of webhooks on loopback: verifies Standard Webhooks signatures with the reference library, records, misbehaves on request."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import standardwebhooks

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw1yJ5cQ0hZ1o="


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    verified: bool

    @property
    def events(self) -> list[dict]:
        """The CloudEvents in it."""
        document = json.loads(self.body)
        return document if isinstance(document, list) else [document]


@dataclass(kw_only=True)
class Reply:
    """What to answer. `wait` seconds pass first; `cut` closes the connection without a word, `drip` sends the answer a byte at a time."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    wait: float = 0.0
    cut: bool = False
    drip: float = 0.0


class Server(ThreadingHTTPServer):
    """Quiet about connections that the other side gave up."""

    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self.connections: set[socket.socket] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        """Ends the connections that clients keep open."""
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """What the test looks at is the publisher's side."""


class Receiver:
    """`url`, `requests`, and `replies`: taken one by one, then `reply` for ever. `decide` may look at the request and answer instead."""

    def __init__(self, secrets: tuple[str, ...] = (SECRET,), *, port: int = 0) -> None:
        self.secrets = secrets
        self.requests: list[Received] = []
        self.replies: list[Reply] = []
        self.reply = Reply()
        self.decide: Callable[[Received], Reply] | None = None
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._server = Server(("127.0.0.1", port), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hooks"

    @property
    def events(self) -> list[dict]:
        """Every event that came, in order."""
        return [event for request in self.requests for event in request.events]

    def answer(self, request: Received) -> Reply:
        with self._lock:
            self.requests.append(request)
            if self.decide is not None:
                return self.decide(request)
            return self.replies.pop(0) if self.replies else self.reply

    def verify(self, headers: dict[str, str], body: bytes) -> bool:
        for secret in self.secrets:
            try:
                standardwebhooks.Webhook(secret).verify(body, headers)
            except standardwebhooks.WebhookVerificationError:
                continue
            return True
        return False

    def close(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.cut()
        self._server.server_close()
        self._thread.join(5)


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = self.rfile.read(length)
            if len(body) < length:
                # The connection ended in the middle: that is no request.
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._send(receiver.answer(Received(path=self.path, headers=headers, body=body, verified=receiver.verify(headers, body))))

        def do_OPTIONS(self) -> None:
            self._send(Reply(status=204))

        def _send(self, reply: Reply) -> None:
            receiver.stopping.wait(reply.wait)
            if reply.cut:
                self.close_connection = True
                return
            head = [f"HTTP/1.1 {reply.status} X", f"Content-Length: {len(reply.body)}"]
            head += [f"{name}: {value}" for name, value in reply.headers.items()]
            data = ("\r\n".join(head) + "\r\n\r\n").encode() + reply.body
            try:
                for part in [data] if not reply.drip else [data[i : i + 1] for i in range(len(data))]:
                    self.wfile.write(part)
                    if reply.drip and not receiver.stopping.is_set():
                        time.sleep(reply.drip)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver, stopped at the end."""
    server = Receiver()
    yield server
    server.close()
