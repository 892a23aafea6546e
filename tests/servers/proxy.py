"""A small TCP proxy on loopback that can do to a connection what networks do: delay, drip, reset, go silent (half-open), or be cut for new ones.

`Proxy(("127.0.0.1", 5432))` listens on a port of its own. `mode` may be changed at any time and holds for bytes that come from then on:
`pass`, `silent` (bytes are taken and none is given on, nothing is closed), `reset` (every connection is reset, new ones too), `slow`
(`latency` seconds before each piece), `drip` (a byte at a time, `latency` apart). `after` holds a change back until so many bytes
have come back from the far side.
"""

import contextlib
import select
import socket
import struct
import threading
import time
from typing import Self

LINGER = struct.pack("ii", 1, 0)
"""Closing then resets."""


class Proxy:
    """A context manager; `url`-ready `port`, `mode`, `connections`, `carried` (bytes from the far side)."""

    def __init__(self, target: tuple[str, int], *, host: str = "127.0.0.1", latency: float = 0.05) -> None:
        self.target = target
        self.latency = latency
        self.mode = "pass"
        self.connections = 0
        self.carried = 0
        self._then: tuple[int, str] | None = None
        self._ending = threading.Event()
        self._listener = socket.create_server((host, 0))
        self._listener.settimeout(0.05)
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def after(self, more: int, mode: str) -> None:
        """Changes to `mode` once so many bytes more have come back."""
        self._then = (self.carried + more, mode)

    def passes(self) -> None:
        """All is well from now on."""
        self._then, self.mode = None, "pass"

    def _accept(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                near, _ = self._listener.accept()
                self.connections += 1
                thread = threading.Thread(target=self._carry, args=(near,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _carry(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            if self.mode == "reset":
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
                return
            with socket.create_connection(self.target, timeout=5) as far:
                for end in (near, far):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while not self._ending.is_set():
                    if self.mode == "reset":
                        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
                        return
                    ready, _, _ = select.select([near, far], [], [], 0.05)
                    for end in ready:
                        data = end.recv(65536)
                        if not data:
                            return
                        self._give(far if end is near else near, data, back=end is far)

    def _give(self, to: socket.socket, data: bytes, *, back: bool) -> None:
        if back:
            self.carried += len(data)
            if self._then is not None and self.carried > self._then[0]:
                self.mode, self._then = self._then[1], None
        if self.mode in {"silent", "reset"}:
            return
        for piece in [data[n : n + 1] for n in range(len(data))] if self.mode == "drip" else [data]:
            if self.mode in {"slow", "drip"}:
                time.sleep(self.latency)
            to.sendall(piece)
