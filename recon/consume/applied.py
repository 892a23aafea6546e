"""What became of one event at the application's end."""

from dataclasses import dataclass, field
from enum import StrEnum


class AppliedKind(StrEnum):
    """The answers of `Applier.apply` and of the doors for ordinary webhooks."""

    #: The row is now as the event wants it.
    APPLIED = "applied"
    #: It was so already; nothing was written.
    ALREADY = "already"
    #: As ALREADY, and the side effect ran, or was had elsewhere, when this id came before.
    SEEN = "seen"
    #: Something newer is known; nothing was written.
    OLDER = "older"
    #: The row is not as the event expects it, and nothing says which of the two is newer: recorded, and left to the next night.
    CONFLICT = "conflict"
    #: It cannot be understood or does not fit: kept in the table of dead letters.
    DEAD = "dead"
    #: Of several only: its effect raised, the database did not take it, or it comes behind such a one. Nothing of it was written; give it again.
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """One event's answer; `reason` is for people, `effect` whether its side effect ran in this transaction."""

    kind: AppliedKind
    id: str = ""
    key: str = ""
    reason: str = ""
    effect: bool = False
    #: Of a FAILED that is not merely behind another, what was raised: an SQLAlchemyError, or EffectFailed with its cause.
    error: Exception | None = field(default=None, repr=False, compare=False)

    @property
    def taken(self) -> bool:
        """Whether there is nothing left to be done about it: everything but CONFLICT, DEAD and FAILED."""
        return self.kind not in {AppliedKind.CONFLICT, AppliedKind.DEAD, AppliedKind.FAILED}
