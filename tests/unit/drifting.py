"""A third party whose listing shifts under the reader: before every answer the next moves of its script are made."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from recon.fetch.paging import CursorInBody, LastId, Offset, PageNumber, Paginator
from recon.fetch.transport import Request, Response

RULES: dict[str, Paginator] = {
    "offset by total": Offset(param="offset", total="meta.total"),
    "offset by more": Offset(param="offset", more="more"),
    "page by pages": PageNumber(param="page", total_pages="meta.pages"),
    "page by more": PageNumber(param="page", more="more"),
    "last id": LastId(param="after", more="more"),
    "cursor": CursorInBody(param="cursor", at="meta.next"),
}
DRIFTING = frozenset({"offset by total", "offset by more", "page by pages", "page by more"})
"""Those whose pages are counted, so that what stands still may be shown twice, or never."""

Move = tuple[str, int]
"""`insert`, `delete`, `update` (of the nth living item), `clamp` (to so many items a page), `reorder` (within pages, where 1)."""


@dataclass(slots=True)
class Drifting:
    """The records by place, which grows with each insertion and is never used again. `script` has the moves before each request in turn.

    A listing can be narrowed by `from` and `to`, and by `half`.
    """

    rule: str
    records: dict[int, int]
    size: int
    newest: bool
    script: Sequence[Sequence[Move]]
    #: Places that a move touched since the first request.
    touched: set[int] = field(default_factory=set)
    #: Places that a page of the listing held.
    shown: set[int] = field(default_factory=set)
    #: What the latest read by id said of a place: its amount, or None.
    read: dict[int, int | None] = field(default_factory=dict)
    reordered: bool = False
    requests: int = 0

    def send(self, request: Request) -> Response:
        """As of `recon.fetch.transport.Transport`."""
        if self.requests < len(self.script):
            for move in self.script[self.requests]:
                self._move(*move)
        self.requests += 1
        _, _, *rest = request.path.split("/")
        if not rest:
            return _json(200, self._page({name: str(value) for name, value in request.query.items()}))
        place = int(rest[0][1:])
        self.read[place] = self.records.get(place)
        return _json(404, {"error": "no such item"}) if place not in self.records else _json(200, record(place, self.records[place]))

    def close(self) -> None:
        """Nothing is open."""

    def _move(self, what: str, which: int) -> None:
        living = sorted(self.records)
        if what == "clamp":
            self.size = max(1, which % 4)
        elif what == "reorder":
            # An API that is asked for what comes after an id keeps its order: it is nothing without it.
            self.reordered = bool(which % 2) and self.rule != "last id"
        elif what == "insert":
            place = max((*self.records, *self.touched), default=0) + 1
            self.records[place] = which
            self.touched.add(place)
        elif living:
            place = living[which % len(living)]
            self.touched.add(place)
            if what == "delete":
                del self.records[place]
            else:
                self.records[place] += 1

    def _page(self, query: dict[str, str]) -> object:
        low, high = int(query.get("from", 0)), int(query.get("to", 1 << 62))
        places = [
            place
            for place in sorted(self.records, reverse=self.newest)
            if low <= place < high and query.get("half", half(place)) == half(place)
        ]
        count = len(places)
        start = int(query["offset"]) if "offset" in query else (int(query["page"]) - 1) * self.size if "page" in query else 0
        after = next((int(query[name].lstrip("k")) for name in ("after", "cursor") if name in query), None)
        if after is not None:
            places = [place for place in places if (place < after if self.newest else place > after)]
        part, more = places[start : start + self.size], len(places) > start + self.size
        self.shown.update(part)
        following = str(part[-1]) if part and more else None
        rows = [record(place, self.records[place]) for place in (reversed(part) if self.reordered else part)]
        pages = max(1, -(-count // self.size))
        return {"data": rows, "more": more, "meta": {"total": count, "pages": pages, "next": following}}


def key_of(place: int) -> str:
    """The key of the item at this place."""
    return f"k{place:03d}"


def record(place: int, amount: int) -> dict[str, object]:
    """The item as the third party writes it."""
    return {"id": key_of(place), "place": place, "half": half(place), "amount": amount}


def half(place: int) -> str:
    """The shard that the item at this place belongs to."""
    return "odd" if place % 2 else "even"


def differences(source: dict[int, int], target: dict[int, int], places: Iterable[int]) -> dict[str, str]:
    """What a comparison has to find at these places: the kind by key."""
    found = {}
    for place in places:
        one, other = source.get(place), target.get(place)
        if one != other:
            found[key_of(place)] = "missing" if other is None else "extra" if one is None else "changed"
    return found


def _json(status: int, document: object) -> Response:
    body = json.dumps(document).encode()
    return Response(status=status, headers={"content-type": "application/json"}, body=body, wire_bytes=len(body))
