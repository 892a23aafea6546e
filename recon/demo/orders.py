"""A shop's day: orders that come, are paid, shipped, refunded, cancelled, and now and then deleted. Seeded, so each demo tells the same story."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from recon.clock import iso

CURRENCIES = ("EUR", "EUR", "EUR", "USD", "USD", "GBP", "JPY")
SUPPLIERS = ("north", "south", "harbour", "hill")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happens to one order."""

    at: datetime
    verb: Literal["create", "update", "delete"]
    key: str
    values: dict[str, Any]


class Shop:
    """Makes orders and their lives. `number` counts on over all days, so that keys never repeat."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a story, no secret
        self._number = 1000

    def history(self, until: datetime, count: int) -> list[dict[str, Any]]:
        """Orders of the weeks before, all settled."""
        span = 40 * 86400.0
        moments = sorted(self._random.uniform(0, span) for _ in range(count))
        orders = []
        for moment in moments:
            order = self._order(until - timedelta(seconds=span - moment) - timedelta(days=1))
            order["status"] = self._random.choice(("shipped", "shipped", "shipped", "refunded"))
            orders.append(order)
        return orders

    def day(self, start: datetime, count: int) -> list[Step]:
        """One day's steps, in time: `count` new orders, spread as a shop's day is."""
        moments = [start + timedelta(hours=24 * self._random.triangular(0, 1, 0.65)) for _ in range(count)]
        return self._lives(moments, start + timedelta(days=1))

    def rush(self, start: datetime, end: datetime, count: int, until: datetime) -> list[Step]:
        """Orders of a sale, between two times."""
        return self._lives([start + (end - start) * self._random.random() for _ in range(count)], until)

    def _lives(self, moments: list[datetime], until: datetime) -> list[Step]:
        steps = [step for moment in sorted(moments) for step in self._life(moment) if step.at < until]
        return sorted(steps, key=lambda step: step.at)

    def _life(self, moment: datetime) -> Iterator[Step]:
        order = self._order(moment)
        key = order["id"]
        yield Step(at=moment, verb="create", key=key, values=order)
        fate = self._random.random()
        if fate < 0.02:
            yield Step(at=moment + self._wait(5, 60), verb="delete", key=key, values={})
            return
        if fate < 0.08:
            yield self._update(key, "cancelled", moment + self._wait(1, 90))
            return
        paid = moment + self._wait(1, 20)
        yield self._update(key, "paid", paid)
        yield self._update(key, "shipped", paid + self._wait(120, 1200))

    def _update(self, key: str, status: str, at: datetime) -> Step:
        at = at.replace(microsecond=0)
        return Step(at=at, verb="update", key=key, values={"status": status, "updated_at": iso(at)})

    def _wait(self, low: float, high: float) -> timedelta:
        return timedelta(minutes=self._random.uniform(low, high))

    def _order(self, moment: datetime) -> dict[str, Any]:
        self._number += 1
        currency = self._random.choice(CURRENCIES)
        amount = self._random.randrange(900, 24_000)
        at = iso(moment.replace(microsecond=0))
        return {
            "id": f"ord_{self._number}",
            "status": "pending",
            "amount": amount if currency != "JPY" else amount // 100 * 100,
            "currency": currency,
            "customer": {"id": f"cus_{self._random.randrange(400):03d}"},
            "supplier": self._random.choice(SUPPLIERS),
            "created_at": at,
            "updated_at": at,
        }
