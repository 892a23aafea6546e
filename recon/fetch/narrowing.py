"""How a listing can be narrowed: to a range of one field, to a shard, to a page size, to a handful of keys. Declarations only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from recon.job import Scalar

PAGES_A_PART = 50

Form = Literal["epoch", "epoch_ms", "iso", "date", "integer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """The listing takes bounds on a field that is set once and never changes: a time of creation, a growing id.

    `at` is the field's dotted path in a record. `low` and `high` are the query parameters of the bounds: the lower one includes
    its value, the upper one excludes it; `high_includes=True` says of an API that its upper bound includes its value, as does
    `low_excludes=True` that its lower one does not. `form` is how both the field and the parameters write a value: whole seconds or
    milliseconds since 1970, ISO 8601 in UTC, a date, a whole number. `start` is the lowest value worth a part of its own; what lies
    below it is asked for as well, in one open part.
    """

    at: str
    low: str
    high: str
    form: Form = "epoch"
    start: int = 0
    low_excludes: bool = False
    high_includes: bool = False
    #: Pages that a part should have, about.
    pages: int = PAGES_A_PART


@dataclass(frozen=True, slots=True, kw_only=True)
class Shards:
    """The listing can be asked for one value of a field at a time, and the values declared here are all there are.

    `param` is the query parameter, `values` its values; `at` the dotted path in a record that must hold the value, where there is one.
    """

    param: str
    values: tuple[str, ...]
    at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSize:
    """The query parameter that asks for so many items a page. Told that a page is too large, it is halved, down to `least`."""

    param: str
    size: int
    least: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One request that reads several items by id.

    `path` is asked by GET with the keys in the query parameter `param` (once each, or joined by `join`), or by POST with `body`,
    a JSON template in which `"{keys}"` (whole) becomes the list of keys, or, with `each`, the list of `{each: key}`.
    `records` is the dotted path of the items in the answer, `size` the most keys that one request takes. Where the answer leaves a
    key out, `absent` says what that proves: `"not_found"`, or `"unknown"`: such a key is then read alone.
    """

    path: str
    records: str
    size: int
    param: str | None = None
    join: str | None = None
    body: Mapping[str, object] | None = None
    each: str | None = None
    params: Mapping[str, Scalar] = field(default_factory=dict)
    absent: Literal["not_found", "unknown"] = "unknown"
