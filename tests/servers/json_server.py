"""json-server 0.17 for tests: a REST API over a JSON file, from npm, with pages by Link and by X-Total-Count, and deletions.

from tests.servers.json_server import json_server  # a module's fixture; skips, saying why, without Node
"""

import json
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.servers import node

PACKAGE = "json-server"
ROWS = 1_000
SCRIPT = """
const jsonServer = require("json-server");
const app = jsonServer.create();
app.use(jsonServer.defaults({ logger: false }));
app.use(jsonServer.router(JSON.parse(process.argv[1])));
const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
"""


class JsonServer:
    """One running server: `/orders` holds 1,000 of them, in memory."""

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self.process = process
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=30)

    def delete(self, key: str) -> None:
        """An order, gone."""
        assert self.http.delete(f"/orders/{key}").status_code == 200


def orders() -> list[dict[str, object]]:
    """What it starts with."""
    return [{"id": f"o{n:04}", "created": 1_700_000_000 + n * 60, "amount": n} for n in range(ROWS)]


@pytest.fixture(scope="module")
def json_server() -> Iterator[JsonServer]:
    """One server for a module."""
    node.require(PACKAGE)
    process, port = node.start(SCRIPT, [json.dumps({"orders": orders()})])
    server = JsonServer(process, f"http://127.0.0.1:{port}")
    try:
        yield server
    finally:
        server.http.close()
        node.stop(process)
