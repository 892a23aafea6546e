"""The certificate of coverage: what a fetch is proven to contain. Without it, absence is never inferred."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What one fetch of one resource read, and whether that is the whole. Counts are of items, sizes in bytes."""

    provider: str
    resource: str
    #: True only with a positive end marker and no breach; everything that infers absence asks this.
    whole: bool
    #: The end marker in words, or why the fetch is partial.
    proof: str
    started_at: datetime
    finished_at: datetime
    pages: int = 0
    records: int = 0
    unreadable: int = 0
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    bytes: int = 0
    seconds: float = 0.0
    #: The API's own count, where it gives one.
    total: int | None = None
    #: True where pages of an interrupted fetch were taken over.
    resumed: bool = False

    def verdict(self) -> str:
        """`whole`, `whole but for N unreadable`, or `partial (why)`."""
        if not self.whole:
            return f"partial ({self.proof})"
        return "whole" if not self.unreadable else f"whole but for {self.unreadable:,} unreadable"
