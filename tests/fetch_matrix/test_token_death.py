"""A token that dies in the middle of a fetch costs one request and one new token, whatever the paging."""

import json
from pathlib import Path

import pytest

from recon.fetch.landing import land
from recon.fetch.listing import Listing
from recon.fetch.spool import Spool
from recon.secret import Secret
from recon.testing import FixedClock
from recon.testing.fault_server import Answer, Asked, FaultServer, page
from tests.fetch_matrix.kinds import COUNT, KINDS, rest, subject


class Guarded:
    """The list behind tokens: after the page `last` of a token no answer is given under it any more; `issued` counts the tokens."""

    def __init__(self, kind: str, last: int) -> None:
        self.api = subject(kind).api()
        self.last, self.issued, self.served, self.refused = last, 0, 0, 0

    def __call__(self, asked: Asked) -> Answer:
        if asked.path == "/token":
            self.issued += 1
            return page({"access_token": f"token-{self.issued}", "token_type": "Bearer", "expires_in": 3600})
        if (self.served == self.last and self.issued == 1) or asked.headers.get("authorization") != f"Bearer token-{self.issued}":
            self.refused += 1
            return page({"error": {"message": "the token has expired"}}, 401)
        self.served += 1
        return self.api(asked)


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_that_dies_costs_one_request(kind: str, tmp_path: Path) -> None:
    """The page that was refused is asked for again under a new token, and the list is whole."""
    after = 0 if kind == "single" else 2
    guarded = Guarded(kind, after)
    with FaultServer(guarded) as server:
        auth = {"oauth2": {"token_url": f"{server.url}/token", "client_id": "recon", "client_secret": Secret("s3cret-of-the-test")}}
        provider = rest(KINDS[kind], server.url, auth=auth)
        clock = FixedClock()
        spool = Spool.open(tmp_path)
        coverage = land(provider, Listing(resource="orders", clock=clock), spool, clock=clock)
        taken = [json.loads(line)["id"] for frame in spool.frames() for line in frame.splitlines()]
        # Where pages shift, the list is passed over twice, and an item on several pages is one.
        taken = sorted(set(taken)) if spool.union else taken
        spool.close()
        provider.close()

    assert coverage.verdict() == "whole"
    assert taken == [f"o{n:02}" for n in range(1, COUNT + 1)]
    assert (guarded.issued, guarded.refused) == (2, 1)
    assert clock.slept == []
