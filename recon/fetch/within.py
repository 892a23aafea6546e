"""Within: whether the rows of a page lie in the range or the shard that was asked for; what cannot be read is unread, never taken on trust."""

from collections.abc import Callable, Sequence
from typing import Any

from recon.errors import FilterIgnored
from recon.fetch.cut import SAMPLE, FieldReader
from recon.fetch.edges import SCALES, asked, place, shown
from recon.fetch.narrowing import Ranges, Shards
from recon.fetch.page import Unread
from recon.fetch.partition import Partition
from recon.fetch.session import wire

#: A page of so many rows, not one of which shows its value, says that the filter cannot be checked at all.
TELLING = 5

Checked = tuple[list[bytes], tuple[Unread, ...]]
Check = Callable[[Sequence[bytes], str], Checked]


def check_of(partition: Partition, ranges: Ranges | None, shards: Shards | None) -> Check | None:
    """What holds a page's rows against its partition: answers those that belong to it and those that cannot be read.

    Raises FilterIgnored where a row that can be read lies outside of what was asked for. None where there is nothing to hold them against.
    """
    if partition.ranged and ranges is not None:
        return _InRange(ranges, partition)
    if partition.shard is not None and shards is not None and shards.at is not None:
        return _InShard(shards.at, partition.shard)
    return None


class _InRange:
    def __init__(self, ranges: Ranges, partition: Partition) -> None:
        self._ranges = ranges
        self._column = FieldReader(ranges.at).column
        self._low, self._high = _ends(partition.low, partition.high)
        self._asked_low, self._asked_high = _ends(*asked(ranges, partition))
        self._range = partition
        scale = SCALES.get(ranges.form)
        #: The range in the field's own numbers, where it is one of numbers.
        self._numbers = None if scale is None else (self._low * scale, self._high * scale)

    def __call__(self, items: Sequence[bytes], subject: str) -> Checked:
        kept: list[bytes] = []
        unread: list[Unread] = []
        form, low, high = self._ranges.form, self._low, self._high
        values = self._column(items)
        if self._all_lie_within(values):
            return list(items), ()
        for item, value in zip(items, values, strict=True):
            at = place(value, form)
            if at is None:
                unread.append(
                    Unread(raw=item[:SAMPLE], why=f"{self._ranges.at} holds no {_words(form)}, so nothing says which range it lies in")
                )
            elif low <= at < high:
                kept.append(item)
            elif not self._asked_low <= at < self._asked_high:
                raise self._ignored(value, subject)
        if len(unread) == len(items) >= TELLING:
            msg = f"{subject}: not one of {len(items):,} rows has a readable {self._ranges.at}, so nothing shows that they lie in the range asked for"
            raise FilterIgnored(msg, hint="ranges.at is the dotted path of the field that ranges.low and ranges.high bound")
        return kept, tuple(unread)

    def _all_lie_within(self, values: Sequence[Any]) -> bool:
        """Whether they are whole numbers, each in the range: so it is with nearly every page, and then the ends say it of all."""
        if self._numbers is None or set(map(type, values)) != {int}:
            return False
        return bool(self._numbers[0] <= min(values) and max(values) < self._numbers[1])

    def _ignored(self, value: object, subject: str) -> FilterIgnored:
        low, high = (None if end is None else shown(end, self._ranges.form) for end in (self._range.low, self._range.high))
        asked_for = f"before {high}" if low is None else f"from {low} on" if high is None else f"from {low} to {high}"
        msg = f"{subject}: a row with {self._ranges.at} = {str(value)[:40]!r} came, where those {asked_for} were asked for"
        return FilterIgnored(msg, hint=f"{self._ranges.low} and {self._ranges.high} are not honoured; take ranges out of the resource")


class _InShard:
    def __init__(self, at: str, wanted: str) -> None:
        self._at = at
        self._wanted = wanted
        self._column = FieldReader(at).column

    def __call__(self, items: Sequence[bytes], subject: str) -> Checked:
        kept: list[bytes] = []
        unread: list[Unread] = []
        for item, value in zip(items, self._column(items), strict=True):
            if isinstance(value, str | int | float):
                if wire(value) != self._wanted:
                    msg = f"{subject}: a row with {self._at} = {wire(value)[:40]!r} came, where those with {self._wanted!r} were asked for"
                    raise FilterIgnored(msg, hint="the parameter of shards is not honoured; take shards out of the resource")
                kept.append(item)
            else:
                unread.append(Unread(raw=item[:SAMPLE], why=f"{self._at} holds no value, so nothing says which shard it belongs to"))
        if len(unread) == len(items) >= TELLING:
            msg = f"{subject}: not one of {len(items):,} rows has a readable {self._at}, so nothing shows that they are of the shard asked for"
            raise FilterIgnored(msg, hint="shards.at is the dotted path of the field that shards.param asks by")
        return kept, tuple(unread)


def _ends(low: int | None, high: int | None) -> tuple[float, float]:
    return -float("inf") if low is None else low, float("inf") if high is None else high


def _words(form: str) -> str:
    return {"integer": "whole number", "iso": "time", "date": "date"}.get(form, "time as a number")
