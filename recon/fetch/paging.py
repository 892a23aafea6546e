"""Paging rules: pure functions from a request and what its answer said to the next request, a proven end, or a refusal.

Every rule needs a positive end marker. "A short page is the last page" is no such marker, since servers clamp page sizes in
silence; a marker that is not there is `Invalid`, never an end. Where an API gives no marker at all, its rule opts in by name to
the weaker sign that the API does give: `end="empty"` (an empty page) or `end="absent"` (a next link that is left out).

A value is read from the body by its dotted path (`meta.next_cursor`), or from a header by `header:NAME`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urljoin

from recon.fetch.links import parse_links
from recon.fetch.page import End
from recon.fetch.path import ABSENT
from recon.fetch.rule import HEADER, Ask, Facts, Invalid, Next, Outcome, Paginator
from recon.job import Scalar

__all__ = [
    "Ask",
    "CursorInBody",
    "End",
    "Facts",
    "Invalid",
    "LastId",
    "LinkHeader",
    "Next",
    "NextUrlInBody",
    "NextUrlInHeader",
    "Offset",
    "Outcome",
    "PageNumber",
    "Paginator",
    "Single",
]


OVERLAP = 1
"""Items of the page before that a page counted by items begins with."""


class _Rule:
    """What most rules share."""

    needs_last_key = False
    #: Whether pages are counted, so that what comes and goes shifts all that stand behind it.
    drifts = False

    @property
    def paths(self) -> tuple[str, ...]:
        return ()

    def first(self, params: Mapping[str, Scalar]) -> Ask:
        return Ask(params=dict(params))


@dataclass(frozen=True, slots=True)
class Single(_Rule):
    """The whole listing comes in one answer. An answer that shows signs of paging is refused."""

    def after(self, ask: Ask, facts: Facts) -> Outcome:
        """A page after the first cannot be: there is none to ask for."""
        assert ask.page == 1
        if "next" in parse_links(facts.headers.get("link", "")):
            return Invalid("the answer carries a Link to a next page, but the resource is declared as one page; declare its paging")
        if facts.total is not None and facts.total != facts.items:
            return Invalid(
                f"the answer holds {facts.items:,} of {facts.total:,} items, but the resource is declared as one page; declare its paging"
            )
        return End(f"the listing is one answer of {facts.items:,} items")


@dataclass(frozen=True, slots=True, kw_only=True)
class CursorInBody(_Rule):
    """The body carries the next page's cursor at path `at`; it goes into query parameter `param`.

    The end is a cursor that is null or empty, or `more` (a path to true or false) being false.
    `end="absent"`: a cursor that is left out is the end too, for an API that documents it so.
    """

    param: str
    at: str
    more: str | None = None
    end: Literal["marker", "absent"] = "marker"

    @property
    def paths(self) -> tuple[str, ...]:
        return _body_paths(self.at, self.more)

    def after(self, ask: Ask, facts: Facts) -> Outcome:
        more = _more(self.more, ask, facts)
        if isinstance(more, Invalid | End):
            return more
        cursor = facts.read(self.at)
        if more and (cursor is ABSENT or cursor is None or cursor == ""):
            return Invalid(f"{self.more} is true, but {self.at} holds no cursor for the next page")
        if cursor is ABSENT:
            absent = End(f"no {self.at} on page {ask.page}")
            return absent if self.end == "absent" else Invalid(_no_marker(self.at, 'end = "absent"'))
        if cursor is None or cursor == "":
            return End(f"{self.at} = {_shown(cursor)} on page {ask.page}")
        if isinstance(cursor, bool) or not isinstance(cursor, str | int):
            return Invalid(f"{self.at} is {_shown(cursor)}, where a cursor (a text, a whole number or null) is wanted")
        return _next(ask, facts, {self.param: cursor})


@dataclass(frozen=True, slots=True, kw_only=True)
class LastId(_Rule):
    """The key of a page's last item, in query parameter `param`, asks for the page after it; `more` says whether there is one."""

    param: str
    more: str = "has_more"

    needs_last_key = True

    @property
    def paths(self) -> tuple[str, ...]:
        return _body_paths(self.more)

    def after(self, ask: Ask, facts: Facts) -> Outcome:
        more = _more(self.more, ask, facts)
        if isinstance(more, Invalid | End):
            return more
        if not facts.items:
            return Invalid(f"{self.more} is true on a page without items, so there is no last item to go on from")
        if facts.last_key is None:
            return Invalid("the page's last item has no readable key, and the next page is asked for by it; check the resource's key path")
        return _next(ask, facts, {self.param: facts.last_key})


