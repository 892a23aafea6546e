"""A mosquitto broker of one's own (Debian's package), on a free loopback port, in a temporary folder, which keeps what its sessions wait for."""

import contextlib
import getpass
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.servers.postgres import free_port
from tests.servers.standing import standing

START_SECONDS = 10.0
BINARY = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
there = pytest.mark.skipif(BINARY is None, reason="mosquitto is not installed: apt-get install mosquitto")


class Mosquitto:
    """`start`, `stop`, `close`. A stop is one that it is asked for: mosquitto has its messages in memory and writes them down then."""

    def __init__(self, *, more: str = "", anonymous: bool = True) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="recon-mqtt-"))
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        lines = [
            f"listener {self.port} 127.0.0.1",
            f"allow_anonymous {str(anonymous).lower()}",
            f"user {getpass.getuser()}",
            "persistence true",
            f"persistence_location {self.folder}/",
            "max_queued_messages 0",
            "max_inflight_messages 0",
            "log_dest none",
            more,
        ]
        (self.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Starts it, where it does not run; returns when it takes connections."""
        if self._process is not None:
            return
        words = [str(BINARY), "-c", str(self.folder / "mosquitto.conf")]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.5):
                return
            assert self._process.poll() is None, "the broker ended as it started"
            assert time.monotonic() < until, "the broker did not answer in time"
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends it; it writes down what it holds."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_SECONDS)
            self._process = None

    def still(self) -> contextlib.AbstractContextManager[None]:
        """While this lasts it takes connections and answers nothing."""
        return standing(self._process)

    def close(self) -> None:
        """Ends it and removes its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Subscriber:
    """A subscriber with a session that outlasts its connection; it keeps what comes. `on` and `off` as often as one likes."""

    def __init__(self, server: Mosquitto, name: str, topics: str) -> None:
        self.server = server
        self.messages: list[MQTTMessage] = []
        self._name = name
        self._topics = topics
        self._client: Client | None = None

    def on(self) -> None:
        """Connects, and returns when the subscription stands."""
        if self._client is not None:
            return
        ready = threading.Event()
        self._client = client = Client(
            CallbackAPIVersion.VERSION2, self._name, protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False
        )
        client.on_message = lambda _client, _data, message: self.messages.append(message)
        client.on_subscribe = lambda *_: ready.set()
        client.on_connect = lambda *_: client.subscribe(self._topics, qos=1)
        session: Any = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 3600
        client.connect("127.0.0.1", self.server.port, clean_start=False, properties=session)
        client.loop_start()
        assert ready.wait(START_SECONDS), "the subscription did not come about"

    def off(self) -> None:
        """Disconnects; the session stays."""
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None
