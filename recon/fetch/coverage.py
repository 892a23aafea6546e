"""The certificate of coverage: what a fetch is proven to contain. Without it, absence is never inferred."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PartProof:
    """One partition as the certificate tells it. `low` and `high` are its half-open range as people read it; None is open."""

    name: str
    pages: int
    records: int
    #: The end's proof, or why there is none.
    proof: str
    ended: bool
    low: str | None = None
    high: str | None = None
    unreadable: int = 0
    restarts: int = 0


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
    #: Partitions that were begun, and those whose end is proven.
    planned: int = 1
    finished: int = 0
    #: The partitions, the unfinished ones first; the first 200.
    parts: tuple[PartProof, ...] = ()
    #: What was asked for, the same from the first page to the last: `account`, `credential`, `api_version`, `filters`, as the provider has them.
    scope: Mapping[str, str] = field(default_factory=dict)
    #: What the fetch came through on the way: a filter that was ignored, pages made smaller, a listing that shifted.
    notes: tuple[str, ...] = ()
    #: The way out, where it is partial and what failed knows one.
    hint: str = ""

    def verdict(self) -> str:
        """`whole`, `whole but for N unreadable`, or `partial (why)`."""
        if not self.whole:
            return f"partial ({self.proof})"
        return "whole" if not self.unreadable else f"whole but for {self.unreadable:,} unreadable"
