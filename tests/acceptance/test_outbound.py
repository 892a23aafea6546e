"""The other way round: the store is the source, and the question is whether everything that we deliver has arrived."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.shop import Shop, listing
from tests.servers.fault_server import Answer, FaultServer, page


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A job whose corrections are meant for the third party."""
    with FaultServer() as server:
        one = Shop(tmp_path, server)
        job = tmp_path / "jobs/bad.py"
        job.write_text(job.read_text().replace('event="bad"', 'event="delivery", direction="outbound"'))
        yield one


def test_what_did_not_arrive_is_told_with_our_own_state(shop: Shop) -> None:
    """An item the third party lacks is `created` with the store's state, one it should not have is `deleted`, one that differs is `updated`."""
    there = [r for r in shop.records if r["id"] != "k03"]
    there = [{**r, "status": "open"} if r["id"] == "k05" else r for r in there]
    shop.serve("bad", [*there, {"id": "k99", "status": "paid", "amount": 1}])
    shop.server.on("/bad/k99", page({"id": "k99", "status": "paid", "amount": 1}))

    night = shop.night()

    told = {event["data"]["key"]: (event["type"], event["data"]["state"], event["data"]["before"]) for event in night.events}
    assert told == {
        "k03": ("delivery.created", {"status": "paid", "amount": 103}, None),
        "k05": ("delivery.updated", {"status": "paid", "amount": 105}, {"status": "open", "amount": 105}),
        "k99": ("delivery.deleted", None, {"status": "paid", "amount": 1}),
    }
    assert (night.bad["missing"], night.bad["extra"], night.bad["changed"]) == (1, 1, 1)
    assert (night.bad["direction"], night.good["verdict"]) == ("outbound", "clean")


def test_an_arrival_that_the_list_does_not_show_yet_is_left_alone(shop: Shop) -> None:
    """An item that the listing leaves out and a read by id finds has arrived: nothing is delivered again."""
    shop.server.on("/bad", listing(shop.records[:29]))

    night = shop.night()

    assert night.events == []
    assert night.bad["suspects"] == 1
    assert sum(night.bad["dismissed"].values()) == 1


def test_a_wiped_receiver_is_held_and_nothing_is_sent_twice(shop: Shop) -> None:
    """When the third party answers that it has nothing at all, delivering everything again waits for a person."""
    shop.serve("bad", [])
    shop.server.on("/bad", Answer(headers={"Content-Type": "application/json"}, pieces=[b'{"data":[],"has_more":false}']))

    night = shop.night()

    assert (night.code, night.bad["verdict"], night.events) == (4, "held", [])
    assert [guard["name"] for guard in night.bad["guards"] if guard["tripped"]] == ["missing"]
