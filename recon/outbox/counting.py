"""What became of events, counted: each once, in the newest version, and the older versions beside."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from recon.outbox.marking import Answered
from recon.outbox.telling import NEWEST
from recon.publishers.base import OutcomeKind
from recon.report.figures import DeliveryFigure, OlderFigure

SETTLED = frozenset({OutcomeKind.CONFIRMED, OutcomeKind.REJECTED})
"""After these an event waits no more."""


class Counts:
    """Outcomes by the line that their rows stood in."""

    def __init__(self) -> None:
        self._found: Counter[tuple[int, OutcomeKind]] = Counter()
        self._duplicates: Counter[int] = Counter()

    def add(self, answered: Iterable[Answered]) -> Counter[int]:
        """These too; answers how many of each line wait no more."""
        settled: Counter[int] = Counter()
        # Put together first, so that each event costs one step and not several.
        for (lane, kind, duplicate), count in Counter(
            [(one.row.lane, one.outcome.kind, one.outcome.duplicate) for one in answered]
        ).items():
            self._found[lane, kind] += count
            self._duplicates[lane] += count if duplicate else 0
            settled[lane] += count if kind in SETTLED else 0
        return settled

    @property
    def taken(self) -> bool:
        """Whether anything was confirmed."""
        return any(count for (_, kind), count in self._found.items() if kind is OutcomeKind.CONFIRMED)

    def figure(self, name: str, waiting: Mapping[int, int], reason: str) -> DeliveryFigure:
        """All of it, beside what is still `waiting` in each line."""
        lanes = {*(lane for lane, _ in self._found), *(lane for lane, count in waiting.items() if count)} - {NEWEST}
        older = tuple(OlderFigure(version=lane, **self._of(lane, waiting)) for lane in sorted(lanes, reverse=True))
        return DeliveryFigure(publisher=name, last_reason=reason, older=older, **self._of(NEWEST, waiting))

    def _of(self, lane: int, waiting: Mapping[int, int]) -> dict[str, Any]:
        return {
            "confirmed": self._found[lane, OutcomeKind.CONFIRMED],
            "duplicates": self._duplicates[lane],
            "waiting": waiting.get(lane, 0),
            "dead": self._found[lane, OutcomeKind.REJECTED],
        }
