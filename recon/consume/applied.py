"""What became of one event at the application's end."""

from dataclasses import dataclass
from enum import StrEnum


class AppliedKind(StrEnum):
    """The answers of `Applier.apply` and of the doors for ordinary webhooks."""

    #: The row is now as the event wants it.
    APPLIED = "applied"
    #: It was so already; nothing was written.
    ALREADY = "already"
    #: As ALREADY, and the side effect ran when this id came before.
    SEEN = "seen"
    #: Something newer is known; nothing was written.
    OLDER = "older"
    #: The row is not as the event expects it, and nothing says which of the two is newer: recorded, and left to the next night.
    CONFLICT = "conflict"
    #: It cannot be understood or does not fit: kept in the table of dead letters.
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """One event's answer; `reason` is for people, `effect` whether its side effect ran in this transaction."""

    kind: AppliedKind
    id: str = ""
    key: str = ""
    reason: str = ""
    effect: bool = False

    @property
    def taken(self) -> bool:
        """Whether there is nothing left to be done about it: everything but CONFLICT and DEAD."""
        return self.kind not in {AppliedKind.CONFLICT, AppliedKind.DEAD}
