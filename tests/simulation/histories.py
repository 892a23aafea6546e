"""Histories that are put together by hand: a true night, a calm one after it, and what they are made of."""

import json
from typing import Any

from recon.testing.simulation.oracle import Facts
from recon.testing.simulation.oracle.facts import Delivery, Ended, RunRow, Shown
from recon.testing.simulation.oracle.history import History

FIELDS = ("status", "amount")
DAY = 86_400.0
BEGAN, SENT, ENDED = 100.0, 300.0, 310.0


def paid(version: int = 1, amount: int = 100) -> dict[str, Any]:
    return {"status": "paid", "amount": amount, "currency": "EUR", "version": version}


def event(key: str = "k1", op: str = "updated", *, run: str = "R1", state: Any = None, before: Any = None) -> dict[str, Any]:
    data = {"op": op, "key": key, "state": state, "before": before}
    return {"type": f"orders.{op}", "source": "/recon/world/orders", "reconrunid": run, "data": data}


def delivery(told: dict[str, Any], **changes: Any) -> Delivery:
    values = {"at": SENT, "process": 1, "domain": "orders", "id": "E1", "emission": 1, "outcome": "confirmed", "call": 1, **changes}
    return Delivery(event=told, body=changes.get("body", json.dumps(told).encode()), **{k: v for k, v in values.items() if k != "body"})


def ended(**changes: Any) -> Ended:
    values = {"process": 1, "began": BEGAN, "ended": ENDED, "domain": "orders", "order": "run", "how": "ended", "fields": FIELDS}
    return Ended(**{**values, "verdict": "discrepancies", "run": "R1", "figures": {}, **changes})


def row(run: str = "R1", **changes: Any) -> RunRow:
    values = {"id": run, "domain": "orders", "state": "done", "slot": run, "started": BEGAN, "dry": False, "key": None}
    return RunRow(**{**values, **changes})


def shown(at: float, *items: tuple[str, Any], place: str = "listing", fault: str = "") -> Shown:
    return Shown(at=at, process=1, domain="orders", place=place, fault=fault, items=items)


def night() -> Facts:
    """A true night: k1 is behind in the target, is looked at twice, told, and corrected; k2 is alike."""
    facts = Facts(source={"orders": History()}, target={"orders": History()})
    source, target = facts.source["orders"], facts.target["orders"]
    for key in ("k1", "k2"):
        source.put(0.0, key, paid())
        target.put(0.0, key, paid())
    source.put(50.0, "k1", paid(2, 200))
    target.put(SENT, "k1", paid(2, 200))
    facts.rows["R1"] = row()
    facts.shown = [shown(110.0, ("k1", paid(2, 200)), ("k2", paid())), shown(250.0, ("k1", paid(2, 200)), place="item")]
    facts.deliveries = [delivery(event(state=paid(2, 200), before=paid()))]
    facts.ended = [ended(figures={"changed": 1})]
    facts.fences = {"orders": [1, 2, 2]}
    return facts


def calm(facts: Facts) -> Facts:
    """And then a night on which nothing goes wrong."""
    facts.calm = DAY
    facts.rows["R2"] = row("R2", started=DAY + 100)
    facts.ended.append(ended(began=DAY + 100, ended=DAY + 110, verdict="clean", run="R2", process=2))
    return facts
