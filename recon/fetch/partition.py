"""Partition: one part of a listing that is fetched on its own, and the planner that cuts a listing into such parts as it goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from recon.job import Scalar

WHOLE = "whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A half-open range of one field, a shard, a file, or a further pass over the whole; as JSON it is written down before it is asked for.

    `name` is for people and unique within the listing. `low` and `high` bound a range, `low <= value < high`, in whole numbers: ids,
    or seconds since 1970; None is open. `params` are laid over the listing's own. `turn` counts the passes over the same ground, from 1.
    `shard` is what a shard's field must hold.
    """

    name: str = WHOLE
    low: int | None = None
    high: int | None = None
    params: Mapping[str, Scalar] = field(default_factory=dict)
    shard: str | None = None
    turn: int = 1

    @property
    def ranged(self) -> bool:
        """Whether it is a range: such a one can be split."""
        return self.low is not None or self.high is not None

    @property
    def narrowed(self) -> bool:
        """Whether it is a range or a shard, whose rows are in no other one of its turn."""
        return self.ranged or self.shard is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """How far one partition has come."""

    partition: Partition
    pages: int = 0
    items: int = 0
    unreadable: int = 0
    #: The end's proof in words; None while it is not proven.
    proof: str | None = None
    #: Why it will not be; None while it may.
    failed: str | None = None
    #: How often it was begun anew, since no cursor led on.
    restarts: int = 0
    last_at: datetime | None = None


class Planner(Protocol):
    """Cuts one listing into partitions that leave no gap and do not overlap.

    Must: answer from its arguments alone, so that an interrupted fetch goes on with the very partitions that were written down.
    May: have `split(partition)`, which cuts a range that turned out too wide in two that meet and together are it, or answers None;
    without it a closed range is cut in its middle, and an open one is not.
    """

    @property
    def ranged(self) -> bool:
        """Whether the partitions are half-open ranges whose ends must meet, from open to open."""
        ...

    def following(self, parts: Sequence[Part]) -> Partition | None:
        """The next partition to fetch, given those that were begun or ended; None where there is none to begin now.

        That no partition follows while none is under way is the end of the plan.
        """
        ...


def halves_of(partition: Partition) -> tuple[Partition, Partition] | None:
    """The two halves of a closed range; None for one that is open, or too narrow to be cut."""
    low, high = partition.low, partition.high
    if low is None or high is None or high - low < 2:
        return None
    middle = (low + high) // 2
    return (
        replace(partition, name=f"{partition.name} (first half)", high=middle),
        replace(partition, name=f"{partition.name} (second half)", low=middle),
    )
