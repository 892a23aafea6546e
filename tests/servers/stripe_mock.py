"""stripe-stateful-mock 0.0.16 for tests: Stripe's shapes over HTTP, with state, from npm.

    from tests.servers.stripe_mock import stripe_mock  # the session's fixture; skips, saying why, without Node

What it does not do, and Stripe does: honour `created`, delete a customer, answer 429 by itself, send `Request-Id`.
"""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.servers import node

PACKAGE = "stripe-stateful-mock"
KEY = "sk_test_recon"
THREADS = 8
SCRIPT = """
const log = require("loglevel");
log.setLevel("silent");
const app = require("stripe-stateful-mock").createExpressApp();
const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
server.keepAliveTimeout = 60000;
"""


class StripeMock:
    """One running mock. `url` stands for `https://api.stripe.com`, so a provider's base URL is `url + "/v1/"`.

    Each `account` is a world of its own: `new_account` gives an empty one, to be named in the header `Stripe-Account`.
    """

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self.process = process
        self.url = url
        self.key = KEY
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=30)

    def new_account(self) -> str:
        """The id of a fresh, empty account."""
        answer = self.http.post("/v1/accounts", data={"type": "custom", "country": "US"})
        return str(self._done(answer)["id"])

    def create(self, resource: str, account: str | None = None, **params: str) -> dict[str, Any]:
        """One object, as the API answers it; nested parameters are written as Stripe does, `metadata[order]`."""
        return self._done(self.http.post(f"/v1/{resource}", data=params, headers=_headers(account)))

    def update(self, resource: str, key: str, account: str | None = None, **params: str) -> dict[str, Any]:
        """One object changed (the mock takes `description`, `metadata` and `receipt_email` of a charge)."""
        return self._done(self.http.post(f"/v1/{resource}/{key}", data=params, headers=_headers(account)))

    def create_charges(self, count: int, account: str | None = None) -> list[dict[str, Any]]:
        """That many charges over eight connections (1,000 take about two seconds): amounts all different, three currencies."""

        def one(number: int) -> dict[str, Any]:
            currency = ("usd", "eur", "jpy")[number % 3]
            params = {"amount": str(1000 + number), "currency": currency, "source": "tok_visa"}
            return self.create("charges", account, **params, **{"metadata[order]": f"order-{number}"}, description=f"Order {number}")

        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(one, range(count)))

    @staticmethod
    def _done(answer: httpx.Response) -> dict[str, Any]:
        assert answer.status_code == 200, f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:500]}"
        body: dict[str, Any] = answer.json()
        return body


@pytest.fixture(scope="session")
def stripe_mock() -> Iterator[StripeMock]:
    """One mock for the whole session; tests take accounts of their own from it."""
    node.require(PACKAGE)
    process, port = node.start(SCRIPT)
    server = StripeMock(process, f"http://127.0.0.1:{port}")
    try:
        yield server
    finally:
        server.http.close()
        node.stop(process)


def _headers(account: str | None) -> dict[str, str]:
    return {} if account is None else {"Stripe-Account": account}
