"""What an answer to a read by id proves, through the shipped `rest` provider against a real server: only a word of absence is one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.shop import Shop, listing
from tests.servers.fault_server import Answer, FaultServer, page

ANSWERS = {
    "k20": Answer(status=404),
    "k21": Answer(status=410),
    "k22": page({"id": "k22", "gone": True}),
    "k23": Answer(status=401),
    "k24": Answer(status=403),
    "k25": Answer(status=429, headers={"Retry-After": "0"}),
    "k26": Answer(status=500),
    "k27": Answer(status=503),
    "k28": page({"id": "other", "status": "paid", "amount": 1}),
    "k29": Answer(headers={"Content-Type": "text/html"}, pieces=[b"<html>Sign in</html>"]),
}
ABSENT = ["k20", "k21", "k22"]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Thirty items in the store; the listing leaves ten out, and a read by id answers for each in another way."""
    with FaultServer() as server:
        one = Shop(tmp_path, server)
        toml = tmp_path / "recon.toml"
        marker = 'get = "bad/{key}"'
        toml.write_text(toml.read_text().replace(marker, f'{marker}\ndeleted = {{ at = "gone", is = true }}'))
        server.on("/bad", listing(one.records[:20]))
        for key, answer in ANSWERS.items():
            server.on(f"/bad/{key}", answer)
        yield one


def test_only_a_word_of_absence_makes_extra(shop: Shop) -> None:
    """Inbound: a 404 beside a known item, a 410 and `gone: true` delete; 401, 403, 429, 5xx, another's record and a login page leave unconfirmed."""
    night = shop.night("bad")

    assert sorted(event["data"]["key"] for event in night.events) == ABSENT
    assert {event["type"] for event in night.events} == {"bad.deleted"}
    assert (night.bad["extra"], night.bad["unconfirmed"], night.bad["resolved"]) == (3, 7, 0)
    assert night.bad["verdict"] == "discrepancies"


def test_only_a_word_of_absence_makes_missing(shop: Shop) -> None:
    """Outbound: the same three did not arrive and are told again; of the others nothing is said."""
    job = shop.folder / "jobs/bad.py"
    job.write_text(job.read_text().replace('event="bad"', 'event="delivery", direction="outbound"'))

    night = shop.night("bad")

    assert sorted(event["data"]["key"] for event in night.events) == ABSENT
    assert {event["type"] for event in night.events} == {"delivery.created"}
    assert (night.bad["missing"], night.bad["unconfirmed"]) == (3, 7)


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_a_404_without_a_known_item_beside_it_proves_nothing(shop: Shop, direction: str) -> None:
    """Every read answers 404, the known items' too: 410 and `gone: true` still count, the 404 does not."""
    job = shop.folder / "jobs/bad.py"
    job.write_text(job.read_text().replace('event="bad"', f'event="bad", direction="{direction}"'))
    for one in shop.records[:20]:
        shop.server.on(f"/bad/{one['id']}", Answer(status=404))

    night = shop.night("bad")

    assert sorted(event["data"]["key"] for event in night.events) == ["k21", "k22"]
    assert "known item" in str(night.bad["unconfirmed_why"])
