"""Wire: the bytes of one connection, every read and write of which ends by the deadline of the thread that waits for it."""

import socket
import ssl
import struct
import threading
import time
from typing import Any

import httpcore

READ_BYTES = 256 * 1024
#: The kernel takes a timeout of nothing for none at all, and one without end it has not.
SHORTEST_SECONDS, LONGEST_SECONDS = 0.001, 86_400.0


class _Deadline(threading.local):
    """When the attempt of this thread must be over, on time.monotonic's scale: one request lives in one thread throughout."""

    at: float = float("inf")

    def left(self, wanted: float | None = None) -> float:
        """Seconds until then, or those that are wanted where they are fewer. Raises ReadTimeout once it is past."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left if wanted is None else min(left, wanted)


DEADLINE = _Deadline()


class Stream(httpcore.NetworkStream):
    """A connection whose every read and write ends by the thread's deadline, however little each one brings.

    A plain one is read with the kernel's own timeouts (socket(7), SO_RCVTIMEO): Python's would cost three calls of the kernel for each
    read instead of one, and at each of them the threads of a fetch hand the interpreter to one another.
    """

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner
        found = inner.get_extra_info("socket")
        self._plain: socket.socket | None = found if type(found) is socket.socket else None
        if self._plain is not None:
            self._plain.settimeout(None)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        # The library asks for 64 KiB, and each answer costs it a round through its protocol machine.
        size = max(max_bytes, READ_BYTES)
        if self._plain is None:
            return self._inner.read(size, DEADLINE.left(timeout))
        _within(self._plain, socket.SO_RCVTIMEO, DEADLINE.left(timeout))
        try:
            return self._plain.recv(size)
        except BlockingIOError as error:
            raise httpcore.ReadTimeout from error
        except OSError as error:
            raise httpcore.ReadError(error) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            # The library marks the end of a request's body so.
            return
        if self._plain is None:
            self._inner.write(buffer, DEADLINE.left(timeout))
            return
        try:
            while buffer:
                _within(self._plain, socket.SO_SNDTIMEO, DEADLINE.left(timeout))
                buffer = buffer[self._plain.send(buffer) :]
        except BlockingIOError as error:
            raise httpcore.WriteTimeout from error
        except OSError as error:
            raise httpcore.WriteError(error) from error

    def close(self) -> None:
        self._inner.close()

    def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None) -> "Stream":
        return Stream(self._inner.start_tls(ssl_context, server_hostname, DEADLINE.left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class Backend(httpcore.SyncBackend):
    """The library's own sockets, under the deadline."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        return Stream(super().connect_tcp(host, port, DEADLINE.left(timeout), local_address, socket_options))


def _within(plain: socket.socket, option: int, seconds: float) -> None:
    seconds = min(max(SHORTEST_SECONDS, seconds), LONGEST_SECONDS)
    whole = int(seconds)
    plain.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", whole, int((seconds - whole) * 1_000_000)))
