"""What became of events, counted: each once, in the newest version, and the older versions beside."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from recon.outbox.telling import NEWEST
from recon.publishers.base import Outcome, OutcomeKind
from recon.report.figures import DeliveryFigure, OlderFigure


class Counts:
    """Outcomes by the line that their rows stood in."""

    def __init__(self) -> None:
        self._found: Counter[tuple[int, str]] = Counter()

    def add(self, lane: int, outcome: Outcome) -> None:
        """One more."""
        self._found[lane, outcome.kind.value] += 1
        self._found[lane, "duplicate"] += outcome.duplicate

    @property
    def taken(self) -> bool:
        """Whether anything was confirmed."""
        return any(count for (_, kind), count in self._found.items() if kind == OutcomeKind.CONFIRMED.value)

    def figure(self, name: str, waiting: Mapping[int, int], reason: str) -> DeliveryFigure:
        """All of it, beside what is still `waiting` in each line."""
        lanes = {*(lane for lane, _ in self._found), *(lane for lane, count in waiting.items() if count)} - {NEWEST}
        older = tuple(OlderFigure(version=lane, **self._of(lane, waiting)) for lane in sorted(lanes, reverse=True))
        return DeliveryFigure(publisher=name, last_reason=reason, older=older, **self._of(NEWEST, waiting))

    def _of(self, lane: int, waiting: Mapping[int, int]) -> dict[str, Any]:
        return {
            "confirmed": self._found[lane, "confirmed"],
            "duplicates": self._found[lane, "duplicate"],
            "waiting": waiting.get(lane, 0),
            "dead": self._found[lane, "rejected"],
        }
