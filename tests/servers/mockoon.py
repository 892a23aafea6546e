"""mockoon 9 for tests: an API that answers by a script of its own, in turn, from npm.

from tests.servers.mockoon import mockoon  # a module's fixture; skips, saying why, without Node
"""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from tests.servers import node

PACKAGE = "@mockoon/commons-server"
SCRIPT = """
const { MockoonServer } = require("@mockoon/commons-server");
const { BuildEnvironment, BuildHTTPRoute, BuildRouteResponse } = require("@mockoon/commons");
const environment = BuildEnvironment({ hasDefaultHeader: false, hasDefaultRoute: false });
environment.hostname = "127.0.0.1";
environment.port = 0;
for (const [endpoint, answers] of Object.entries(JSON.parse(process.argv[1]))) {
  const responses = answers.map((one) => ({
    ...BuildRouteResponse(),
    statusCode: one.status || 200,
    body: JSON.stringify(one.body),
    headers: Object.entries({ "Content-Type": "application/json", ...(one.headers || {}) }).map(([key, value]) => ({ key, value })),
    disableTemplating: true,
  }));
  environment.routes.push({ ...BuildHTTPRoute(false, { endpoint }), responses, responseMode: "SEQUENTIAL" });
}
environment.rootChildren = environment.routes.map((route) => ({ type: "route", uuid: route.uuid }));
const server = new MockoonServer(environment, {});
server.on("started", () => console.log(server.serverInstance.address().port));
server.on("error", (code, error) => console.log(code, error));
server.start();
"""

Answers = Sequence[Mapping[str, Any]]


class Mockoon:
    """Starts servers; each plays a script: the answers of an endpoint, in turn."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[str]] = []

    def play(self, endpoints: Mapping[str, Answers]) -> str:
        """The URL of a server that gives each endpoint's answers in turn, each `{status, headers, body}`."""
        process, port = node.start(SCRIPT, [json.dumps(endpoints)])
        self._processes.append(process)
        return f"http://127.0.0.1:{port}"

    def close(self) -> None:
        """Ends them."""
        for process in self._processes:
            node.stop(process)


@pytest.fixture(scope="module")
def mockoon() -> Iterator[Mockoon]:
    """What starts them, for a module."""
    node.require(PACKAGE)
    servers = Mockoon()
    try:
        yield servers
    finally:
        servers.close()
