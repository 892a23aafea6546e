"""Connections of the transport: which are used again, and that a request which nobody reads ends in time as well."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from recon.errors import Unreachable
from recon.fetch.origin import Origins, parse_url
from recon.fetch.transport import Request, Transport

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def answering(*connections: list[bytes]) -> Iterator[tuple[str, threading.Event]]:
    """A server that answers each connection's requests so and then closes it, one connection after another; the event says that it closed the first."""
    closed = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for answers in connections:
                with listening.accept()[0] as line:
                    for answer in answers:
                        if line.recv(65_536):
                            line.sendall(answer)
                closed.set()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", closed
        thread.join(5)
        assert not thread.is_alive()


def test_a_line_that_was_closed_meanwhile_is_not_used_again() -> None:
    """The server closes after its answer without saying so: the next request goes over a new connection, and is no failure."""
    with answering([ANSWER], [ANSWER, ANSWER]) as (url, closed):
        transport = Transport(Origins(parse_url(url)), timeout=2.0)
        request = Request(origin=parse_url(url).origin, path="/x")
        assert transport.send(request).body == b"{}"
        assert closed.wait(2)
        assert [transport.send(request).status for _ in range(2)] == [200, 200]
        transport.close()


def test_a_line_that_broke_is_not_used_again() -> None:
    """An answer that breaks off costs its request, and the one after it goes over a new connection."""
    with answering([ANSWER[:-1]], [ANSWER]) as (url, _):
        transport = Transport(Origins(parse_url(url)), timeout=2.0)
        request = Request(origin=parse_url(url).origin, path="/x")
        with pytest.raises(Unreachable, match="broke off its answer"):
            transport.send(request)
        assert transport.send(request).body == b"{}"
        transport.close()


def test_a_request_that_nobody_reads_ends_at_the_deadline() -> None:
    """A third party that takes the connection and reads nothing holds up a large document no longer than the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        transport = Transport(Origins(parse_url(url)), timeout=0.4)
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"no whole answer from .* within 0\.4s"):
            transport.send(Request(origin=parse_url(url).origin, path="/x", method="POST", body=b"x" * 16_000_000))
        assert 0.3 < time.monotonic() - began < 1.5
        transport.close()
