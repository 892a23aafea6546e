"""Keyset: where a listing goes on from a key, and the item of that key is gone, its place is found again by the items before it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from recon.fetch.cut import Cut, key_of, keys_of
from recon.fetch.paging import LastId
from recon.fetch.resource import Resource
from recon.fetch.rule import Ask

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
    """The next request with the keys of the items before the one that it goes on from."""
    if not isinstance(resource.paging, LastId):
        return following
    cursor = ask.params.get(resource.paging.param) if ask.page > 1 else None
    told = [*ask.before, *([] if cursor is None else [str(cursor)])]
    came = [key for key in keys_of(items[-BACK[-1] - 1 :], resource.key) if key is not None]
    behind = [key for key in (*told, *came) if key != str(following.params[resource.paging.param])]
    return replace(following, before=tuple(behind[-BACK[-1] :]))
