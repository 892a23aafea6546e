"""The order in which the suite's tests are handed out to its workers."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.spread import LONG, shares, spread


def made(number: int, seconds: float | None) -> Any:
    mark = None if seconds is None else SimpleNamespace(args=(seconds,))
    return SimpleNamespace(number=number, seconds=seconds, get_closest_marker=lambda _name: mark)


@pytest.mark.parametrize("workers", [2, 3, 4, 8])
def test_every_worker_begins_with_the_long_ones(workers: int) -> None:
    """No test is lost or doubled, each long one stands at the beginning of a share, the longest in the first; the others keep their order."""
    long = {5: 900, 40: LONG, 41: LONG, 77: LONG, 90: 700}
    tests = [made(number, long.get(number, None if number % 2 else 400)) for number in range(101)]

    order = spread(tests, workers)

    assert sorted(item.number for item in order) == list(range(101))
    assert order[0].number == 5
    others = [item.number for item in order if item.number not in long]
    assert others == sorted(others)
    sizes = shares(len(tests), workers)
    beginnings = [sum(sizes[:worker]) for worker in range(workers)]
    for place, item in enumerate(order):
        if item.number in long:
            begun = max(at for at in beginnings if at <= place)
            assert all(order[between].number in long for between in range(begun, place))


def test_few_tests_stay_as_they_are() -> None:
    """Where there are more long ones than shares would hold, nothing is moved."""
    tests = [made(number, LONG) for number in range(3)]

    assert spread(tests, 8) == tests
