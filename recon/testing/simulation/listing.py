"""How the third party's listing is cut into pages: the kinds of paging that APIs have, each with what it is known for."""

from dataclasses import dataclass
from typing import Any

from recon.testing.simulation.oracle.history import Values

RULES = {
    "last_id": 'rule = "last_id", param = "after", more = "has_more"',
    "cursor": 'rule = "cursor", param = "cursor", at = "meta.next"',
    "page": 'rule = "page", param = "page", total_pages = "meta.pages"',
    "offset": 'rule = "offset", param = "offset", total = "meta.total"',
}
"""What recon.toml says of each."""

DRIFTING = frozenset({"page", "offset"})
"""Those whose pages shift while items come and go."""


class Gone(Exception):
    """The place that is asked for is no more: the cursor has expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One page: its items, and the marks around them."""

    items: list[tuple[str, Values]]
    more: bool
    marks: dict[str, Any]


def cut(
    kind: str,
    rows: list[tuple[int, str, Values]],
    query: dict[str, str],
    *,
    size: int,
    places: dict[str, int],
    newest: bool,
    now: float,
    age: float,
) -> Cut:
    """The page that `query` asks for of `rows` (place, key, state; in the order of places). Cursors live `age` seconds. Raises Gone."""
    ordered = rows[::-1] if newest else rows
    if kind in DRIFTING:
        start = (int(query.get("page", "1")) - 1) * size if kind == "page" else int(query.get("offset", "0"))
        left = ordered[start:]
    else:
        after = _after(kind, query, places, now, age)
        left = [row for row in ordered if after is None or (row[0] < after if newest else row[0] > after)]
    part, more = left[:size], len(left) > size
    marks: dict[str, Any] = {"pages": max(1, -(-len(rows) // size)), "total": len(rows), "next": None}
    if kind == "cursor" and more:
        marks["next"] = f"{part[-1][0]}-{int(now)}"
    return Cut(items=[(key, state) for _, key, state in part], more=more, marks=marks)


def _after(kind: str, query: dict[str, str], places: dict[str, int], now: float, age: float) -> int | None:
    if kind == "last_id":
        if "after" not in query:
            return None
        if query["after"] not in places:
            raise Gone
        return places[query["after"]]
    if "cursor" not in query:
        return None
    place, _, issued = query["cursor"].partition("-")
    if now - float(issued or 0) > age:
        raise Gone
    return int(place)
