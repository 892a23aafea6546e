"""The order of the tests where several workers share them: the long ones first, each at the beginning of a worker's share.

A worker takes from another what that one has not begun. A long test that is begun last leaves every other core idle until it ends.
"""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

LONG = 600
"""A test that is allowed so many seconds, or more, is a campaign."""


def seconds_of(item: Any) -> float:
    """What a test says that it may take (its mark `timeout`); nothing where it says nothing."""
    mark = item.get_closest_marker("timeout")
    return mark.args[0] if mark is not None and mark.args else 0


def shares(count: int, workers: int) -> list[int]:
    """How many tests each worker is given at first, as pytest-xdist's `worksteal` cuts them."""
    sizes: list[int] = []
    for left in range(workers, 0, -1):
        sizes.append((count - sum(sizes)) // left)
    return sizes


def spread(items: Sequence[Any], workers: int) -> list[Any]:
    """The tests in the order to be handed out in: all of them, those that are not long as they were among themselves."""
    long = sorted((item for item in items if seconds_of(item) >= LONG), key=seconds_of, reverse=True)
    begun: list[list[Any]] = [[] for _ in range(workers)]
    # There and back, so that whoever has the longest has the fewest.
    for item, worker in zip(long, cycle([*range(workers), *reversed(range(workers))]), strict=False):
        begun[worker].append(item)
    others = iter([item for item in items if seconds_of(item) < LONG])
    sizes = shares(len(items), workers)
    if any(len(first) > size for first, size in zip(begun, sizes, strict=True)):
        return list(items)
    return [item for first, size in zip(begun, sizes, strict=True) for item in (*first, *(next(others) for _ in range(size - len(first))))]
