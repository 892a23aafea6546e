"""The class of docs/providers.md, run as it stands there."""

import hashlib
import hmac
import re
from pathlib import Path
from typing import Any

import pytest

from recon.clock import SystemClock
from recon.fetch.page import LookupStatus
from recon.http_provider import HTTPProvider
from tests.providers.listing import whole
from tests.providers.sections import section
from tests.servers.scripted import Answer, Call, scripted

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "providers.md").read_text(encoding="utf-8")


def test_the_written_provider_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its requests carry the signature, its pages are read to the end, and its own words for a deletion are understood."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    module: dict[str, Any] = {"__name__": "recon_project.providers.depot"}
    exec(compile(code, "providers/depot.py", "exec"), module)
    signed = hmac.new(b"k3y", b"/api/v3/parcels", hashlib.sha256).hexdigest()

    def serve(call: Call) -> Answer:
        if call.path != "/api/v3/parcels":
            return Answer({"number": call.path.rsplit("/", 1)[1], "state": "lost"})
        assert call.headers["x-signature"] == signed
        first = "cursor" not in call.query
        return Answer({"result": {"parcels": [{"number": "p1" if first else "p2"}], "next": "c2" if first else None}})

    monkeypatch.setenv("DEPOT_KEY", "k3y")
    with scripted(serve) as server:
        provider: HTTPProvider = module["Depot"](
            section("providers.depot", {"base_url": f"{server.url}/api/v3/", "signing_key": {"env": "DEPOT_KEY"}})
        )
        records, _ = whole(provider, "parcels")
        (answer,) = provider.get_many("parcels", ["p9"], clock=SystemClock())
        provider.close()
    assert [record["number"] for record in records] == ["p1", "p2"]
    assert (provider.name, answer.status) == ("depot", LookupStatus.DELETED)
