"""Which of two versions is newer, and what a guard makes of it, without a database."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from recon.consume.order import newer, wired

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("held", "told", "answer"),
    [
        (NOON, "2026-11-23T12:00:01Z", 1),
        (NOON, "2026-11-23T13:00:00+01:00", 0),
        (NOON, "2026-11-23T11:59:59Z", -1),
        ("2026-11-23 12:00:00", "2026-11-23T12:00:00Z", 0),
        ("2026-11-23T12:00:00.345678Z", "2026-11-23T12:00:00Z", 0),
        ("2026-11-23T12:00:00.345678Z", "2026-11-23T12:00:00.345Z", 0),
        ("2026-11-23T12:00:00.345678Z", "2026-11-23T12:00:00.344Z", -1),
        ("2026-11-23T12:00:01Z", "2026-11-23T12:00:00Z", -1),
        ("2026-11-23T12:00:00Z", "2026-11-23T12:00:00.345678Z", 1),
        (5, 6, 1),
        (6, "5", -1),
        ("9", "10", 1),
        (Decimal("5.0"), 5, 0),
        (2**60, 2**60 + 1, 1),
        (None, 5, None),
        (5, None, None),
        (5, "2026-11-23T12:00:00Z", None),
        (20261123, "20261124", 1),
        ("v1", "v2", None),
        (True, False, None),
        ("nan", 5, None),
        ("2026-13-45T00:00:00", NOON, None),
    ],
)
def test_which_is_newer(held: Any, told: Any, answer: int | None) -> None:
    """Times by their moment, numbers by their value; a time that was cut is no older than what it was cut from; the rest is not compared."""
    assert newer(held, told) == answer


def test_values_of_python_become_those_of_events() -> None:
    """Times in UTC with Z, decimals and UUIDs as texts, all the way down."""
    value = {
        "at": datetime(2026, 11, 23, 13, tzinfo=timezone(timedelta(hours=1))),
        "naive": datetime(2026, 11, 23, 12),
        "day": date(2026, 11, 23),
        "parts": (Decimal("1.50"), [UUID(int=1)], None, True, 7),
    }
    assert wired(value) == {
        "at": "2026-11-23T12:00:00Z",
        "naive": "2026-11-23T12:00:00Z",
        "day": "2026-11-23",
        "parts": ["1.50", ["00000000-0000-0000-0000-000000000001"], None, True, 7],
    }
