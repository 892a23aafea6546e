"""An SFTP server on loopback over a folder, from asyncssh, in a thread of its own; it can be made to drop the line in the middle of a file."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

USER = "recon"
PASSWORD = "loopback-only"


class SftpServer:
    """`drops` are the offsets at which the line drops, each once. `reads` are the offsets that were asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.drops: list[int] = []
        self.reads: list[int] = []
        self.client_key = asyncssh.generate_private_key("ssh-ed25519")
        self._host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.fingerprint = self._host_key.get_fingerprint()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._connections: list[asyncssh.SSHServerConnection] = []
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def known_hosts(self) -> str:
        """The line of a known_hosts file."""
        return f"[127.0.0.1]:{self.port} {self._host_key.export_public_key().decode()}"

    def start(self) -> None:
        self._thread.start()
        assert self._listening.wait(10), "the SFTP server did not start"

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._listener.close()
        await self._listener.wait_closed()
        for connection in self._connections:
            connection.abort()
            await connection.wait_closed()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._listening.set()
        self._loop.run_forever()

    async def _listen(self) -> None:
        outer = self

        class Files(asyncssh.SFTPServer):
            """The folder, with lines that drop."""

            def __init__(self, channel: asyncssh.SSHServerChannel) -> None:
                super().__init__(channel, chroot=str(outer.folder).encode())
                self._connection = channel.get_connection()

            def read(self, file_obj: Any, offset: int, size: int) -> Any:
                outer.reads.append(offset)
                hit = next((at for at in outer.drops if offset <= at < offset + size), None)
                if hit is not None:
                    outer.drops.remove(hit)
                    self._connection.abort()
                return super().read(file_obj, offset, size)

        class Door(asyncssh.SSHServer):
            """One user, by password or key."""

            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                outer._connections.append(conn)

            def begin_auth(self, username: str) -> bool:
                return True

            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                return (username, password) == (USER, PASSWORD)

            def public_key_auth_supported(self) -> bool:
                return True

            def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
                return username == USER and key == outer.client_key.convert_to_public()

        self._listener = await asyncssh.listen("127.0.0.1", 0, server_factory=Door, server_host_keys=[self._host_key], sftp_factory=Files)
        self.port = self._listener.get_port()


@pytest.fixture
def sftp_server(tmp_path: Path) -> Iterator[SftpServer]:
    """An SFTP server over an empty folder of this test's own."""
    folder = tmp_path / "sftp"
    folder.mkdir()
    server = SftpServer(folder)
    server.start()
    yield server
    server.stop()
