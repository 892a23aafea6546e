"""Fault: one thing that a third party may do on one page of a listing, and what a fetch must make of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from recon.fetch.paging import CursorInBody, LastId, LinkHeader, NextUrlInBody, NextUrlInHeader, Offset, PageNumber, Paginator, Single
from recon.testing.fault_server import Answer, Asked
from recon.testing.faultlab.api import Api, Served


class Outcome(StrEnum):
    """What a fetch must come to."""

    #: Whole, and every record is there.
    HEALS = "whole"
    #: Not whole: an error of the declared tree, or a partial certificate.
    STOPS = "stopped"
    #: Either, so long as whole is only said of what is complete.
    TRUTH = "true either way"
    #: Nothing in the answers tells it from a listing that is so; the read by id before anything is believed is what helps.
    UNSEEN = "cannot be seen"


@dataclass(slots=True)
class Moment:
    """What a fault is told: the request, the list, the page as it would be sent, how often it has struck (from 1)."""

    asked: Asked
    api: Api
    page: Served
    strike: int
    #: An origin that nobody declared, listening.
    foreign: str
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


Kind = str
"""A paging kind in a word or two: `cursor`, `page total`, `offset empty`."""


WORDS: Mapping[type, str] = {
    Single: "single",
    CursorInBody: "cursor",
    LastId: "last_id",
    NextUrlInBody: "next_url",
    NextUrlInHeader: "next_header",
    LinkHeader: "link",
    PageNumber: "page",
    Offset: "offset",
}


def kind_of(rule: Paginator) -> Kind:
    """The word for a paging rule, with the marker that it ends by where it has several. Raises ValueError for a rule of another make."""
    word = WORDS.get(type(rule))
    if word is None:
        msg = f"a paging rule that the fault server cannot serve: {rule!r}"
        raise ValueError(msg)
    if isinstance(rule, PageNumber) and rule.total_pages:
        return f"{word} pages"
    if isinstance(rule, PageNumber | Offset):
        return f"{word} {'total' if rule.total else 'more' if rule.more else 'empty'}"
    return word


BY_KEY = frozenset({"cursor", "last_id", "next_url", "next_header", "link"})
BY_URL = frozenset({"next_url", "next_header", "link"})
UNTIL_EMPTY = frozenset({"page empty", "offset empty"})
BY_COUNT = frozenset({"page pages", "page total", "page more", "page empty", "offset total", "offset more", "offset empty"})
ALL = BY_KEY | BY_COUNT | {"single"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. `edit` changes the page before it is written, `wire` the answer after.

    It strikes `times` times, None for ever; with `until_anew` until the listing is asked for from its first page again. `kinds` are the
    paging kinds that it means something for, `places` the pages: `first`, `middle`, `last`. `expects` may depend on both.
    `says` is a pattern for what the error or the certificate must say.
    """

    name: str
    edit: Callable[[Moment], None] | None = None
    wire: Callable[[Moment, Answer], Answer] | None = None
    times: int | None = 1
    until_anew: bool = False
    kinds: frozenset[Kind] = ALL
    places: tuple[str, ...] = ("first", "middle", "last")
    expects: Outcome | Callable[[Kind, str], Outcome] = Outcome.HEALS
    says: str = ""
    #: The fault needs a page with items on it.
    items: bool = False
    #: It holds the answer back: the fetch needs a short deadline.
    slow: bool = False
    #: Records may come twice.
    repeats: bool = False

    def outcome(self, kind: Kind, place: str) -> Outcome:
        """What a fetch must come to."""
        return self.expects if isinstance(self.expects, Outcome) else self.expects(kind, place)


@dataclass(slots=True)
class Trouble:
    """A fault at one page of one list: set as the list's `on_page` and `on_answer` by `trouble`.

    The page is the one of that `number`; or, where the list is fetched in parts of which each has a first page, the one that holds `key`.
    """

    fault: Fault
    api: Api
    number: int
    foreign: str
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    key: str | None = None
    strikes: int = 0
    healed: bool = False
    _striking: dict[int, Moment] = field(default_factory=dict)

    def on_page(self, asked: Asked, page: Served) -> None:
        """Decides whether the fault strikes here."""
        if self.fault.until_anew and page.number == 1 and self.strikes and (self.number != 1 or self.key is not None):
            self.healed = True
        over = self.fault.times is not None and self.strikes >= self.fault.times
        here = page.number == self.number if self.key is None else self.key in page.keys
        if not here or over or self.healed:
            return
        self.strikes += 1
        moment = Moment(asked, self.api, page, self.strikes, self.foreign, self.now)
        if self.fault.edit is not None:
            self.fault.edit(moment)
        self._striking[id(page)] = moment

    def on_answer(self, asked: Asked, page: Served, answer: Answer) -> Answer:
        """Does it to the answer."""
        del asked
        moment = self._striking.pop(id(page), None)
        if moment is None or self.fault.wire is None:
            return answer
        return self.fault.wire(moment, answer)


def trouble(fault: Fault, api: Api, number: int, *, foreign: str, now: Callable[[], datetime] | None = None) -> Trouble:
    """Lets the fault strike at page `number` of the list."""
    found = Trouble(fault, api, number, foreign)
    if now is not None:
        found.now = now
    api.on_page, api.on_answer = found.on_page, found.on_answer
    return found
