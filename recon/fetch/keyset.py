"""Keyset: where a listing goes on from a key, and the item of that key is gone, its place is found again by the items before it.

A third party either refuses such a key, or begins the listing anew without a word. The second shows where the rows have an order: the
page then begins before the row that the last one ended with.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from recon.fetch.cut import Cut, column_of, key_of, keys_of
from recon.fetch.edges import place
from recon.fetch.paging import LastId
from recon.fetch.resource import Resource
from recon.fetch.rule import Ask

TELLING = 3
"""Rows of a first page that tell an order; two are in one by chance."""

BACK = (1, 2, 4, 8)
"""How many items further back the place is asked for, one after another: what stands side by side may be deleted together."""


def earlier(ask: Ask, resource: Resource) -> Iterator[tuple[Ask, frozenset[str]]]:
    """The requests that lead to the same place, and the keys of what they may bring once more; none where it does not go on from a key."""
    rule = resource.paging
    if not isinstance(rule, LastId) or rule.param not in ask.params or not ask.before:
        return
    for back in dict.fromkeys(min(back, len(ask.before)) for back in BACK):
        known = frozenset((*ask.before[len(ask.before) - back + 1 :], str(ask.params[rule.param])))
        yield replace(ask, params={**ask.params, rule.param: ask.before[-back]}), known


def without_known(cut: Cut, known: frozenset[str], key: str) -> Cut:
    """The page without the items at its beginning that an earlier one had."""
    first = next((at for at, item in enumerate(cut.items) if key_of(item, key) not in known), len(cut.items))
    return replace(cut, items=cut.items[first:]) if first else cut


def remembered(ask: Ask, following: Ask, items: Sequence[bytes], resource: Resource) -> Ask:
    """The next request with the keys of the items before the one that it goes on from, and with the order of the rows."""
    if not isinstance(resource.paging, LastId):
        return following
    cursor = ask.params.get(resource.paging.param) if ask.page > 1 else None
    told = [*ask.before, *([] if cursor is None else [str(cursor)])]
    came = [key for key in keys_of(items[-BACK[-1] - 1 :], resource.key) if key is not None]
    behind = [key for key in (*told, *came) if key != str(following.params[resource.paging.param])]
    order = _order(_places(items, resource)) if ask.page == 1 else ask.order
    edge = _places(items[-1:], resource) if order else [None]
    return replace(following, before=tuple(behind[-BACK[-1] :]), order=order, edge=edge[0] if edge else ask.edge)


def astray(ask: Ask, items: Sequence[bytes], resource: Resource) -> bool:
    """Whether a page begins before the row that it was to go on from."""
    if not ask.order or ask.edge is None or not items:
        return False
    first: Any = _places(items[:1], resource)[0]
    if isinstance(first, str) != isinstance(ask.edge, str) or first is None:
        return False
    return bool(first < ask.edge if ask.order > 0 else first > ask.edge)


def is_there(ask: Ask, items: Sequence[bytes], resource: Resource) -> bool:
    """Whether the item that the page goes on from still is, by a page that begins a little before it."""
    assert isinstance(resource.paging, LastId)
    return str(ask.params[resource.paging.param]) in keys_of(items[: BACK[-1] + 1], resource.key)


def _order(places: Sequence[float | str | None]) -> int:
    """1 where they rise, -1 where they fall; 0 where they do neither, or are too few or of several kinds."""
    there: list[Any] = [one for one in places if one is not None]
    if len(there) < max(TELLING, len(places)) or len({isinstance(one, str) for one in there}) > 1 or there[0] == there[-1]:
        return 0
    if all(one <= following for one, following in pairwise(there)):
        return 1
    return -1 if all(one >= following for one, following in pairwise(there)) else 0


def _places(items: Sequence[bytes], resource: Resource) -> list[float | str | None]:
    """Where rows stand in the order of the listing: by the field of its ranges, which is set once, else by their keys."""
    ranges = resource.ranges
    if ranges is not None:
        return [place(value, ranges.form) for value in column_of(items, ranges.at)]
    return [int(key) if key is not None and key.isascii() and key.isdigit() else key for key in keys_of(items, resource.key)]
