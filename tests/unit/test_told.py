"""What answers say of their limits: every family of headers, every form of a reset, costs in bodies, and nonsense that says nothing."""

import json
from datetime import timedelta
from email.utils import format_datetime

import pytest

from recon.fetch.quota import Points, Window
from recon.fetch.told import reset_after, told
from recon.fetch.transport import Response
from tests.servers.manual_clock import ManualClock

NOW = ManualClock().now()
EPOCH = int(NOW.timestamp())


def answer(headers: dict[str, str], body: bytes = b"{}", status: int = 200) -> Response:
    return Response(status=status, headers={name.lower(): value for name, value in headers.items()}, body=body, wire_bytes=len(body))


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        (
            {
                "X-RateLimit-Limit": "5000",
                "X-RateLimit-Remaining": "4987",
                "X-RateLimit-Reset": str(EPOCH + 90),
                "X-RateLimit-Resource": "core",
            },
            (5000, 4987, 90),
        ),
        ({"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "7", "X-RateLimit-Reset": "12"}, (60, 7, 12)),
        ({"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": str((EPOCH + 30) * 1000)}, (None, 7, 30)),
        ({"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": f"{EPOCH + 5.5}", "X-RateLimit-Reset-After": "1.25"}, (None, 7, 1.25)),
        ({"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": "2026-11-23T03:00:20Z"}, (None, 7, 20)),
        ({"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": format_datetime(NOW + timedelta(seconds=40), usegmt=True)}, (None, 7, 40)),
        ({"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": str(EPOCH - 90)}, (None, 7, 0)),
        ({"X-Rate-Limit-Limit": "600", "X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": str(EPOCH + 3)}, (600, 0, 3)),
        ({"RateLimit-Limit": "100, 100;w=60", "RateLimit-Remaining": "50", "RateLimit-Reset": "30"}, (100, 50, 30)),
        ({"RateLimit": '"default";r=50;t=30', "RateLimit-Policy": '"default";q=100;w=60'}, (100, 50, 30)),
        ({"RateLimit": "default;r=0;t=7"}, (None, 0, 7)),
        ({"RateLimit": "limit=100, remaining=12, reset=9"}, (100, 12, 9)),
        (
            {
                "X-HubSpot-RateLimit-Max": "190",
                "X-HubSpot-RateLimit-Remaining": "189",
                "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
            },
            (190, 189, 10),
        ),
    ],
)
def test_each_family_of_headers_is_read(headers: dict[str, str], wanted: tuple[float | None, float, float]) -> None:
    """Limit, remaining and seconds to the reset, whichever of its forms that has."""
    (one,) = told(answer(headers), NOW)
    assert isinstance(one, Window)
    assert (one.limit, one.remaining) == wanted[:2]
    assert one.resets_in == pytest.approx(wanted[2])


def test_a_reset_is_a_moment_on_the_third_partys_own_clock() -> None:
    """Its clock runs an hour ahead: the wait is counted from its Date, and is not an hour too long."""
    date = format_datetime(NOW + timedelta(hours=1), usegmt=True)
    (one,) = told(answer({"Date": date, "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(EPOCH + 3600 + 8)}), NOW)
    assert isinstance(one, Window)
    assert one.resets_in == 8


def test_several_policies_are_several_windows() -> None:
    """The draft allows a burst and a daily one side by side; so do two families on one answer."""
    found = told(
        answer({"RateLimit": '"burst";r=2;t=1, "daily";r=900;t=4000', "X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "6"}), NOW
    )
    assert sorted((one.name, one.remaining) for one in found if isinstance(one, Window)) == [
        ("ratelimit burst", 2),
        ("ratelimit daily", 900),
        ("x-ratelimit", 5),
    ]


def test_shopifys_bucket_is_points_that_come_back() -> None:
    """`39/40` leaves one, and two come back in a second."""
    assert told(answer({"X-Shopify-Shop-Api-Call-Limit": "39/40"}), NOW) == [
        Points(name="shopify", capacity=40, available=1, restored=2, cost=1)
    ]


def test_shopifys_graphql_cost_is_read_from_the_body() -> None:
    """What must be there before the next query of the same kind is what this one asked for."""
    status = {"maximumAvailable": 2000.0, "currentlyAvailable": 1990, "restoreRate": 100.0}
    body = json.dumps({"data": {}, "extensions": {"cost": {"requestedQueryCost": 52, "actualQueryCost": 10, "throttleStatus": status}}})
    assert told(answer({}, body.encode()), NOW) == [Points(name="cost", capacity=2000, available=1990, restored=100, cost=52)]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"X-RateLimit-Remaining": "many", "X-RateLimit-Reset": "soon"}, b"{}"),
        ({"X-RateLimit-Remaining": "nan", "X-RateLimit-Reset": ""}, b"{}"),
        ({"X-RateLimit-Remaining": "-1"}, b"{}"),
        ({"RateLimit": '";;=,"'}, b"{}"),
        ({"RateLimit": ""}, b"{}"),
        ({"X-Shopify-Shop-Api-Call-Limit": "40"}, b"{}"),
        ({"X-Shopify-Shop-Api-Call-Limit": "1/0"}, b"{}"),
        ({}, b'{"extensions":{"cost":{"throttleStatus":{}}}}'),
        ({}, b'{"extensions":{"cost":{"throttleStatus":"x"}}}'),
        ({}, b'{"extensions":[{"throttleStatus":1}]}'),
        ({}, b'["throttleStatus"'),
        ({}, b'"throttleStatus"'),
    ],
)
def test_nonsense_says_nothing(headers: dict[str, str], body: bytes) -> None:
    """A header or a body that cannot be understood is passed over, and breaks no fetch."""
    assert told(answer(headers, body), NOW) == []


def test_a_pause_is_until_what_is_used_up_comes_back() -> None:
    """Only limits with nothing left ask for one; of several the last."""
    assert reset_after([Window(remaining=3, resets_in=90)]) is None
    assert reset_after([Window(remaining=0, resets_in=9), Window(remaining=0, resets_in=4), Window(remaining=3, resets_in=90)]) == 9
    assert reset_after([Points(capacity=1000, available=40, restored=10, cost=100)]) == 6
    assert reset_after([]) is None
