"""Quota: what a third party's own answers say is left, and until when that holds."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """`remaining` of `limit` requests until `resets_in` seconds from now; None where an answer does not say."""

    name: str = ""
    limit: float | None = None
    remaining: float | None = None
    resets_in: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """A leaking bucket: `available` of `capacity` points, `restored` a second, of which a request like this one takes `cost`."""

    name: str = ""
    capacity: float
    available: float
    restored: float
    cost: float = 1.0


class Quota:
    """Everything that is known to be left. Not locked: its limiter does that."""

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}
        self._points: dict[str, _Points] = {}

    def note(self, told: Window | Points, now: float, *, under_way: int) -> None:
        """Takes in what an answer said; `under_way` requests were sent that it may not have counted yet."""
        if isinstance(told, Points):
            self._points[told.name] = _Points(told, now, under_way)
        elif told.remaining is not None and told.resets_in is not None:
            self._windows.setdefault(told.name, _Window()).note(told, told.remaining, now + told.resets_in, under_way)

    def expect(self, points: Points) -> None:
        """A bucket as it is until an answer says how it stands: full."""
        self._points.setdefault(points.name, _Points(points, -math.inf, 0))

    def ready_at(self, now: float) -> float:
        """When what is left lets a request through."""
        return max((one.ready_at(now) for one in self._all()), default=now)

    def take(self, now: float) -> None:
        """A request goes."""
        for one in self._all():
            one.take(now)

    def _all(self) -> "list[_Window | _Points]":
        return [*self._windows.values(), *self._points.values()]


class _Window:
    """A count that starts anew at its reset. What one request takes of it is seen from how it falls."""

    def __init__(self) -> None:
        self._left = math.inf
        self._limit = math.inf
        self._resets_at = -math.inf
        self._cost = 1.0
        self._told: float | None = None
        self._sent = 0

    def note(self, told: Window, remaining: float, resets_at: float, under_way: int) -> None:
        # Answers tell the reset in whole seconds, so that of one window wanders by almost one; and one may overtake another.
        if self._told is None or resets_at > self._resets_at + 1.5 or remaining > self._told + under_way + 1:
            self._left, self._resets_at = remaining - under_way * self._cost, resets_at
        else:
            if self._sent:
                self._cost = max(1.0, min((self._told - remaining) / self._sent, told.limit or math.inf))
            # What was sent since is taken off already; an answer that was overtaken by others may not give it back.
            self._left = min(self._left, remaining)
        self._limit = told.limit or math.inf
        self._told, self._sent = remaining, 0

    def ready_at(self, now: float) -> float:
        return now if self._left >= self._cost or self._resets_at <= now else self._resets_at

    def take(self, now: float) -> None:
        if self._resets_at <= now and self._left < self._cost:
            self._left = self._limit
        self._left -= self._cost
        self._sent += 1


class _Points:
    """Points that come back with time."""

    def __init__(self, told: Points, now: float, under_way: int) -> None:
        self._told = told
        self._left = told.available - told.cost * under_way
        self._at = now

    def ready_at(self, now: float) -> float:
        need = min(self._told.cost, self._told.capacity) - self._left
        if need <= 0 or self._told.restored <= 0:
            return now
        return self._at + need / self._told.restored

    def take(self, now: float) -> None:
        self._left = min(self._told.capacity, self._left + (now - self._at) * self._told.restored) - self._told.cost
        self._at = now
