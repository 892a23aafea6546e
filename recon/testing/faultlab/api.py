"""Api: a third party's list over a fixed set of records, served the way that a resource declares it; the other side of `recon.fetch.paging`."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from recon.fetch.document import KEY, filled
from recon.fetch.narrowing import Batch, Ranges
from recon.fetch.paging import CursorInBody, LastId, LinkHeader, NextUrlInBody, NextUrlInHeader, Offset, PageNumber, Single
from recon.fetch.path import ABSENT, at_path, segments
from recon.fetch.resource import Resource
from recon.fetch.rule import HEADER
from recon.testing.fault_server import Answer, Asked, page

Record = Mapping[str, Any]
RECORDS = "\0records\0"
POSITION = "_from"
BY_KEY = (LastId, CursorInBody, NextUrlInBody, NextUrlInHeader, LinkHeader)
BY_URL = (NextUrlInBody, NextUrlInHeader, LinkHeader)


@dataclass(slots=True, kw_only=True)
class Served:
    """A page that is about to be sent: faults change it before it is written. `rows` are items as they stand in the body.

    `keys` are of the records that the page brings. `following` leads to the next page, in the words of the paging rule: a key, or how
    many items come before it; None on the last. `total` and `pages` are counts as the API gives them.
    """

    number: int
    start: int
    size: int
    rows: list[bytes]
    keys: list[str]
    following: str | None
    total: Any
    pages: Any
    #: What stands in for a next URL, a flag, or a cursor, where a fault wants something there that is none.
    instead: Any = None
    #: False: the end marker is left out.
    marked: bool = True
    #: The body's array of records, where a fault wants something else there; RECORDS for the rows.
    array: Any = RECORDS
    before: bytes = b""

    @property
    def more(self) -> bool:
        """Whether the page says that another one follows."""
        return self.following is not None


@dataclass(slots=True, kw_only=True)
class Api:
    """One list at `base` + the resource's path, `size` items a page and never more than `most`, in the order of `records`.

    `records` may be changed between pages. `on_page` may change a page before it is written, `on_answer` the answer
    that was made of it, `on_item` the answer to a read by id.
    `sent` has every item that was ever written, as its bytes.
    """

    resource: Resource
    records: list[Record]
    base: str = "/"
    size: int = 4
    most: int | None = None
    #: Keys that a read by id answers as deleted: by 410, or by a body with what the resource's `deleted` says.
    deleted: set[str] = field(default_factory=set)
    #: Whether the parameters of ranges and shards are honoured.
    filters: bool = True
    #: Whether the list begins anew, without a word, where it is to go on from an item that is gone.
    forgets: bool = False
    on_page: Callable[[Asked, Served], None] = lambda _, __: None
    on_answer: Callable[[Asked, Served, Answer], Answer] = lambda _, __, answer: answer
    on_item: Callable[[Asked, Answer], Answer] = lambda _, answer: answer
    sent: set[bytes] = field(default_factory=set)
    _ranks: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def renamed(self, record: Record, key: str) -> Record:
        """The same record under another key."""
        copy: dict[str, Any] = json.loads(json.dumps(record))
        _plant(copy, self.resource.key, key)
        return copy

    def key(self, record: Record) -> str:
        """A record's key as text."""
        return str(at_path(record, self.resource.key))

    def __call__(self, asked: Asked) -> Answer:
        """The answer to one request: a page, an item, or 404."""
        if self.resource.get_body is not None and (key := self._wanted(asked)) is not None:
            return self.on_item(asked, self._item(key))
        if asked.path == self.place(self.resource.path):
            if asked.method != self.resource.method:
                return page({"error": {"message": "another method is wanted"}}, 405)
            return self._listing(asked if self.resource.body is None else in_query(asked))
        batch = self.resource.batch
        if batch is not None and asked.path == self.place(batch.path):
            return self.on_item(asked, self._several(asked, batch))
        key = self._named(asked.path)
        return page({"error": {"message": "no such place"}}, 404) if key is None else self.on_item(asked, self._item(key))

    def place(self, path: str) -> str:
        """Where a declared path stands on this server."""
        return path if path.startswith("/") else self.base + path

    # The listing.

    def served(self, asked: Asked) -> Served:
        """The page that a request asks for, before anything is done to it."""
        rule, query = self.resource.paging, asked.query
        self._ranked()
        rows = self._filtered(query)
        size = self._size(query)
        start = self._start(query, rows, size)
        if isinstance(rule, Single):
            size = max(1, len(rows))
        part = rows[start : start + size]
        ended = start + size >= len(rows) if not self._until_empty() else not part
        return Served(
            number=-(-start // size) + 1,
            start=start,
            size=size,
            rows=[json.dumps(row, separators=(",", ":")).encode() for row in part],
            keys=[self.key(row) for row in part],
            following=None if ended or isinstance(rule, Single) else self._following(part, start + size),
            total=len(rows),
            pages=-(-len(rows) // size),
        )

    def _listing(self, asked: Asked) -> Answer:
        # Parts of a list are asked for side by side, and a fault may change the records.
        with self._lock:
            served = self.served(asked)
            self.on_page(asked, served)
            self.sent.update(served.rows)
            return self.on_answer(asked, served, self._written(asked, served))

    def _ranked(self) -> None:
        """Gives each record its place in the order; one that is gone keeps it, as in every keyset."""
        keys = [self.key(record) for record in self.records]
        if all(key in self._ranks for key in keys):
            return
        order = sorted(self._ranks, key=self._ranks.__getitem__)
        for before, key in zip([None, *keys], keys, strict=False):
            if key not in self._ranks:
                order.insert(order.index(before) + 1 if before is not None else 0, key)
        self._ranks = {key: rank for rank, key in enumerate(order)}

    def _filtered(self, query: Mapping[str, str]) -> list[Record]:
        ranges, shards = self.resource.ranges, self.resource.shards
        rows = list(self.records)
        if not self.filters:
            return rows
        if ranges is not None:
            rows = [row for row in rows if within(row, query, ranges)]
        if shards is not None and shards.at is not None and shards.param in query:
            rows = [row for row in rows if str(at_path(row, shards.at)) == query[shards.param]]
        return rows

    def _size(self, query: Mapping[str, str]) -> int:
        rule = self.resource.paging
        size_param = rule.size_param if isinstance(rule, PageNumber) else rule.limit_param if isinstance(rule, Offset) else None
        name = size_param or (self.resource.size.param if self.resource.size else None)
        wanted = int(query[name]) if name is not None and name in query else self.size
        return max(1, min(wanted, self.most or wanted))

    def _start(self, query: Mapping[str, str], rows: Sequence[Record], size: int) -> int:
        match self.resource.paging:
            case PageNumber(param=param, start=first):
                return max(0, int(query.get(param, first)) - first) * size
            case Offset(param=param, start=first):
                return max(0, int(query.get(param, first)) - first)
            case LastId(param=param) | CursorInBody(param=param):
                after = query.get(param)
            case _:
                after = query.get(POSITION)
        if not after or (self.forgets and after not in map(self.key, rows)):
            return 0
        rank = self._ranks.get(after.removeprefix("~"), -1)
        return next((at for at, row in enumerate(rows) if self._ranks[self.key(row)] > rank), len(rows))

    def _following(self, part: Sequence[Record], ahead: int) -> str:
        return self.key(part[-1]) if isinstance(self.resource.paging, BY_KEY) else str(ahead)

    def _until_empty(self) -> bool:
        rule = self.resource.paging
        return isinstance(rule, PageNumber | Offset) and rule.end == "empty"

    def _written(self, asked: Asked, served: Served) -> Answer:
        body: dict[str, Any] = {}
        headers: dict[str, str] = {}
        if self.resource.total is not None:
            _put(body, headers, self.resource.total, served.total)
        if served.marked:
            self._mark(asked, served, body, headers)
        array = b"[" + b",".join(served.rows) + b"]" if served.array == RECORDS else json.dumps(served.array).encode()
        text = array
        if self.resource.records:
            _plant(body, self.resource.records, RECORDS)
            text = json.dumps(body).encode().replace(json.dumps(RECORDS).encode(), array)
        answer = page(served.before + text)
        answer.headers |= headers
        return answer

    def _mark(self, asked: Asked, served: Served, body: dict[str, Any], headers: dict[str, str]) -> None:
        """Writes what says whether there is more."""
        rule = self.resource.paging
        ahead = served.following if isinstance(rule, CursorInBody) else self.url_of(asked, served.following)
        onward = served.instead if served.instead is not None else ahead
        flag = served.instead if served.instead is not None else served.more
        said: tuple[tuple[str | None, Any], ...] = ()
        match rule:
            case CursorInBody(at=at, more=more):
                said = ((at, onward), (more, served.more))
            case LastId(more=more):
                said = ((more, flag),)
            case NextUrlInBody(at=at):
                said = ((at, onward),)
            case NextUrlInHeader(header=name):
                said = ((HEADER + name, "" if onward is None else onward),)
            case LinkHeader(rel=rel):
                first = f'<{asked.path}>; rel="first"'
                said = ((f"{HEADER}Link", first if onward is None else f'{first}, <{onward}>; rel="{rel}"'),)
            case PageNumber(total_pages=total_pages, total=total, more=more):
                said = ((total_pages, served.pages), (total, served.total), (more, flag))
            case Offset(total=total, more=more):
                said = ((total, served.total), (more, flag))
        for path, value in said:
            if path is not None:
                _put(body, headers, path, value)

    def url_of(self, asked: Asked, following: str | None) -> str | None:
        """Where the next page is, with the request's own parameters; None where there is none."""
        if following is None:
            return None
        kept = [(name, value) for name, value in asked.query.items() if name != POSITION]
        return f"{asked.path}?{urlencode([*kept, (POSITION, following)])}"

    # Single items.

    def _named(self, path: str) -> str | None:
        template = self.resource.get
        if template is None or self.resource.get_body is not None:
            return None
        before, _, after = self.place(template).partition("{key}")
        if not path.startswith(before) or not path.endswith(after) or len(path) <= len(before) + len(after):
            return None
        return unquote(path[len(before) : len(path) - len(after)])

    def _wanted(self, asked: Asked) -> str | None:
        """The key that a document asks for; None where it is another one than the resource sends for an item."""
        if asked.method != "POST" or asked.path != self.place(self.resource.get or ""):
            return None
        sent = json.loads(asked.body)
        keys = [key for record in self.records if filled(self.resource.get_body, {KEY: (key := self.key(record))}) == sent]
        gone = [key for key in self.deleted if filled(self.resource.get_body, {KEY: key}) == sent]
        return next(iter([*keys, *gone]), None if asked.path == self.place(self.resource.path) else "")

    def _item(self, key: str) -> Answer:
        if key in self.deleted:
            if self.resource.deleted is None:
                return page({"error": {"message": "gone"}}, 410)
            body: dict[str, Any] = {}
            _plant(body, self.resource.deleted[0], self.resource.deleted[1])
            record: dict[str, Any] = body
            for name in segments(self.resource.get_record):
                record = record.setdefault(name, {})
            _plant(record, self.resource.key, key)
            return page(body)
        record_ = next((record for record in self.records if self.key(record) == key), None)
        if record_ is None:
            return page({"error": {"message": f"no such item: {key}"}}, 404)
        body = {}
        if not self.resource.get_record:
            return page(record_)
        _plant(body, self.resource.get_record, record_)
        return page(body)

    def _several(self, asked: Asked, batch: Batch) -> Answer:
        if batch.param is not None:
            given = parse_qs(urlsplit(asked.target).query).get(batch.param, [])
            keys = given[0].split(batch.join) if batch.join and given else given
        else:
            keys = keys_in(json.loads(asked.body), batch.body or {}, batch.each)
        body: dict[str, Any] = {}
        found = [record for record in self.records if self.key(record) in keys]
        if not batch.records:
            return page(found)
        _plant(body, batch.records, found)
        return page(body)


def within(record: Record, query: Mapping[str, str], ranges: Ranges) -> bool:
    """Whether a record lies in the range that a request asks for; one that has no such field lies in none that is bounded."""
    found = at_path(record, ranges.at)
    if found is ABSENT or found is None:
        return ranges.low not in query and ranges.high not in query
    value = _number(found, ranges)
    if ranges.low in query:
        low = _number(query[ranges.low], ranges)
        if value < low or (ranges.low_excludes and value == low):
            return False
    if ranges.high in query:
        high = _number(query[ranges.high], ranges)
        if value > high or (not ranges.high_includes and value == high):
            return False
    return True


def _number(value: Any, ranges: Ranges) -> float:
    if ranges.form in ("iso", "date"):
        moment = datetime.fromisoformat(str(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return float(value)


def in_query(asked: Asked) -> Asked:
    """A request whose document's values stand in its query, under their dotted paths."""

    def leaves(value: Any, path: str) -> list[tuple[str, Any]]:
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
        if inner is None:
            return [(path, str(value).lower() if isinstance(value, bool) else value)]
        return [leaf for name, one in inner for leaf in leaves(one, f"{path}.{name}" if path else str(name))]

    return replace(asked, target=f"{asked.path}?{urlencode(leaves(json.loads(asked.body), ''))}")


def keys_in(sent: Any, template: Any, each: str | None) -> list[str]:
    """The keys that a POST of several ids carries, at the place where the template has `{keys}`."""
    if template == "{keys}":
        return [str(one[each] if each else one) for one in sent]
    if isinstance(template, Mapping) and isinstance(sent, dict):
        return [key for name, inner in template.items() for key in keys_in(sent.get(name), inner, each)]
    return []


def _put(body: dict[str, Any], headers: dict[str, str], path: str, value: Any) -> None:
    """A value at a dotted path of the body, or in a header."""
    if path.startswith(HEADER):
        headers[path.removeprefix(HEADER)] = str(value).lower() if isinstance(value, bool) else str(value)
    else:
        _plant(body, path, value)


def _plant(body: dict[str, Any], path: str, value: Any) -> None:
    *way, last = segments(path)
    for name in way:
        body = body.setdefault(name, {})
    body[last] = value
