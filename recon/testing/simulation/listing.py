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


PARTS = {
    "": "",
    "ranges": 'ranges = { at = "born", low = "born_from", high = "born_before", form = "epoch", pages = 2 }\nparallel = 3\n',
    "shards": 'shards = { param = "region", values = ["eu", "us", "asia"], at = "region" }\nparallel = 2\n',
}
"""What recon.toml says of how a listing can be cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Which part of the listing is asked for: `low <= born < high`, or one shard; None is open."""

    low: int | None = None
    high: int | None = None
    shard: str | None = None

    @classmethod
    def of(cls, query: dict[str, str]) -> "Asking":
        """As the query says."""
        low, high = query.get("born_from"), query.get("born_before")
        return cls(low=None if low is None else int(low), high=None if high is None else int(high), shard=query.get("region"))

    @property
    def narrow(self) -> bool:
        """Whether it is less than the whole."""
        return (self.low, self.high, self.shard) != (None, None, None)

    def holds(self, born: int, region: str) -> bool:
        """Whether an item belongs to it."""
        above, below = self.low is None or self.low <= born, self.high is None or born < self.high
        return above and below and self.shard in (None, region)


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
    strict: bool = False,
) -> Cut:
    """The page that `query` asks for of `rows` (place, key, state; in the order of places). Cursors live `age` seconds; with `strict`, keys that are gone
    lead nowhere. Raises Gone.
    """
    ordered = rows[::-1] if newest else rows
    if kind in DRIFTING:
        start = (int(query.get("page", "1")) - 1) * size if kind == "page" else int(query.get("offset", "0"))
        left = ordered[start:]
    else:
        if strict and "after" in query and query["after"] not in {key for _, key, _ in rows}:
            raise Gone
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
