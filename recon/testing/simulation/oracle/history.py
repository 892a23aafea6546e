"""What one side held of each key, at every instant."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any

Values = Mapping[str, Any] | None
"""An item's values by field; None where it is not there."""


class History:
    """Every state of every key with the time since which it stood, in seconds of the world; two at one time stood in their order."""

    def __init__(self) -> None:
        self._times: dict[str, list[float]] = {}
        self._states: dict[str, list[Values]] = {}

    def put(self, at: float, key: str, state: Values) -> None:
        """From `at` on the key holds this."""
        self._times.setdefault(key, []).append(at)
        self._states.setdefault(key, []).append(None if state is None else dict(state))

    def keys(self) -> list[str]:
        """Every key that ever was, sorted."""
        return sorted(self._times)

    def at(self, key: str, at: float) -> Values:
        """What the key held at this instant."""
        found = bisect_right(self._times.get(key, []), at)
        return self._states[key][found - 1] if found else None

    def during(self, key: str, begin: float, end: float) -> Iterator[tuple[float, Values]]:
        """What the key held from `begin` to `end`, each with the time from when on it did within them."""
        yield begin, self.at(key, begin)
        times = self._times.get(key, [])
        for index in range(bisect_right(times, begin), bisect_right(times, end)):
            yield times[index], self._states[key][index]

    def constant(self, key: str, begin: float, end: float) -> bool:
        """Whether nothing was written to the key between the two instants."""
        times = self._times.get(key, [])
        return bisect_right(times, begin) == bisect_right(times, end)
