"""Several items by one request: each key is answered once and in order, and what the answer does not show is read alone."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from recon.fetch.narrowing import Batch
from recon.fetch.page import LookupStatus
from recon.fetch.paging import LastId
from recon.fetch.resource import Resource
from recon.fetch.transport import Request, Response
from recon.http_provider import HTTPProvider
from recon.testing import section
from tests.servers.manual_clock import ManualClock

FOUND, NOT_FOUND = LookupStatus.FOUND, LookupStatus.NOT_FOUND
WAYS: dict[str, dict[str, Any]] = {
    "joined": {"param": "ids", "join": ","},
    "repeated": {"param": "id"},
    "posted": {"body": {"filter": {"ids": "{keys}"}}},
    "posted, each": {"body": {"inputs": "{keys}"}, "each": "id"},
}


@dataclass
class Shelf:
    """Items `k0` to `k9`; `k3` is held back from answers for several. More than `most` keys at once, or `bad` among them, are refused."""

    most: int = 100
    bad: str = ""
    #: The parameter of the keys is unknown here: the first page of the whole list comes.
    ignores: bool = False
    #: Whether an item comes along that nobody asked for.
    strange: bool = True
    several: list[list[str]] = field(default_factory=list)
    single: list[str] = field(default_factory=list)

    def send(self, request: Request) -> Response:
        """As of `recon.fetch.transport.Transport`."""
        if request.path.startswith("/orders/"):
            key = request.path.rpartition("/")[2]
            self.single.append(key)
            return _json(200, {"id": key}) if key in {f"k{n}" for n in range(10)} else _json(404, {"error": "no such item"})
        keys = _keys(request)
        self.several.append(keys)
        if len(keys) > self.most:
            return _json(413, {"error": "too many"})
        if self.bad in keys:
            return _json(400, {"error": f"{self.bad} is no id"})
        if self.ignores:
            return _json(200, {"data": [{"id": f"k{n}"} for n in range(5)]})
        rows = [{"id": f"k{n}"} for n in (9, 8, 7, 6, 5, 4, 2, 1, 0) if f"k{n}" in keys]
        return _json(200, {"data": [*rows, {"id": "stranger"}] if self.strange else rows})

    def close(self) -> None:
        """Nothing is open."""


def _keys(request: Request) -> list[str]:
    if request.method == "POST":
        body = json.loads(request.body or b"{}")
        return body["filter"]["ids"] if "filter" in body else [one["id"] for one in body["inputs"]]
    query = parse_qs(urlsplit(request.target()).query)
    return query["ids"][0].split(",") if "ids" in query else query["id"]


def _json(status: int, document: object) -> Response:
    body = json.dumps(document).encode()
    return Response(status=status, headers={"content-type": "application/json"}, body=body, wire_bytes=len(body))


def read(shelf: Shelf, keys: Sequence[str], width: int = 1, **batch: Any) -> list[tuple[str, LookupStatus]]:
    """What `get_many` answers, four keys a request if nothing else is said."""
    provider = HTTPProvider(section("shop", base_url="http://127.0.0.1:9/", concurrency=width, tries=1))
    declared = Batch(path="search", records="data", **{"size": 4, **batch})
    paging = LastId(param="after", more="more")
    provider.catalogue = {
        "orders": Resource(path="orders", records="data", get="orders/{key}", total="total", paging=paging, batch=declared)
    }
    provider.session.through(shelf, chance=random.Random(1))
    answers = [(one.key, one.status) for one in provider.get_many("orders", keys, clock=ManualClock())]
    provider.close()
    return answers


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("way", WAYS)
def test_each_key_is_answered_once_and_in_order(way: str, width: int) -> None:
    """By GET and by POST: ten keys by three requests, what was left out by a read of its own, absence only by its 404, strangers ignored."""
    shelf = Shelf()
    keys = ["k5", "k3", "gone", "k0", "k1", "k9", "k5", "k2", "k7", "k8"]
    assert read(shelf, keys, width, **WAYS[way]) == [(key, NOT_FOUND if key == "gone" else FOUND) for key in keys]
    assert len(shelf.several) == 3
    assert sorted(shelf.single) == ["gone", "k3"]


def test_a_key_left_out_is_absent_where_that_is_documented() -> None:
    """With absent="not_found" no key is read alone."""
    shelf = Shelf(strange=False)
    assert read(shelf, ["k1", "gone"], param="id", absent="not_found") == [("k1", FOUND), ("gone", NOT_FOUND)]
    assert not shelf.single


def test_a_request_that_is_refused_is_halved() -> None:
    """Too many at once, or one bad key among them: the others are answered all the same."""
    shelf = Shelf(most=2)
    assert read(shelf, ["k0", "k1", "k2", "k4"], param="id") == [(key, FOUND) for key in ("k0", "k1", "k2", "k4")]
    assert [len(keys) for keys in shelf.several] == [4, 2, 2]
    shelf = Shelf(bad="b@d")
    assert read(shelf, ["k0", "b@d", "k2", "k4"], param="id")[1:] == [("b@d", NOT_FOUND), ("k2", FOUND), ("k4", FOUND)]


def test_a_key_that_holds_the_mark_between_keys_is_read_alone() -> None:
    """`k1,k2` is one key, and would be read as two."""
    shelf = Shelf()
    assert read(shelf, ["k0", "k1,k2", "k4"], param="ids", join=",") == [("k0", FOUND), ("k1,k2", NOT_FOUND), ("k4", FOUND)]
    assert shelf.several == [["k0", "k4"]]


def test_where_the_keys_are_ignored_nothing_is_taken_for_absent() -> None:
    """The first page of the whole list comes instead: an item of a later page is asked for alone, and is found."""
    shelf = Shelf(ignores=True)
    assert read(shelf, ["k1", "k8", "gone"], param="id", absent="not_found") == [("k1", FOUND), ("k8", FOUND), ("gone", NOT_FOUND)]
    assert sorted(shelf.single) == ["gone", "k1", "k8"]


class Cut(Shelf):
    """Answers for several are cut at five items, or say in one way or another that there are more."""

    def __init__(self, more: dict[str, Any] | None = None, link: str = "", page: int = 100) -> None:
        super().__init__(strange=False)
        self.more, self.link, self.page = more or {}, link, page

    def send(self, request: Request) -> Response:
        response = super().send(request)
        if request.path.startswith("/orders/"):
            return response
        body = json.loads(response.body)
        answer = _json(200, {"data": body["data"][: self.page], **self.more})
        return Response(status=200, headers={**answer.headers, "link": self.link}, body=answer.body, wire_bytes=answer.wire_bytes)


@pytest.mark.parametrize(
    "shelf",
    [Cut(page=5), Cut({"more": True}, page=3), Cut({"total": 9}, page=3), Cut(link='<https://x.example/2>; rel="next"', page=3)],
    ids=["as long as a page", "says more", "counts more", "links on"],
)
def test_an_answer_that_may_be_cut_proves_no_absence(shelf: Cut) -> None:
    """Nine keys asked for, and an answer that may be one page of several: what it lacks is read alone, and is there."""
    keys = [f"k{n}" for n in (0, 1, 2, 4, 5, 6, 7, 8, 9)]
    assert read(shelf, [*keys, "gone"], size=10, param="id", absent="not_found") == [*((key, FOUND) for key in keys), ("gone", NOT_FOUND)]
    assert "gone" in shelf.single


def test_what_has_another_answer_is_read_alone() -> None:
    """207 says that some of them have none: those that came are taken, where absence needs a read of its own anyway; else it is no answer."""

    class Some(Shelf):
        def send(self, request: Request) -> Response:
            response = super().send(request)
            alone = request.path.startswith("/orders/")
            return response if alone else Response(status=207, headers=response.headers, body=response.body, wire_bytes=response.wire_bytes)

    for absent, several in (("unknown", 1), ("not_found", 5)):
        shelf = Some(strange=False)
        assert read(shelf, ["k0", "k1", "gone"], param="id", absent=absent) == [("k0", FOUND), ("k1", FOUND), ("gone", NOT_FOUND)]
        assert len(shelf.several) == several
