"""A RabbitMQ server of one's own: Debian's, on free loopback ports, with its data, its logs, its cookie and its port mapper in a temporary folder.

Where it is not installed the tests that want it skip: `needed` is their mark. As root it is started from its library folder, since the script
in /usr/sbin would go over to the user `rabbitmq` and the machine's own data.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import pytest

from tests.servers.authority import Authority
from tests.servers.postgres import free_port

SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_SECONDS = 60.0

needed = pytest.mark.skipif(not SCRIPT.exists(), reason="RabbitMQ is not installed: apt-get install rabbitmq-server")


class RabbitServer:
    """`start`, `kill`, `stop`. `url` is of the user `guest`, who may come from loopback only. Messages have at most `max_bytes`.

    With an `authority` it speaks TLS beside it, at `tls_port`, and knows clients by their certificates (`auth=EXTERNAL`).
    """

    max_bytes = 1024 * 1024

    def __init__(self, *, authority: Authority | None = None) -> None:
        self._authority = authority
        self.tls_port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="recon-rabbit-"))
        self.port, self._dist, self._mapper = free_port(), free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self._process: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts it, where it does not run; returns when it takes connections."""
        if self._process is not None:
            return
        environ = self._environ()
        if self._epmd is None:
            self._epmd = subprocess.Popen(
                ["epmd", "-port", str(self._mapper), "-address", "127.0.0.1"], env=environ, stdout=subprocess.DEVNULL
            )
        with (self.folder / "out.log").open("ab") as out:
            # A session of its own: a kill takes what Erlang started with it.
            self._process = subprocess.Popen([str(SCRIPT)], env=environ, cwd=self.folder, stdout=out, stderr=out, start_new_session=True)
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 0.5) as probe:
                    probe.sendall(b"AMQP\x00\x00\x09\x01")
                    probe.settimeout(1.0)
                    if probe.recv(1):
                        return
            except OSError:
                pass
            assert self._process.poll() is None, f"the server ended as it started: {(self.folder / 'out.log').read_text()[-500:]}"
            assert time.monotonic() < until, "the server did not answer in time"
            time.sleep(0.05)

    def settled(self, queue: str) -> None:
        """Returns when a quorum queue that was just made would outlast a kill: the server writes down last, up to half a second later, who its members are."""
        until = time.monotonic() + START_SECONDS
        while True:
            files = [*self.folder.glob("mnesia/*/quorum/*/names.dets"), *self.folder.glob("mnesia/*/quorum/*/meta.dets")]
            if len(files) == 2 and all(queue.encode() in file.read_bytes() for file in files):
                return
            assert time.monotonic() < until, f"the server has not written down the queue {queue}"
            time.sleep(0.02)

    def kill(self) -> None:
        """As a power cut does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Ends it and its port mapper, and removes its folder."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tls(self, authority: Authority) -> str:
        """The lines of its configuration for TLS. https://www.rabbitmq.com/docs/ssl (read 2026-11)"""
        files = {"cacertfile": authority.ca, "certfile": authority.certificate, "keyfile": authority.key}
        lines = [f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}", *(f"ssl_options.{name} = {file}" for name, file in files.items())]
        lines += ["ssl_options.verify = verify_peer", "ssl_options.fail_if_no_peer_cert = false", "ssl_cert_login_from = common_name"]
        mechanisms = [f"auth_mechanisms.{number} = {name}" for number, name in enumerate(("PLAIN", "AMQPLAIN", "EXTERNAL"), 1)]
        return "\n".join([*lines, *mechanisms]) + "\n"

    def _environ(self) -> dict[str, str]:
        node = f"recon{self.port}@localhost"
        home = str(self.folder)
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nlog.file.level = error\nvm_memory_high_watermark.absolute = 512MB\n"
            f"disk_free_limit.absolute = 50MB\nmax_message_size = {self.max_bytes}\n"
            + ("" if self._authority is None else self._tls(self._authority))
        )
        (self.folder / "plugins").write_text("[].\n" if self._authority is None else "[rabbitmq_auth_mechanism_ssl].\n")
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": home,
            "RABBITMQ_NODENAME": node,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self._dist),
            "RABBITMQ_MNESIA_BASE": f"{home}/mnesia",
            "RABBITMQ_LOG_BASE": f"{home}/log",
            # The script becomes Erlang, and leaves no shell between.
            "RUNNING_UNDER_SYSTEMD": "1",
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq",
            "RABBITMQ_CONF_ENV_FILE": f"{home}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/plugins",
            # No schedulers spin while there is nothing to do: these tests share their machine.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none +S 2:2",
            "ERL_EPMD_PORT": str(self._mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "LANG": "C.UTF-8",
        }