@dataclass(frozen=True, slots=True, kw_only=True)
class NextUrlInBody(_Rule):
    """The body carries the next page's URL at path `at` (relative ones are resolved); null or empty is the end.

    `end="absent"`: a URL that is left out is the end too, for an API that documents it so.
    """

    at: str
    end: Literal["marker", "absent"] = "marker"

    @property
    def paths(self) -> tuple[str, ...]:
        return _body_paths(self.at)

    def after(self, ask: Ask, facts: Facts) -> Outcome:
        return _by_url(ask, facts, facts.read(self.at), self.at, self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class NextUrlInHeader(_Rule):
    """A header of its own carries the next page's URL; an empty one is the end. `end="absent"`: a header left out is the end too."""

    header: str
    end: Literal["marker", "absent"] = "marker"

    def after(self, ask: Ask, facts: Facts) -> Outcome:
        return _by_url(ask, facts, facts.headers.get(self.header.lower(), ABSENT), f"header {self.header}", self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkHeader(_Rule):
    """RFC 8288: the Link with relation `rel` leads on; a Link header without it is the end.

    `end="absent"`: an answer with no Link header at all is the end too. `end="single"`: only on the first page is it, for an API that
    sends none where there is one page only; a header that gets lost further on is no end.
    """

    rel: str = "next"
    end: Literal["marker", "absent", "single"] = "marker"

    def after(self, ask: Ask, facts: Facts) -> Outcome:
        header = facts.headers.get("link", ABSENT)
        if header is ABSENT or not header.strip():
            if self.end == "single" and ask.page == 1:
                return End("no Link header on page 1, so there is one page only")
            if self.end == "absent":
                return End(f"no Link header on page {ask.page}")
            return Invalid(_no_marker("the Link header", 'end = "absent"'))
        links = parse_links(header)
        if not links:
            return Invalid(f"the Link header cannot be read: {_shown(header)}")
        target = links.get(self.rel.lower())
        if target is None:
            return End(f"Link without rel={self.rel} on page {ask.page} (it has {', '.join(sorted(links))})")
        return _by_url(ask, facts, target, f"Link rel={self.rel}", "marker")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageNumber(_Rule):
    """Pages are numbered in `param`, from `start`. Exactly one of `total_pages`, `total` (items) and `more` says where they end.

    `end="empty"` instead of them: an empty page, its record path in place, is the end, for an API that says nothing else.
    """

    drifts = True

    param: str = "page"
    size_param: str | None = None
    size: int | None = None
    start: int = 1
    total_pages: str | None = None
    total: str | None = None
    more: str | None = None
    end: Literal["marker", "empty"] = "marker"

    def __post_init__(self) -> None:
        _one_marker(self.end, total_pages=self.total_pages, total=self.total, more=self.more)

    @property
    def paths(self) -> tuple[str, ...]:
        return _body_paths(self.total_pages, self.total, self.more)

    def first(self, params: Mapping[str, Scalar]) -> Ask:
        return Ask(params={**params, **_sized(self.size_param, self.size), self.param: self.start})

    def after(self, ask: Ask, facts: Facts) -> Outcome:
        number = _position(ask, self.param, self.start)
        ahead = {self.param: number + 1}
        if self.total_pages is not None:
            pages = _count(facts.read(self.total_pages), self.total_pages)
            if isinstance(pages, Invalid):
                return pages
            if number - self.start + 1 >= pages:
                return End(f"page {ask.page} of {self.total_pages} = {pages:,}")
            return _next(ask, facts, ahead) if facts.items else Invalid(_empty_within(ask, f"{self.total_pages} = {pages:,}"))
        return _by_count(ask, facts, ahead, total=self.total, more=self.more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset(_Rule):
    """Pages start at an item number, `param`, which goes on by the items really received. Exactly one of `total` and `more` says the end.

    `end="empty"` instead of them: as for `PageNumber`. Each page is asked for from `overlap` items before the end of the one before it, so
    that a listing that shifted in between shows it; on short pages from fewer, at most half of them. 0 for an API that takes only whole
    multiples of the page size.
    """

    drifts = True

    param: str = "offset"
    limit_param: str | None = None
    size: int | None = None
    start: int = 0
    total: str | None = None
    more: str | None = None
    end: Literal["marker", "empty"] = "marker"
    overlap: int = OVERLAP

    def __post_init__(self) -> None:
        _one_marker(self.end, total=self.total, more=self.more)
        if self.overlap < 0:
            msg = f"overlap={self.overlap} is less than no item"
            raise ValueError(msg)

    @property
    def paths(self) -> tuple[str, ...]:
        return _body_paths(self.total, self.more)

    def first(self, params: Mapping[str, Scalar]) -> Ask:
        return Ask(params={**params, **_sized(self.limit_param, self.size), self.param: self.start})

    def after(self, ask: Ask, facts: Facts) -> Outcome:
        # A page that has nothing but what the one before it had is gone on from without an overlap: there it would stand still.
        overlap = min(self.overlap, facts.items // 2) if facts.items > ask.overlap else 0
        ahead = {self.param: _position(ask, self.param, self.start) + facts.items - overlap}
        outcome = _by_count(ask, facts, ahead, total=self.total, more=self.more)
        return Next(replace(outcome.ask, overlap=overlap)) if isinstance(outcome, Next) else outcome


def _by_count(ask: Ask, facts: Facts, ahead: Mapping[str, int], *, total: str | None, more: str | None) -> Outcome:
    """The end by the API's count of items, by its has-more flag, or, where it has neither, by an empty page."""
    if total is not None:
        count = _count(facts.read(total), total)
        if isinstance(count, Invalid):
            return count
        seen = ask.seen + facts.items - ask.overlap
        if seen >= count:
            return End(f"{seen:,} items of {total} = {count:,} on page {ask.page}")
        return _next(ask, facts, ahead) if facts.items else Invalid(_empty_within(ask, f"{total} = {count:,}"))
    if more is not None:
        told = _more(more, ask, facts)
        if isinstance(told, Invalid | End):
            return told
        return _next(ask, facts, ahead) if facts.items else Invalid(_empty_within(ask, f"{more} = true"))
    return _next(ask, facts, ahead) if facts.items else End(f"page {ask.page} is empty")


def _by_url(ask: Ask, facts: Facts, target: Any, where: str, end: str) -> Outcome:
    if target is ABSENT and end == "absent":
        return End(f"no {where} on page {ask.page}")
    if target is ABSENT:
        return Invalid(_no_marker(where, 'end = "absent"'))
    if target is None or target == "":
        return End(f"{where} = {_shown(target)} on page {ask.page}")
    if not isinstance(target, str):
        return Invalid(f"{where} is {_shown(target)}, where a URL or null is wanted")
    try:
        url = urljoin(facts.url, target.strip())
    except ValueError:
        return Invalid(f"{where} is no URL: {_shown(target)}")
    return Next(Ask(params={}, url=url, page=ask.page + 1, seen=ask.seen + facts.items))


def _next(ask: Ask, facts: Facts, changed: Mapping[str, Scalar]) -> Next:
    return Next(Ask(params={**ask.params, **changed}, url=None, page=ask.page + 1, seen=ask.seen + facts.items - ask.overlap))


def _more(path: str | None, ask: Ask, facts: Facts) -> Invalid | End | bool | None:
    """What the has-more flag says: the end, true, or None where the rule has no such flag."""
    if path is None:
        return None
    value = facts.read(path)
    if path.startswith(HEADER) and isinstance(value, str):
        value = {"true": True, "false": False, "1": True, "0": False}.get(value.strip().lower(), value)
    if value is ABSENT:
        return Invalid(_no_marker(path, None))
    if not isinstance(value, bool):
        return Invalid(f"{path} is {_shown(value)}, where true or false is wanted")
    return True if value else End(f"{path} = false on page {ask.page}")


def _count(value: Any, path: str) -> int | Invalid:
    if value is ABSENT:
        return Invalid(_no_marker(path, 'end = "empty"'))
    if isinstance(value, str) and path.startswith(HEADER) and value.strip().isascii() and value.strip().isdigit():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return Invalid(f"{path} is {_shown(value)}, where a count is wanted")
    return value


def _position(ask: Ask, param: str, start: int) -> int:
    value = ask.params.get(param, start)
    return value if isinstance(value, int) else int(str(value))


def _sized(param: str | None, size: int | None) -> dict[str, Scalar]:
    return {param: size} if param is not None and size is not None else {}


def _one_marker(end: str, **markers: str | None) -> None:
    named = [name for name, path in markers.items() if path is not None]
    if len(named) != (0 if end == "empty" else 1):
        msg = f'one end marker is wanted, of {", ".join(markers)} or end="empty"; {" and ".join(named) or "none"} given'
        raise ValueError(msg)


def _body_paths(*paths: str | None) -> tuple[str, ...]:
    return tuple(path for path in paths if path is not None and not path.startswith(HEADER))


def _no_marker(where: str, opt_in: str | None) -> str:
    remedy = f"; where the API documents that as the end, say so with {opt_in}" if opt_in else "; check the resource's paging"
    return f"the end marker {where} is not there, so nothing says whether more pages follow{remedy}"


def _empty_within(ask: Ask, claim: str) -> str:
    return f"the page is empty after {ask.seen:,} items, but {claim} says that there is more"


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
