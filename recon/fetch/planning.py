"""Planning: how a listing is cut into parts as it goes: ranges sized by what was found so far, shards, and further passes.

Each planner answers from the parts that were begun or ended, and from them alone: an interrupted fetch goes on with the very same ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from recon.fetch.edges import DAY, shown
from recon.fetch.listing import Listing
from recon.fetch.narrowing import Ranges, Shards
from recon.fetch.partition import WHOLE, Part, Partition, Planner
from recon.fetch.resource import Resource

#: The first range, in seconds or ids; how much wider than the one before the next may be.
FIRST_SECONDS, FIRST_IDS, WIDER = 7 * DAY, 5_000, 4
#: A listing whose `start` is not declared is taken to reach back so far, where it is judged how much is left.
HORIZON = 3_653 * DAY
#: What a page is taken to hold before one was seen.
ITEMS_A_PAGE = 100
#: The parts grow twice as large after so many, and after so many the rest is one.
GROW_EVERY, MOST_PARTS = 500, 2_000
#: No id is looked for above it one range after another: what is there belongs to the range that is open above.
MOST_ID = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class RangePlan:
    """Ranges of one field that meet from open to open.

    Of a time: downwards from `now`, a moment before the fetch began, the topmost range open above; the last one, below `start`, or
    below the moment under which no more than one part's worth can be expected, is open below. Of an id: upwards, the first range open below,
    the last one open above, after a range that held nothing. A range is as wide as the one last landed at that edge says that it should be to
    hold `ranges.pages` pages, at most four times as wide as that one was.
    """

    ranges: Ranges
    #: Seconds since 1970; where the plan begins, if it is one of times.
    now: int
    ranged: bool = True

    def following(self, parts: Sequence[Part]) -> Partition | None:
        """As of `Planner`."""
        upwards = self.ranges.form == "integer"
        if not parts:
            return (
                self._between(None, self.ranges.start + FIRST_IDS)
                if upwards
                else self._between(self._aligned(self.now - FIRST_SECONDS), None)
            )
        inner = sorted(parts, key=lambda part: _key(part.partition), reverse=not upwards)
        last = inner[-1]
        edge = last.partition.high if upwards else last.partition.low
        if edge is None or not (all(map(_over, parts)) or any(map(_long, parts))):
            # The plan is at its end; or nothing shows yet that there is enough for two.
            return None
        width = self._width(inner)
        if upwards:
            # With several on their way the last one is seldom over: the highest that is says whether there is more.
            top = next((part for part in reversed(inner[1:]) if part.proof is not None), None)
            closing = len(parts) >= MOST_PARTS or (top is not None and not _rows(top)) or edge + width >= MOST_ID
            return self._between(edge, None if closing else edge + width)
        low = self._aligned(edge - width)
        closing = len(parts) >= MOST_PARTS or low <= self.ranges.start or self._little_left(inner, edge)
        return self._between(None if closing else low, edge)

    def split(self, partition: Partition) -> tuple[Partition, Partition] | None:
        """Two ranges for one that is too wide; None where it is too narrow to be cut."""
        middle = self.middle(partition)
        return None if middle is None else (self._between(partition.low, middle), self._between(middle, partition.high))

    def middle(self, partition: Partition) -> int | None:
        """Where a range that is too wide is cut in two; of one that is open, as if it began at `start`, or ended now. None where it is too narrow."""
        low = self._floor if partition.low is None else partition.low
        high = (
            partition.high if partition.high is not None else (max(2 * low, low + FIRST_IDS) if self.ranges.form == "integer" else self.now)
        )
        middle = (low + high) // 2
        if self.ranges.form != "integer" and (low < self._aligned(middle) or self.ranges.form == "date"):
            middle = self._aligned(middle)
        return middle if low < middle < high else None

    @property
    def _floor(self) -> int:
        """What is taken for the lowest value."""
        return self.ranges.start or (0 if self.ranges.form == "integer" else self.now - HORIZON)

    def _width(self, inner: Sequence[Part]) -> int:
        """How wide the next range should be."""
        nearest = next((part for part in reversed(inner) if _over(part)), None)
        if nearest is None:
            return self._wide(inner[-1])
        wide, rows = self._wide(nearest), _rows(nearest)
        return max(1, min(wide * WIDER, wide * self._target(inner) // rows)) if rows else wide * WIDER

    def _wide(self, part: Part) -> int:
        """The width of a part; of one that is open at one end, the width that it was planned with."""
        low, high = part.partition.low, part.partition.high
        if low is not None and high is not None:
            return high - low
        if self.ranges.form == "integer":
            return max(1, high - self.ranges.start) if high is not None else FIRST_IDS
        return FIRST_SECONDS

    def _little_left(self, inner: Sequence[Part], edge: int) -> bool:
        """Whether the rest is no more than a part's worth, if it lies as thinly as what was landed; one row more than that is counted."""
        if not all(map(_over, inner)):
            return False
        seen = sum(map(self._wide, inner))
        rest = edge - self._floor
        return (sum(map(_rows, inner)) + 1) * rest <= self._target(inner) * seen

    def _target(self, inner: Sequence[Part]) -> int:
        """Rows that a part should have."""
        full = max((_rows(part) // part.pages for part in inner if part.pages > 1), default=0)
        return (self.ranges.pages << len(inner) // GROW_EVERY) * (full or ITEMS_A_PAGE)

    def _aligned(self, value: int) -> int:
        """Dates are asked for by whole days; other times meet at whole minutes, which read better."""
        step = DAY if self.ranges.form == "date" else 60
        return value // step * step

    def _between(self, low: int | None, high: int | None) -> Partition:
        form = self.ranges.form
        first, last = (None if end is None else shown(end, form) for end in (low, high))
        words = f"before {last}" if first is None else f"from {first} on" if last is None else f"{first} to {last}"
        return Partition(name=f"{self.ranges.at} {words}", low=low, high=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardPlan:
    """One part for each declared value of a field."""

    shards: Shards
    ranged: bool = False

    def following(self, parts: Sequence[Part]) -> Partition | None:
        """As of `Planner`."""
        begun = {part.partition.shard for part in parts}
        value = next((value for value in self.shards.values if value not in begun), None)
        if value is None:
            return None
        return Partition(name=f"{self.shards.param} = {value}", params={self.shards.param: value}, shard=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassPlan:
    """The whole listing several times, one pass after another. A listing of one page is one answer, of one moment, and needs no second."""

    passes: int
    ranged: bool = False

    def following(self, parts: Sequence[Part]) -> Partition | None:
        """As of `Planner`."""
        if not parts:
            return Partition(name=WHOLE)
        last = max(parts, key=lambda part: part.partition.turn)
        if last.proof is None or last.pages <= 1 or last.partition.turn >= self.passes:
            return None
        turn = last.partition.turn + 1
        return Partition(name=f"pass {turn}", turn=turn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """The parts of another plan, each passed over several times, where their pages shift while items come and go.

    A part's next pass begins once the one before has ended. Where every part is one page, each is one answer of one moment: ranges need
    no second one then. Shards do, since what was in one of them may be in another by the time that is asked for.
    """

    inner: RangePlan | ShardPlan
    passes: int

    @property
    def ranged(self) -> bool:
        """As of `Planner`."""
        return self.inner.ranged

    def following(self, parts: Sequence[Part]) -> Partition | None:
        """As of `Planner`."""
        first = [part for part in parts if part.partition.turn == 1]
        following = self.inner.following(first)
        if following is not None:
            return following
        if not (any(map(_long, first)) or (not self.ranged and len(first) > 1)):
            return None
        for part in parts:
            turn = part.partition.turn + 1
            if part.proof is not None and turn <= self.passes and not any(_covers(part.partition, one.partition, turn) for one in parts):
                return _turned(part.partition, turn)
        return None

    def split(self, partition: Partition) -> tuple[Partition, Partition] | None:
        """As the other plan cuts it, within its pass."""
        halves = self.inner.split(partition) if isinstance(self.inner, RangePlan) else None
        return None if halves is None else (_turned(halves[0], partition.turn), _turned(halves[1], partition.turn))


def _covers(whole: Partition, one: Partition, turn: int) -> bool:
    """Whether `one` is of this pass, and is the ground of `whole` or a piece of it."""
    if one.turn != turn or one.shard != whole.shard:
        return False
    (low, high), (from_, to) = _key(whole), _key(one)
    return low <= from_ and to <= high


def _turned(partition: Partition, turn: int) -> Partition:
    """The same ground in another pass."""
    name = partition.name.removesuffix(f", pass {partition.turn}")
    return replace(partition, name=name if turn == 1 else f"{name}, pass {turn}", turn=turn)


def planner_of(resource: Resource, listing: Listing, *, lag: float) -> Planner | None:
    """How a listing is cut: by its ranges, its shards, or passes over the whole; parts whose pages shift are passed over several times. None: in one.

    A job that gives a bound or a shard's parameter itself cuts the listing its own way, and then it is fetched in one.
    """
    given = {**resource.params, **listing.params}
    ranges, shards = (None, None) if listing.serial else (resource.ranges, resource.shards)
    if ranges is not None and not {ranges.low, ranges.high} & given.keys():
        # Not before the lag: what a listing may not show yet belongs to the part that is open above.
        cut: RangePlan | ShardPlan = RangePlan(ranges=ranges, now=int(listing.clock.now().timestamp() - lag))
        return Repeated(inner=cut, passes=resource.turns) if resource.turns > 1 else cut
    if shards is not None and shards.param not in given:
        cut = ShardPlan(shards=shards)
        return Repeated(inner=cut, passes=resource.turns) if resource.turns > 1 else cut
    return PassPlan(passes=resource.turns) if resource.turns > 1 else None


def _over(part: Part) -> bool:
    return part.proof is not None or part.failed is not None


def _long(part: Part) -> bool:
    """Whether it has more than one page: a page came, and it was not the last."""
    return part.pages > 1 or (part.pages == 1 and not _over(part))


def _rows(part: Part) -> int:
    return part.items + part.unreadable


def _key(partition: Partition) -> tuple[float, float]:
    low = -float("inf") if partition.low is None else partition.low
    return low, float("inf") if partition.high is None else partition.high
