"""Every way of leading a fetch elsewhere, through the real provider: the credential goes to the third party, and to nobody else."""

from pathlib import Path

import pytest

from recon import HTTPProvider, Resource
from recon.errors import ReconError
from tests.integration.test_http_provider import PAGINGS, fetched, rows, section
from tests.servers.fault_server import Answer, FaultServer, fault_server, page

__all__ = ["fault_server"]

WAYS = [
    "//{evil}/v1/x",
    "http://{good}@{evil}/x",
    "http://{good}:x@{evil}/x",
    "http://{good}.evil.example/x",
    "http://{evil}/x",
    "https://{good}/x",
    "http://{evil}\\@{good}/x",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]:{port}/x",
    "http://0x7f.1:{port}/x",
    "http://2130706433:{port}/x",
    "http://localhost:{port}/x",
    "file:///etc/passwd",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("door", ["next_url", "link", "location"])
def test_no_way_leads_a_fetch_elsewhere(door: str, fault_server: FaultServer, tmp_path: Path) -> None:
    """As a next page's URL, in a Link header or as a redirect: each way ends the fetch with words, and another server is asked nothing."""
    paging, records, _ = PAGINGS["link" if door == "location" else door]

    class One(HTTPProvider):
        catalogue = {"charges": Resource(path="charges", records=records, paging=paging)}  # noqa: RUF012 - a provider's own way to declare it

    with FaultServer() as evil:
        evil.on("*", page({"data": rows(1), "next": None}))
        host = {
            "good": fault_server.url.removeprefix("http://"),
            "evil": evil.url.removeprefix("http://"),
            "port": evil.url.rpartition(":")[2],
        }
        held = 0
        for number, way in enumerate(WAYS):
            target = way.format(**host)
            answers = {
                "next_url": page({"data": rows(0), "next": target}),
                "link": page(rows(0), Link=f"<{target}>; rel=next"),
                "location": Answer(302, {"Location": target}),
            }
            fault_server.on("/v1/charges", answers[door])
            (tmp_path / str(number)).mkdir()
            try:
                fetched(One(section(fault_server)), tmp_path / str(number))
            except ReconError as error:
                held += bool(str(error))
        print(f"{door}: {held} of {len(WAYS)} ways held")

        assert held == len(WAYS)
        assert evil.requests == []
        assert len(fault_server.requests) == len(WAYS)
