"""An event type that is raised to a second version while the world lives: what was `amount` is called `total` in it."""

from collections.abc import Mapping
from typing import Any

NAMES = ("amount", "total")
"""The field's name in the first version and in the second."""

LASTS = 3
"""For so many days after the day on which it is raised, the first version is still sent."""


def raised(data: Mapping[str, Any]) -> dict[str, Any]:
    """Data of the first version as data of the second."""
    return _renamed(data, *NAMES)


def lowered(data: Mapping[str, Any]) -> dict[str, Any]:
    """The way back."""
    return _renamed(data, *reversed(NAMES))


def read_by_all(event: dict[str, Any]) -> dict[str, Any]:
    """The event in the words of the first version, whichever it is in."""
    return {**event, "data": lowered(event["data"])} if event.get("dataversion") == 2 else event


def _renamed(data: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    def record(held: Any) -> Any:
        return {new if name == old else name: value for name, value in held.items()} if isinstance(held, dict) else held

    changed = [new if name == old else name for name in data.get("changed") or ()]
    return {**data, "state": record(data.get("state")), "before": record(data.get("before")), "changed": changed}
