"""TLS in front of a server that was built without it: a port on loopback that presents a certificate and hands the bytes on."""

import contextlib
import select
import socket
import ssl
import threading
from pathlib import Path
from typing import Self


class TlsFront:
    """A context manager with a `port`; `shown` changes the certificate for connections from then on."""

    def __init__(self, target: tuple[str, int], shown: tuple[Path, Path]) -> None:
        self.target = target
        self.shown = shown
        self._ending = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
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

    def _accept(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                near, _ = self._listener.accept()
                thread = threading.Thread(target=self._carry, args=(near,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _carry(self, near: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.shown)
        with near, contextlib.suppress(OSError):
            near.settimeout(5)
            # What refuses the certificate ends the connection in the middle of this.
            with context.wrap_socket(near, server_side=True) as inner, socket.create_connection(self.target, timeout=5) as far:
                while not self._ending.is_set():
                    ready, _, _ = select.select([] if inner.pending() else [inner, far], [], [], 0.05)
                    for end in [inner] if inner.pending() else ready:
                        data = end.recv(65536)
                        if not data:
                            return
                        (far if end is inner else inner).sendall(data)
